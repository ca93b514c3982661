/** The kernels for matrix units, run as JavaScript: SwiftShader has no such units. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startOwn } from '../../web_demo/engine/own.js';
import { matrixOf, openDevice } from '../../web_demo/engine/webgpu/device.js';
import { packBias, packKernel } from '../../web_demo/engine/webgpu/packing.js';
import { fitting, kernelsOf, matrixSets } from '../../web_demo/engine/webgpu/sets.js';
import { layoutFor, matrixConvolution } from '../../web_demo/engine/webgpu/shaders/matrix.js';
import { fromHalf, toHalf } from '../../web_demo/network/weights.js';

/** NVIDIA's, Intel's and Apple's. */
const MATRICES = [
  { pixels: 16, block: 16, lanes: 32 },
  { pixels: 8, block: 16, lanes: 16 },
  { pixels: 8, block: 8, lanes: 32 },
];
const LIMITS = { maxComputeWorkgroupStorageSize: 16384 };

test('halves are rounded to the nearest, and to even between two', () => {
  for (let bits = 0; bits < 65536; bits++) {
    const value = fromHalf(bits);
    if (!Number.isNaN(value) && bits !== 0x8000) assert.equal(toHalf(value), bits);
  }
  assert.deepEqual(
    [1 + 2 ** -11, 1 + 3 * 2 ** -11, 65519, 65520, 2 ** -25, 3 * 2 ** -25].map(toHalf),
    [0x3c00, 0x3c02, 0x7bff, 0x7c00, 0, 2],
  );
});

test('kernels of any network fit the default limits, and are well formed', () => {
  for (const matrix of MATRICES) {
    assert.equal(new Set(matrixSets(matrix).map(({ name }) => name)).size, matrixSets(matrix).length);
    for (const channels of [1, 6, 28, 48, 52, 96, 200]) {
      for (const scale of [1, 2, 3, 4, 8]) {
        const config = { channels, scale, variant: 'span', blocks: 6, imgRange: 1, rgbMean: [0, 0, 0] };
        for (const set of matrixSets(matrix)) {
          assert.equal(fitting([set], config, LIMITS).length, 1);
          const { first, activate, attend, merge, last } = kernelsOf(set, config);
          for (const kernel of [
            first('bytes'),
            activate,
            attend,
            merge,
            last('bytes'),
            last('floats'),
            last('texture'),
          ]) {
            const { code, threads, groups, division } = kernel;
            assert(threads <= 256);
            assert.equal(threads % matrix.lanes, 0);
            assert.equal(groups(1, 1)[2], division.slices);
            assert(code.startsWith('enable f16;'));
            const bindings = [...code.matchAll(/@binding\((\d+)\)/g)].map(([, number]) => number);
            assert.equal(new Set(bindings).size, bindings.length);
            assert(bindings.length <= 8);
            assert(!/undefined|NaN|\$\{/.test(code), code);
            assert.equal(code.split('{').length, code.split('}').length);
          }
        }
      }
    }
  }
});

const SMALL = { pixels: 2, block: 4, lanes: 2 };
const SHAPE = { rows: 2, across: 2, down: 1 };

/**
 * Run a kernel's WGSL on whole numbers: those of u32 become `BigInt`, whose division is the same, and every thread
 * computes its subgroup's matrices.
 */
function run(kernel, { width, height }, buffers) {
  const names = { subgroupMatrixMultiplyAccumulate: 'multiply', 'subgroupMatrixStore<row_major>': 'store' };
  let code = kernel.code.slice(kernel.code.indexOf('fn pitch'));
  code = `${code.slice(0, code.indexOf('@group'))}\n${code.slice(code.indexOf('fn main'))}`;
  code = code
    .replace(/fn main\([^{]*\{/, 'fn main(group: vec3<u32>, thread: u32) -> u32 {')
    .replace(/fn (\w+)\(([^)]*)\) -> u32/g, (_, name, given) => `function ${name}(${given.replace(/: [^,]+/g, '')})`)
    .replace(/subgroupMatrixLoad<subgroup_matrix_\w+<f16, (\d+), (\d+)>, row_major>\(&(\w+),/g, 'load($2, $1, $3,')
    .replace(/subgroup_matrix_result<f32, (\d+), (\d+)>\(\)/g, 'Array.from({ length: $2 }, () => Array($1).fill(0))')
    .replace(/vec4<f32>\(([^)]*)\) \+ (\w+\[\w+\])/g, '[$1].map((v, i) => v + $2[i])')
    .replace(/workgroupBarrier\(\);/g, '')
    .replace(/&sums/g, 'sums')
    .replace(/\blet /g, 'const ')
    .replace(/\bvar /g, 'let ')
    .replace(/\b(\d+)u\b/g, '$1n');
  for (const [name, short] of Object.entries(names)) code = code.replaceAll(name, short);
  const load = (rows, columns, from, at, stride) =>
    Array.from({ length: rows }, (_, r) =>
      Array.from({ length: columns }, (__, c) => {
        const value = from[Number(at) + r * Number(stride) + c];
        assert.notEqual(value, undefined, 'a read beyond the buffer');
        return value;
      }),
    );
  const multiply = (a, b, sums) =>
    sums.map((row, r) => row.map((sum, c) => a[r].reduce((s, value, k) => s + value * b[k][c], sum)));
  const store = (to, at, matrix, stride) =>
    matrix.forEach((row, r) => row.forEach((value, c) => (to[Number(at) + r * Number(stride) + c] = value)));
  const output = new Float32Array(buffers.input.length * 8);
  const put = (o, x, y, values) => output.set(values, 4 * Number(main.quad_at(o, { x, y })));
  const tile = { size: { x: BigInt(width), y: BigInt(height) } };
  const given = { load, multiply, store, put, tile, sums: [], ...buffers };
  const main = new Function(...Object.keys(given), `${code}\nreturn { main, quad_at };`)(...Object.values(given));
  const [across, down, slices] = kernel.groups(width, height);
  for (let i = 0; i < across * down * slices; i++) {
    const [x, y, z] = [i % across, Math.floor(i / across) % down, Math.floor(i / across / down)].map(BigInt);
    for (let thread = 0; thread < kernel.threads; thread++) main.main({ x, y, z }, BigInt(thread));
  }
  const at = (channel, x, y) =>
    4 * Number(main.quad_at(BigInt(channel >> 2), { x: BigInt(x), y: BigInt(y) })) + (channel & 3);
  return { output, at };
}

const whole = (length, seed) => Float32Array.from({ length }, (_, i) => ((i * 7919 + seed) % 13) - 6);

for (const [inputs, outputs, ending, width, height] of [
  [6, 6, 'linear', 5, 3],
  [4, 68, 'linear', 3, 1],
  [10, 10, 'merge', 4, 5],
]) {
  test(`a kernel computes ${ending} from ${inputs} to ${outputs} channels`, () => {
    const merged = ending === 'merge' ? [1, 2, 3].map((seed) => whole(inputs * outputs, seed)) : undefined;
    const convolution = { kernel: whole(9 * inputs * outputs, 4), bias: whole(outputs, 5), inputs, outputs, merged };
    const options = { matrix: SMALL, shape: SHAPE, inputs, outputs, ending, variant: 'span' };
    const kernel = matrixConvolution(options);
    const packed = Float32Array.from(packKernel(convolution, kernel), fromHalf);
    const flat = packBias(convolution, kernel.division);
    const biases = Array.from({ length: flat.length / 4 }, (_, i) => flat.subarray(4 * i, 4 * i + 4));
    const length = layoutFor(SMALL, SHAPE).bytes(Math.max(inputs, outputs), width, height) / 2;
    const images = (merged ? [6, 7, 8, 9] : [6]).map((seed) => whole(inputs * width * height, seed));
    // Where a value lies is asked of the kernel itself, with buffers of zeros.
    const names = ['input', 'extra0', 'extra1', 'extra2'];
    const empty = Object.fromEntries(names.map((name) => [name, new Float32Array(length)]));
    const { at } = run(kernel, { width, height }, { ...empty, weights: packed, biases });
    images.forEach((image, e) => {
      for (let i = 0; i < image.length; i++) {
        const [channel, pixel] = [i % inputs, Math.floor(i / inputs)];
        empty[names[e]][at(channel, pixel % width, Math.floor(pixel / width))] = image[i];
      }
    });
    const { output } = run(kernel, { width, height }, { ...empty, weights: packed, biases });
    const written = new Set();
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++) {
        for (let o = 0; o < outputs; o++) {
          let expected = convolution.bias[o];
          for (let tap = 0; tap < 9; tap++) {
            const [row, column] = [y + Math.floor(tap / 3) - 1, x + (tap % 3) - 1];
            if (row < 0 || row >= height || column < 0 || column >= width) continue;
            for (let i = 0; i < inputs; i++) {
              const weight = convolution.kernel[(tap * inputs + i) * outputs + o];
              expected += weight * images[0][(row * width + column) * inputs + i];
            }
          }
          merged?.forEach((weights, e) => {
            for (let i = 0; i < inputs; i++) {
              expected += weights[i * outputs + o] * images[e + 1][(y * width + x) * inputs + i];
            }
          });
          assert.equal(output[at(o, x, y)], expected, `channel ${o} at ${x}, ${y}`);
          written.add(at(o, x, y));
        }
      }
    }
    output.forEach((value, i) => assert(value === 0 || written.has(i), 'what lies around the tile stays zero'));
  });
}

const FEATURES = ['shader-f16', 'subgroups', 'chromium-experimental-subgroup-matrix'];
const info = (configs, min = 32, max = 32) => ({
  subgroupMatrixConfigs: configs.map(([componentType, resultComponentType, M, N, K]) => {
    return { componentType, resultComponentType, M, N, K };
  }),
  subgroupMinSize: min,
  subgroupMaxSize: max,
});

test('matrix units are taken where they multiply halves to floats', () => {
  const all = new Set(FEATURES);
  const fit = ['f16', 'f32', 8, 16, 16];
  assert.deepEqual(matrixOf(all, info([['u8', 'u32', 8, 8, 8], fit])), { pixels: 8, block: 16, lanes: 32 });
  for (const [features, told] of [
    [new Set(FEATURES.slice(1)), info([fit])],
    [all, info([fit], 16, 32)],
    [all, info([['f16', 'f16', 16, 16, 16]])],
    [all, info([['f16', 'f32', 16, 8, 16]])],
    [all, undefined],
  ]) {
    assert.equal(matrixOf(features, told), null);
  }
});

/** A GPU whose devices nobody gets. */
function refusing() {
  const asked = [];
  const adapter = {
    features: new Set(FEATURES),
    info: info([['f16', 'f32', 16, 16, 16]]),
    limits: {},
    requestDevice: async ({ requiredFeatures }) => {
      asked.push(requiredFeatures);
      throw new Error(`no device ${asked.length}`);
    },
  };
  return { gpu: { requestAdapter: async () => adapter }, asked };
}

test('experimental features are asked for only with float16', async () => {
  const { gpu, asked } = refusing();
  await assert.rejects(openDevice({ gpu }));
  await assert.rejects(openDevice({ gpu, precision: 'float32' }));
  await assert.rejects(openDevice({ gpu, precision: 'float16' }));
  assert.deepEqual(asked, [[], [], FEATURES]);
});

test('where a device fails with float16, one without is started', async () => {
  const { gpu, asked } = refusing();
  const config = { inChannels: 3, outChannels: 3 };
  await assert.rejects(startOwn({}, config, { gpu, precision: 'float16' }), /no device 2/);
  assert.deepEqual(asked, [FEATURES, []]);
  await assert.rejects(startOwn({}, config, { gpu }), /no device 3/);
});
