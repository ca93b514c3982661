/** Our WebGPU kernels as text and numbers: divisions, packed weights, plans, limits. tests/browser runs them. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Ahead } from '../../web_demo/engine/ahead.js';
import { evenTile } from '../../web_demo/engine/frame-drawer.js';
import { packBias, packKernel } from '../../web_demo/engine/webgpu/packing.js';
import { BUFFERS, planSteps } from '../../web_demo/engine/webgpu/plan.js';
import { PLAIN, SETS, fitting, kernelsOf } from '../../web_demo/engine/webgpu/sets.js';
import { epilogue } from '../../web_demo/engine/webgpu/shaders/epilogue.js';
import { divide, sliceQuads } from '../../web_demo/engine/webgpu/shaders/source.js';
import { TILE_BYTES, keptOf, tileAt, tileValues } from '../../web_demo/engine/webgpu/tile.js';
import { compose, toPixels } from '../../web_demo/engine/webgpu/weights.js';
import { planAxis } from '../../web_demo/images/tiling.js';
import { fromHalf, readWeights } from '../../web_demo/network/weights.js';

const DEFAULTS = { maxComputeWorkgroupStorageSize: 16384 };
const config = (channels, scale, variant = 'span') => ({
  channels,
  scale,
  variant,
  blocks: 6,
  imgRange: 255,
  rgbMean: [0.25, 0.5, 0.75],
});
const all = ({ first, activate, attend, merge, last }) => [
  ...['bytes', 'floats', 'texture'].map((source) => first(source)),
  activate,
  attend,
  merge,
  ...['bytes', 'floats', 'texture'].map((target) => last(target)),
];
/** Every set and network that the tests of this file go through. */
const networks = [1, 3, 4, 13, 28, 48, 52, 96, 200].flatMap((channels) =>
  [1, 2, 3, 4, 8].map((scale) => config(channels, scale, channels % 2 ? 'span' : 'official')),
);

test('output channels are shared out with few computed in vain', () => {
  assert.deepEqual(divide(12, 2, [6, 5, 4, 3, 2, 1]), { slices: 1, groups: 2, perThread: 6 });
  assert.deepEqual(divide(12, 4, [3, 4, 2, 1]), { slices: 1, groups: 4, perThread: 3 });
  for (let quads = 1; quads < 80; quads++) {
    const division = divide(quads, 2, [6, 5, 4, 3, 2, 1]);
    const computed = division.slices * sliceQuads(division);
    assert(computed >= quads && computed < quads + 2 * division.slices);
    assert(division.groups <= 2 && division.perThread <= 6);
  }
});

test('kernels of any network stay within a workgroup and within what WebGPU promises', () => {
  for (const network of networks) {
    for (const set of [...SETS, PLAIN]) {
      for (const { threads, shared, groups, division } of all(kernelsOf(set, network))) {
        assert(threads <= 256, `${set.name}: ${threads} threads`);
        assert(groups(4096, 4096).every((count) => count >= 1 && count <= 65535));
        assert.equal(groups(1, 1)[2], division.slices);
        assert(shared <= 49152);
      }
    }
    const names = fitting(SETS, network, DEFAULTS).map(({ name }) => name);
    assert(names.includes('direct 32×4'), `${network.channels} channels, ×${network.scale}: ${names}`);
    assert.equal(fitting([PLAIN], network, DEFAULTS).length, 1);
    if (network.channels === 48) assert(!names.some((name) => name.startsWith('Winograd 16')));
  }
});

test('shaders declare what they read, and declare nothing twice', () => {
  for (const network of networks.filter(({ channels }) => channels < 50)) {
    for (const set of [...SETS, PLAIN]) {
      for (const { code } of all(kernelsOf(set, network))) {
        const bindings = [...code.matchAll(/@binding\((\d+)\)/g)].map(([, number]) => Number(number));
        assert.equal(new Set(bindings).size, bindings.length);
        assert(bindings.length <= 8); // storage buffers that WebGPU promises
        assert.equal(code.match(/\bfn main\b/g)?.length, 1);
        assert(!/undefined|NaN|\$\{/.test(code), code);
        const braces = (letter) => code.split(letter).length;
        assert.equal(braces('{'), braces('}'));
      }
    }
  }
});

test('an ending stores the variant that was asked for', () => {
  const options = { variant: 'span', quads: 3, padded: false, scale: 2 };
  assert.match(epilogue({ ...options, ending: 'activate' }), /max\(v, 0\.1 \* v\)/);
  assert.match(epilogue({ ...options, ending: 'attend', variant: 'official' }), /1\.0 \+ exp\(-v\)\) - 0\.5/);
  assert.match(epilogue({ ...options, ending: 'linear', padded: true }), /if \(o >= 3u\) { return; }/);
  assert.match(epilogue({ ...options, ending: 'texture' }), /texture_storage_2d<rgba8unorm, write>/);
});

test('packed weights hold every weight once, where the kernel looks for it', () => {
  const [inputs, outputs] = [6, 10];
  const kernel = Float32Array.from({ length: 9 * inputs * outputs }, (_, i) => i + 1);
  const convolution = { kernel, bias: Float32Array.from({ length: outputs }, (_, i) => -i - 1), inputs, outputs };
  const division = { slices: 2, groups: 1, perThread: 2 }; // 16 outputs, of which 10 exist
  const direct = packKernel(convolution, { order: 'direct', division });
  assert.equal(direct.length, 2 * 2 * 36 * 8);
  for (let tap = 0; tap < 9; tap++) {
    for (let input = 0; input < inputs; input++) {
      for (let output = 0; output < outputs; output++) {
        const [slice, quad] = [output >> 3, input >> 2];
        const at = ((slice * 2 + quad) * 36 + tap * 4 + (input & 3)) * 8 + (output & 7);
        assert.equal(direct[at], kernel[(tap * inputs + input) * outputs + output]);
      }
    }
  }
  assert.equal(direct.filter(Boolean).length, kernel.length);
  assert.deepEqual([...packBias(convolution, division)].slice(7, 12), [-8, -9, -10, 0, 0]);
  const merged = [kernel.slice(0, 60), kernel.slice(60, 120)];
  const extended = packKernel({ ...convolution, merged }, { order: 'direct', division });
  assert.deepEqual(extended.slice(0, direct.length), direct);
  assert.equal(extended[direct.length + ((1 * 2 + 1) * 8 + 5) * 8 + 1], merged[1][5 * outputs + 9]);
});

test('transformed weights convolve as the kernel does', () => {
  const kernel = Float32Array.from({ length: 9 }, (_, i) => Math.sin(i + 1));
  const convolution = { kernel, bias: Float32Array.of(0), inputs: 1, outputs: 1 };
  const packed = packKernel(convolution, { order: 'winograd', division: { slices: 1, groups: 1, perThread: 1 } });
  const u = Array.from({ length: 16 }, (_, position) => packed[position * 16]); // quad of 4 × 4
  const patch = Array.from({ length: 16 }, (_, i) => Math.cos(3 * i));
  const B = [
    [1, 0, -1, 0],
    [0, 1, 1, 0],
    [0, -1, 1, 0],
    [0, 1, 0, -1],
  ];
  const A = [
    [1, 1, 1, 0],
    [0, 1, -1, -1],
  ];
  const sandwich = (m, x) =>
    m.map((left) =>
      m.map((right) => left.reduce((s, a, i) => s + right.reduce((t, b, j) => t + a * b * x[4 * i + j], 0), 0)),
    );
  const product = sandwich(B, patch).flat().map((v, i) => v * u[i]); // prettier-ignore
  const found = sandwich(A, product);
  for (const [y, x] of [
    [0, 0],
    [0, 1],
    [1, 0],
    [1, 1],
  ]) {
    // prettier-ignore
    let expected = 0;
    for (let tap = 0; tap < 9; tap++) expected += kernel[tap] * patch[(y + Math.floor(tap / 3)) * 4 + x + (tap % 3)];
    assert(Math.abs(found[y][x] - expected) < 1e-6);
  }
});

test('conv_2 and conv_cat become one', () => {
  const c = 2;
  const random = (n, seed) => Float32Array.from({ length: n }, (_, i) => Math.sin(seed + 7 * i));
  const tail = { kernel: random(9 * c * c, 1), bias: random(c, 2), inputs: c, outputs: c };
  const cat = { kernel: random(4 * c * c, 3), bias: random(c, 4), inputs: 4 * c, outputs: c };
  const both = compose(tail, cat);
  const own = (q, o) => cat.kernel[(c + q) * c + o];
  for (let o = 0; o < c; o++) {
    const bias = cat.bias[o] + tail.bias[0] * own(0, o) + tail.bias[1] * own(1, o);
    assert(Math.abs(both.bias[o] - bias) < 1e-6);
    const value = tail.kernel[(5 * c + 1) * c] * own(0, o) + tail.kernel[(5 * c + 1) * c + 1] * own(1, o);
    assert(Math.abs(both.kernel[(5 * c + 1) * c + o] - value) < 1e-6);
  }
  const parts = [0, 2, 3].map((i) => cat.kernel.slice(i * c * c, (i + 1) * c * c));
  assert.deepEqual(both.merged, parts);
});

test('every pixel of the result gets a quad whose fourth channel is one', () => {
  const last = {
    kernel: Float32Array.from({ length: 9 * 2 * 12 }, (_, i) => i),
    bias: new Float32Array(12),
    inputs: 2,
    outputs: 12,
  };
  const { kernel, bias, outputs } = toPixels(last);
  assert.equal(outputs, 16);
  assert.deepEqual([...kernel.slice(0, 8)], [0, 1, 2, 0, 3, 4, 5, 0]);
  assert.deepEqual([...bias.slice(0, 8)], [0, 0, 0, 1, 0, 0, 0, 1]);
});

test('a plan reads only what was written, and writes nothing that it reads', () => {
  for (const blocks of [1, 2, 3, 6, 7]) {
    const steps = planSteps(blocks);
    assert.equal(steps.length, 3 * blocks + 3);
    const written = new Map([['source', -1]]);
    const kept = new Set();
    steps.forEach(({ kind, input, output, extras }, i) => {
      for (const name of [input, ...extras]) {
        assert(written.has(name), `${name} of step ${i}`);
        assert.notEqual(name, output);
      }
      assert(!kept.has(output), `${output} is read again at the end`);
      if (['head', 'first', 'activated'].includes(output)) kept.add(output);
      written.set(output, i);
      if (kind === 'attend') assert.equal(extras.length, 1);
    });
    assert.equal(steps.at(-1)?.output, 'target');
    assert.deepEqual(steps.at(-2)?.extras, ['head', 'first', 'activated']);
    for (const name of written.keys()) assert([...BUFFERS, 'source', 'target'].includes(name));
  }
});

test('tiles are told where they lie', () => {
  const [, second] = planAxis(50, 30, 9);
  const tile = tileAt(second, second, 2);
  assert.deepEqual(tile.keep, { left: 18, top: 18, right: 42, bottom: 42 });
  const values = tileValues({ ...tile, place: { x: 3, y: 4 }, grey: true }, 2);
  assert.equal(values.byteLength, TILE_BYTES);
  assert.deepEqual([...values], [30, 30, 12, 12, 18, 18, 42, 42, 3, 4, 1, 0]);
  assert.deepEqual(keptOf({ width: 3, height: 2 }, 4), { left: 0, top: 0, right: 12, bottom: 8 });
});

test('frames are divided evenly', () => {
  for (const [length, halo] of [
    [1280, 21],
    [720, 21],
    [512, 21],
    [513, 9],
    [3840, 21],
    [40, 21],
  ]) {
    // prettier-ignore
    for (const most of [512, 300]) {
      const tile = evenTile(length, halo, most);
      assert(tile <= most);
      const spans = planAxis(length, tile, halo);
      assert.equal(spans.at(-1)?.to, length);
      const fewest = length <= most ? 1 : Math.ceil((length - 2 * halo) / (most - 2 * halo));
      assert.equal(spans.length, fewest);
      assert(spans.length * tile < length + 2 * halo * spans.length + spans.length);
    }
  }
});

test('weights are decoded from every type', () => {
  assert.deepEqual([0x0000, 0x3c00, 0xc000, 0x0001, 0x7bff].map(fromHalf), [0, 1, -2, 2 ** -24, 65504]);
  assert(Number.isNaN(fromHalf(0x7e00)));
  assert.equal(fromHalf(0xfc00), -Infinity);
  const weightSpecs = [
    { name: 'a', shape: [2], dtype: 'float32' },
    { name: 'b', shape: [2], dtype: 'float32', quantization: { dtype: 'float16' } },
    { name: 'c', shape: [2, 2], dtype: 'float32', quantization: { dtype: 'uint8', scale: 0.5, min: -1 } },
  ];
  const bytes = [new Float32Array([1.5, -2]), new Uint16Array([0x3c00, 0x3800]), new Uint8Array([0, 1, 2, 255])];
  const weightData = Buffer.concat(bytes.map(({ buffer }) => Buffer.from(buffer)));
  const data = weightData.buffer.slice(weightData.byteOffset, weightData.byteOffset + weightData.length);
  const weights = readWeights({ weightSpecs, weightData: data });
  assert.deepEqual([...weights].map(([name, values]) => [name, ...values]), [['a', 1.5, -2], ['b', 1, 0.5], ['c', -1, -0.5, 0, 126.5]]); // prettier-ignore
});

test('work is begun ahead, handed out in order, and begun anew after a failure', async () => {
  const begun = [];
  const ahead = new Ahead(
    [1, 2, 3, 4],
    async (item) => {
      begun.push(item);
      if (item === 2 && begun.length === 3) throw new Error('lost');
      return item * 10;
    },
    () => 2,
  );
  assert.equal(await ahead.take(), 10);
  assert.deepEqual(begun, [1, 2]);
  await assert.rejects(async () => {
    begun.push('again');
    throw await ahead.take();
  });
  ahead.restart();
  assert.equal(await ahead.take(), 30);
  assert.equal(await ahead.take(), 40);
  assert.deepEqual(begun.slice(-2), [3, 4]);
});
