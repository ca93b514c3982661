/** The self-check inside a saved model, in the form of `export/span_export/golden.py`: an input and what it must give. */

import { GOLDEN_TILE } from '../../constants.js';
import { Network } from './layers-model.js';

/** Half of an 8-bit level. */
const HALF_LEVEL = 0.5 / 255;

/**
 * @param {Tf} tf with a backend that computes in float32
 * @param {import('./layers-model.js').NetworkConfig} config
 * @param {Float32Array} parameters
 * @returns {Promise<import('../../network/model.js').Golden>}
 */
export async function makeGolden(tf, config, parameters) {
  const tile = goldenInput();
  const [height, width] = [GOLDEN_TILE.length, tile.length / GOLDEN_TILE.length / 3];
  const network = new Network(tf, config, parameters);
  const output = tf.tidy(() =>
    network.apply(
      tf.tensor4d(
        Float32Array.from(tile, (level) => level / 255),
        [1, height, width, 3],
      ),
    ),
  );
  const values = /** @type {Float32Array} */ (await output.data());
  output.dispose();
  network.dispose();
  return {
    inputShape: [height, width, 3],
    input: base64(tile),
    outputShape: [height * config.scale, width * config.scale, 3],
    output: base64(new Uint8Array(values.buffer, values.byteOffset, values.byteLength)),
    tolerance: HALF_LEVEL * values.reduce((most, value) => Math.max(most, Math.abs(value)), 1),
  };
}

/** @returns {Uint8Array} the pixels of `GOLDEN_TILE`, as Python's `golden_input` gives them */
export function goldenInput() {
  const colours = GOLDEN_TILE.flatMap((row) => row.split(' '));
  return Uint8Array.from(colours.flatMap((hex) => [0, 2, 4].map((at) => parseInt(hex.slice(at, at + 2), 16))));
}

const base64 = (bytes) => btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(''));
