/** A set of kernels counts only if it computes the network: the gate before its first use. */
import { inSlices } from '../../limit.js';
import { decodeGolden } from '../../network/model.js';
import { goldenError } from '../../network/network.js';
import { referenceSteps } from '../../network/reference.js';

/** Larger than one workgroup of any shape in both directions, and odd. */
const SIZE = { width: 33, height: 17 };

/**
 * Largest error of kernels in float32 after one block, in parts of the largest value. Of ours it was at most 1.7e-6 on a
 * software GPU, for eleven networks. On others divisions may be 2.5 ULP off and `exp(x)` 3 + 2 |x|: an activation or
 * attention then errs by at most 1e-6 of what it works on, and all of them together by less than half of this. Rounding a
 * layer to float16 errs by 1e-4 and more.
 */
const FLOAT32_ERROR = 2e-5;

/**
 * Check the model's golden tile in floats, and another image at a size of several workgroups against plain JavaScript.
 * @param {import('./network.js').GpuNetwork} network
 * @param {import('./program.js').Program} program
 * @param {Promise<unknown>} compiled
 * @throws {Error} it computes something else
 */
export async function checkProgram(network, program, compiled) {
  const { artifacts, config } = network;
  const image = program.set.bound === undefined ? NOISE : WAVES;
  const expecting = expectationOf(artifacts, config, image); // while the shaders are compiled
  await compiled;
  if (config.golden) {
    const golden = decodeGolden(config.golden);
    const error = await goldenError((pixels) => network.compute(pixels, program), golden);
    if (!(error <= Math.min(program.set.bound ?? Infinity, golden.tolerance))) {
      throw new Error(`it computed the self-check wrongly (off by ${error.toPrecision(2)})`);
    }
  }
  const { data, blocks } = image;
  const expected = await expecting;
  const largest = expected.values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  const { bound = FLOAT32_ERROR * largest } = program.set;
  const found = await network.enlarge({ data }, SIZE, { program, blocks });
  const wrong = expected.levels.findIndex((level, i) => Math.abs(level - found[i]) > 1);
  const size = `${SIZE.width}×${SIZE.height}`;
  if (wrong >= 0) {
    throw new Error(`it computed ${size} pixels wrongly (${found[wrong]}, not ${expected.levels[wrong]})`);
  }
  const values = await network.compute({ data, ...SIZE }, program, blocks);
  const error = values.reduce((worst, value, i) => Math.max(worst, Math.abs(value - expected.values[i])), 0);
  if (!(error <= bound)) throw new Error(`it computed ${size} pixels too roughly (off by ${error.toPrecision(2)})`);
}

/** @param {(i: number) => number} level @returns {Uint8Array} RGBA */
const paint = (level) =>
  Uint8Array.from({ length: SIZE.width * SIZE.height * 4 }, (_, i) => (i % 4 === 3 ? 255 : level(i)));

/** What shows every error, through one block, which has every kernel and takes JavaScript little time. */
const NOISE = { data: paint((i) => (i * 7919) % 251), blocks: 1 };

/** What is like a photograph, through the whole network: noise takes values far out of range, and so do their errors. */
const WAVES = {
  data: paint((i) => {
    const [x, y, color] = [(i >> 2) % SIZE.width, Math.floor((i >> 2) / SIZE.width), i % 4];
    return 128 + 90 * Math.sin(x / 5 + color) * Math.cos(y / 4);
  }),
  blocks: undefined,
};

/** @typedef {{values: Float32Array, levels: Uint8ClampedArray}} Expectation */

/** @type {WeakMap<object, Map<object, Promise<Expectation>>>} by artifacts and image */
const expectations = new WeakMap();

/** What the network makes of an image. @returns {Promise<Expectation>} */
function expectationOf(artifacts, config, image) {
  const known = expectations.get(artifacts) ?? new Map();
  expectations.set(artifacts, known);
  if (!known.has(image)) known.set(image, expect(artifacts, config, image));
  return /** @type {Promise<Expectation>} */ (known.get(image));
}

/** In slices: for frames this is the page's own thread. */
async function expect(artifacts, config, { data, blocks = config.blocks }) {
  const values = await inSlices(referenceSteps(artifacts, { ...config, blocks }, { data, ...SIZE }));
  const levels = Uint8ClampedArray.from({ length: (values.length / 3) * 4 }, (_, i) => {
    return i % 4 === 3 ? 255 : Math.floor(values[Math.floor(i / 4) * 3 + (i % 4)] * 255 + 0.5);
  });
  return { values, levels };
}
