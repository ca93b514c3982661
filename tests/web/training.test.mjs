/** The parts of a training that need no network: settings, curves, random numbers and patches. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MIN_PATCH_SIZE } from '../../web_demo/constants.js';
import { History } from '../../web_demo/train/session/history.js';
import { PatchSource, copyPatch, crop, makePair } from '../../web_demo/train/session/patches.js';
import { normalStream, uniformStream } from '../../web_demo/network/random.js';
import { makeSamples, split } from '../../web_demo/train/session/samples.js';
import { DEFAULTS, FIELDS, rateAt, validate } from '../../web_demo/train/settings.js';

test('the defaults are valid, as numbers and as typed', () => {
  assert.deepEqual(validate({ ...DEFAULTS }), { settings: DEFAULTS, problems: {} });
  const typed = Object.fromEntries(Object.entries(DEFAULTS).map(([key, value]) => [key, ` ${value} `]));
  assert.deepEqual(validate(typed), { settings: DEFAULTS, problems: {} });
});

test('every field refuses what is not a number, and what is beyond its range', () => {
  for (const { key, label, min, max, list } of FIELDS) {
    for (const value of ['', 'many', null, undefined]) {
      const { settings, problems } = validate({ ...DEFAULTS, [key]: value });
      if (list && value !== 'many') {
        assert.deepEqual(problems, {});
      } // an empty list: a constant rate
      else {
        assert.deepEqual(Object.keys(problems), [key]);
        assert.ok(problems[key].includes(label), problems[key]);
        assert.ok(!(key in settings));
      }
    }
    if (list) continue;
    assert.deepEqual(Object.keys(validate({ ...DEFAULTS, [key]: min - 1 }).problems), [key]);
    assert.equal(validate({ ...DEFAULTS, [key]: min }).problems[key], undefined);
    assert.ok(key in validate({ ...DEFAULTS, [key]: max + 1 }).problems);
  }
});

test('absurd settings get a sentence', () => {
  for (const [key, value, sentence] of [
    ['epochs', '0', 'Epochs must be from 1 to 100000, found 0.'],
    ['epochs', '2.5', 'Epochs must be a whole number from 1 to 100000, found 2.5.'],
    ['batch', '', 'Batch size must be a number from 1 to 64, found “”.'],
    ['batch', '1e9', 'Batch size must be from 1 to 64, found 1000000000.'],
    ['patch', 'banana', `Patch must be a number from ${MIN_PATCH_SIZE} to 256, found “banana”.`],
    ['rate', '0', 'Learning rate must be from 1e-8 to 0.1, found 0.'],
    ['rate', 'NaN', 'Learning rate must be a number from 1e-8 to 0.1, found “NaN”.'],
    ['rate', 'Infinity', 'Learning rate must be a number from 1e-8 to 0.1, found “Infinity”.'],
    ['weightDecay', '-1', 'Weight decay must be from 0 to 1, found -1.'],
    ['vggWeight', '1000', 'VGG weight must be from 0 to 10, found 1000.'],
    ['seed', '-3', 'Seed must be from 0 to 4294967295, found -3.'],
    [
      'halveAt',
      '300, 200',
      '“Halve the rate at epochs” must be whole numbers in ascending order, such as 200, 300; leave it empty for a constant rate.',
    ],
  ]) {
    assert.deepEqual(validate({ ...DEFAULTS, [key]: value }).problems, { [key]: sentence });
  }
});

test('epochs at which the rate is halved ascend', () => {
  assert.deepEqual(validate({ ...DEFAULTS, halveAt: '10; 20,30' }).settings.halveAt, [10, 20, 30]);
  for (const halveAt of ['20, 10', '10, 10', '0', '1.5', '-3', '100001']) {
    assert.deepEqual(Object.keys(validate({ ...DEFAULTS, halveAt }).problems), ['halveAt'], halveAt);
  }
  const rates = [0, 9, 10, 19, 20, 500].map((epoch) => rateAt({ rate: 8, halveAt: [10, 20] }, epoch));
  assert.deepEqual(rates, [8, 8, 4, 4, 2, 2]);
  assert.equal(rateAt({ rate: 8, halveAt: [] }, 400), 8);
});

test('a batch beyond graphics memory says what would fit', () => {
  const sentence = 'patches of 256 pixels do not fit into usual graphics memory; with this patch take 4 or fewer.';
  for (const batch of [5, 64]) {
    assert.deepEqual(validate({ ...DEFAULTS, patch: 256, batch }).problems, { batch: `${batch} ${sentence}` });
  }
  assert.deepEqual(validate({ ...DEFAULTS, patch: 256, batch: 4 }).problems, {});
});

test('curves stay bounded, keep their mean, and end where the training is', () => {
  const history = new History();
  const steps = 5000;
  for (let step = 1; step <= steps; step++) history.addLoss({ step, mae: step, perceptual: 1, rate: 1 / step });
  const { points, interval } = history.toJSON();
  assert.ok(points.length >= 300 && points.length < 600, `${points.length} points`);
  const last = points.at(-1).step;
  assert.ok(last > steps - interval);
  assert.equal(points.at(-1).rate, 1 / last); // no mean of rates: none such was in use
  const mean = points.reduce((sum, { mae }) => sum + mae, 0) / points.length;
  assert.ok(Math.abs(mean - (last + 1) / 2) < 1e-6);
  for (const [i, { step }] of points.entries()) assert.equal(step, (i + 1) * interval);
});

test('curves go on from what was kept', () => {
  const whole = new History();
  const first = new History();
  const point = (step) => ({ step, mae: Math.sin(step), perceptual: 0, rate: 1 });
  for (let step = 1; step <= 2400; step++) whole.addLoss(point(step));
  for (let step = 1; step <= 1200; step++) first.addLoss(point(step));
  const kept = JSON.parse(JSON.stringify(first));
  const second = new History(kept);
  for (let step = 1201; step <= 2400; step++) second.addLoss(point(step));
  assert.deepEqual(second.toJSON(), whole.toJSON());
  assert.equal(kept.points.length, first.toJSON().points.length); // what was kept is not touched
});

test('a quality measured again at the same step replaces the first', () => {
  const history = new History({ bicubic: 20 });
  for (let step = 0; step < 2000; step += 2) {
    history.addQuality({ step, psnr: 0 });
    history.addQuality({ step, psnr: step });
    assert.equal(history.quality.at(-1).step, step); // the latest is kept, however many there are
  }
  const { quality, bicubic } = history.toJSON();
  assert.ok(quality.length < 600);
  assert.ok(quality.every(({ step, psnr }) => step === psnr));
  assert.deepEqual([quality.at(-1).step, bicubic], [1998, 20]);
});

test('a stream repeats with its seed and index, and with no other', () => {
  const draw = (...args) => Array.from({ length: 50 }, uniformStream(...args));
  assert.deepEqual(draw(7, 3), draw(7, 3));
  const others = [draw(7), draw(7, 0), draw(7, 2), draw(7, 4), draw(8, 3), draw(3, 7), draw(4294967295, 3)];
  const distinct = new Set(others.map(String));
  assert.equal(distinct.size, others.length - 1); // without an index it is 0
  assert.ok(!distinct.has(String(draw(7, 3))));
});

test('a stream never changes: a training that goes on sees the same data', () => {
  for (const [seed, index, ...expected] of [
    [0, 0, 0.6962601090781391, 0.4086210415698588, 0.47568505839444697],
    [1, 5, 0.023317280923947692, 0.6317421614658087, 0.9266871106810868],
    [4294967295, 2, 0.2159172361716628, 0.05142382066696882, 0.8631368093192577],
  ]) {
    assert.deepEqual(expected.map(uniformStream(seed, index)), expected);
  }
});

test('streams are uniform, and normal', () => {
  const count = 100_000;
  const moments = (next) => {
    const values = Array.from({ length: count }, next);
    const mean = values.reduce((sum, value) => sum + value) / count;
    return [mean, Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / count), values];
  };
  const near = (found, expected) => assert.ok(Math.abs(found - expected) < 0.01, `${found}, expected ${expected}`);
  const [mean, deviation, values] = moments(uniformStream(1));
  near(mean, 0.5);
  near(deviation, Math.sqrt(1 / 12));
  assert.ok(values.every((value) => value >= 0 && value < 1));
  for (let tenth = 0; tenth < 10; tenth++) {
    near(values.filter((value) => Math.floor(value * 10) === tenth).length / count, 0.1);
  }
  const [normalMean, normalDeviation, normal] = moments(normalStream(uniformStream(2)));
  near(normalMean, 0);
  near(normalDeviation, 1);
  near(normal.filter((value) => Math.abs(value) < 1).length / count, 0.6827);
});

/** A picture whose every value tells where it lies. */
function picture(height, width, channelStep = 1) {
  const data = new Uint8Array(height * width * 3);
  for (let y = 0, i = 0; y < height; y++) {
    for (let x = 0; x < width; x++) for (let c = 0; c < 3; c++) data[i++] = (y * width + x + c * channelStep) % 251;
  }
  return { height, width, data };
}

test('eight symmetries of a patch are all there are', () => {
  const source = picture(4, 5);
  const patches = Array.from({ length: 8 }, (_, symmetry) => {
    const out = new Float32Array(2 * 27).fill(-1);
    copyPatch(source, 1, 2, 3, symmetry, out, 1);
    assert.ok(out.subarray(0, 27).every((value) => value === -1)); // the other place is not touched
    return [...out.subarray(27)].map((value) => Math.round(value * 255));
  });
  const wanted = [...crop(source, 1, 2, 3, 3).data];
  assert.deepEqual(patches[0], wanted);
  assert.equal(new Set(patches.map(String)).size, 8);
  for (const patch of patches) assert.deepEqual([...patch].sort(), [...wanted].sort());
});

test('a pair is cut to a multiple of the scale', () => {
  const { hr, lr } = makePair(picture(26, 35), 4);
  assert.deepEqual([hr.height, hr.width, lr.height, lr.width], [24, 32, 6, 8]);
  assert.deepEqual([...hr.data.subarray(0, 96)], [...picture(26, 35).data.subarray(0, 96)]);
});

test('batches repeat with seed and step, and their patches belong together', () => {
  const lr = { height: 9, width: 14, data: Uint8Array.from({ length: 378 }, (_, i) => (i * 37) % 256) };
  const hr = { height: 27, width: 42, data: new Uint8Array(27 * 42 * 3) }; // each LR pixel, nine times
  for (let y = 0, to = 0; y < 27; y++) {
    for (let x = 0; x < 42; x++, to += 3) {
      const from = (Math.floor(y / 3) * 14 + Math.floor(x / 3)) * 3;
      hr.data.set(lr.data.subarray(from, from + 3), to);
    }
  }
  const make = (seed) => new PatchSource([{ name: 'a', lr, hr }], { scale: 3, patch: 5, batch: 16, seed });
  const batch = make(1).get(7);
  assert.deepEqual(
    [batch.lrShape, batch.hrShape],
    [
      [16, 5, 5, 3],
      [16, 15, 15, 3],
    ],
  );
  assert.deepEqual(make(1).get(7), batch);
  assert.notDeepEqual(make(1).get(8), batch);
  assert.notDeepEqual(make(2).get(7), batch);
  const places = new Set();
  for (let n = 0; n < 16; n++) {
    const patch = batch.lr.subarray(n * 75, (n + 1) * 75);
    places.add(String(patch));
    for (let y = 0; y < 5; y++) {
      for (let x = 0; x < 5; x++) {
        const middle = ((n * 15 + 3 * y + 1) * 15 + 3 * x + 1) * 3;
        assert.deepEqual(batch.hr.slice(middle, middle + 3), patch.slice((y * 5 + x) * 3, (y * 5 + x) * 3 + 3));
      }
    }
  }
  assert.ok(places.size > 8); // places and symmetries vary
});

test('large photographs are drawn more often', () => {
  const flat = (side, level) => ({ hr: fill(2 * side, level), lr: fill(side, level) });
  const fill = (side, level) => ({ height: side, width: side, data: new Uint8Array(side * side * 3).fill(level) });
  const source = new PatchSource([flat(10, 0), flat(30, 255)], { scale: 2, patch: 4, batch: 8, seed: 0 });
  let large = 0;
  for (let step = 0; step < 250; step++) {
    const { lr } = source.get(step);
    for (let n = 0; n < 8; n++) large += lr[n * 48];
  }
  assert.ok(Math.abs(large / 2000 - 0.9) < 0.03, `${large} of 2000`);
});

test('photographs are held out where there are enough', () => {
  const pairs = (count) => Array.from({ length: count }, (_, name) => ({ name }));
  const counts = (count) => {
    const { training, shown, heldOut } = split(pairs(count));
    const seen = new Set(training.map(({ name }) => name));
    assert.equal(
      heldOut,
      shown.every(({ name }) => !seen.has(name)),
    );
    return [training.length, shown.length, heldOut];
  };
  assert.deepEqual([1, 4, 5, 19, 20, 100].map(counts), [
    [1, 1, false],
    [4, 4, false],
    [4, 1, true],
    [16, 3, true],
    [16, 4, true],
    [96, 4, true],
  ]);
});

test('a sample is the middle of its photograph, beside its bicubic enlargement', () => {
  const pair = { name: 'a', ...makePair(picture(120, 160), 2) };
  const [sample] = makeSamples([pair], 2);
  assert.deepEqual([sample.lr.height, sample.lr.width, sample.hr.height, sample.hr.width], [48, 48, 96, 96]);
  assert.deepEqual([...sample.hr.data], [...crop(pair.hr, 12, 32, 96, 96).data]);
  assert.equal(sample.bicubic.data.length, sample.hr.data.length);
  assert.ok(sample.bicubicPsnr > 5 && sample.bicubicPsnr <= 100);
  const flat = { height: 40, width: 40, data: new Uint8Array(4800).fill(9) };
  assert.equal(makeSamples([{ name: 'b', ...makePair(flat, 2) }], 2)[0].bicubicPsnr, 100); // no chart shows infinity
});
