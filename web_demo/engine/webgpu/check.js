/** A set of kernels counts only if it computes the network: the gate before its first use. */
import { decodeGolden } from '../../network/model.js';
import { goldenError } from '../../network/network.js';
import { referenceOutput } from '../../network/reference.js';

/** Larger than one workgroup of any shape in both directions, and odd. */
const [WIDTH, HEIGHT] = [33, 17];

/**
 * Check the model's golden tile in floats, and finished pixels at a size of several workgroups against plain JavaScript.
 * @param {import('./network.js').GpuNetwork} network
 * @param {import('./program.js').Program} program
 * @param {Promise<unknown>} compiled
 * @throws {Error} it computes something else
 */
export async function checkProgram(network, program, compiled) {
  const { artifacts, config } = network;
  const expected = expectationOf(artifacts, config); // while the shaders are compiled
  await compiled;
  if (config.golden) {
    const golden = decodeGolden(config.golden);
    const error = await goldenError((pixels) => network.compute(pixels, program), golden);
    if (!(error <= golden.tolerance)) {
      throw new Error(`it computed the self-check wrongly (off by ${error.toPrecision(2)})`);
    }
  }
  const found = await network.enlarge(expected, { width: WIDTH, height: HEIGHT }, { program, blocks: 1 });
  const wrong = expected.levels.findIndex((level, i) => Math.abs(level - found[i]) > 1);
  if (wrong >= 0) {
    throw new Error(`it computed ${WIDTH}×${HEIGHT} pixels wrongly (${found[wrong]}, not ${expected.levels[wrong]})`);
  }
}

/** @type {WeakMap<object, {data: Uint8Array, levels: Uint8ClampedArray}>} by artifacts */
const expectations = new WeakMap();

/** An image and what the network makes of it with one block, which has every kernel and takes JavaScript little time. */
function expectationOf(artifacts, config) {
  let known = expectations.get(artifacts);
  if (!known) {
    const data = Uint8Array.from({ length: WIDTH * HEIGHT * 4 }, (_, i) => (i % 4 === 3 ? 255 : (i * 7919) % 251));
    const values = referenceOutput(artifacts, { ...config, blocks: 1 }, { data, width: WIDTH, height: HEIGHT });
    const pixels = values.length / 3;
    const levels = Uint8ClampedArray.from({ length: pixels * 4 }, (_, i) => {
      return i % 4 === 3 ? 255 : Math.floor(values[Math.floor(i / 4) * 3 + (i % 4)] * 255 + 0.5);
    });
    known = { data, levels };
    expectations.set(artifacts, known);
  }
  return known;
}
