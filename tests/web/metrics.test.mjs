/** PSNR and SSIM against figures that `span_keras.images.metrics.evaluate_pair` gave for the same images. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { evaluatePair, psnrY } from '../../web_demo/images/metrics.js';

const [WIDTH, HEIGHT] = [41, 37];

/** An image by formula, and another that is up to 5 levels off. */
function pair() {
  const data = new Uint8ClampedArray(WIDTH * HEIGHT * 3);
  const off = new Uint8ClampedArray(data.length);
  for (let y = 0, i = 0; y < HEIGHT; y++) {
    for (let x = 0; x < WIDTH; x++) {
      for (let c = 0; c < 3; c++, i++) {
        data[i] = (x * 7 + y * 13 + c * 29 + ((x * y) % 17) * 5) % 256;
        off[i] = data[i] + ((x * 3 + y * 5 + c) % 11) - 5;
      }
    }
  }
  const image = (levels) => ({ width: WIDTH, height: HEIGHT, data: levels });
  return [image(off), image(data)];
}

const near = (found, expected) => assert.ok(Math.abs(found - expected) < 1e-9, `${found}, expected ${expected}`);

test('figures are those of Python', () => {
  const expected = {
    0: [41.1084055432355, 0.9974879896872672, 38.19899488411094],
    2: [41.10674820984635, 0.9975050867291106, 38.19494298018881],
    4: [41.10971658394567, 0.9974489387982947, 38.19189024944295],
  };
  for (const [shave, figures] of Object.entries(expected)) {
    const found = evaluatePair(...pair(), Number(shave));
    near(found.psnrY, figures[0]);
    near(found.ssimY, figures[1]);
    near(found.psnrRgb, figures[2]);
    assert.equal(psnrY(...pair(), Number(shave)), found.psnrY);
  }
});

test('one level everywhere is 48.13 dB', () => {
  const flat = (level) => ({ width: 20, height: 20, data: new Uint8Array(1200).fill(level) });
  near(evaluatePair(flat(100), flat(101), 0).psnrRgb, 20 * Math.log10(255));
  // A level of all three colours is 219 / 255 of a level of Y.
  near(evaluatePair(flat(100), flat(101), 0).psnrY, 20 * Math.log10(255) - 20 * Math.log10(219 / 255));
});

test('an image equals itself', () => {
  const [, hr] = pair();
  const { psnrY: y, ssimY, psnrRgb } = evaluatePair(hr, hr, 3);
  assert.deepEqual([y, psnrRgb], [Infinity, Infinity]);
  near(ssimY, 1);
});

test('images that cannot be compared are refused', () => {
  const [sr, hr] = pair();
  const other = { ...hr, width: HEIGHT, height: WIDTH };
  const message = 'The two images must have the same size, found 41 × 37 and 37 × 41.';
  assert.throws(() => evaluatePair(sr, other, 2), { name: 'RangeError', message });
  const small = 'The image is too small to measure: at least 39 pixels per side.';
  assert.throws(() => evaluatePair(sr, hr, 14), { name: 'RangeError', message: small });
  assert.ok(Number.isFinite(psnrY(sr, hr, 14)));
});
