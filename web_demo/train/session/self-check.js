/** The self-check inside a saved model, in the form of `export/span_export/golden.py`: an input and what it must give. */

import { Network } from './layers-model.js';

const HEIGHT = 8;
const WIDTH = 12;
/** Half of an 8-bit level. */
const HALF_LEVEL = 0.5 / 255;

/**
 * @param {Tf} tf with a backend that computes in float32
 * @param {import('./layers-model.js').NetworkConfig} config
 * @param {Float32Array} parameters
 * @returns {Promise<import('../../network/model.js').Golden>}
 */
export async function makeGolden(tf, config, parameters) {
  const tile = testTile();
  const network = new Network(tf, config, parameters);
  const output = tf.tidy(() =>
    network.apply(
      tf.tensor4d(
        Float32Array.from(tile, (level) => level / 255),
        [1, HEIGHT, WIDTH, 3],
      ),
    ),
  );
  const values = /** @type {Float32Array} */ (await output.data());
  output.dispose();
  network.dispose();
  return {
    inputShape: [HEIGHT, WIDTH, 3],
    input: base64(tile),
    outputShape: [HEIGHT * config.scale, WIDTH * config.scale, 3],
    output: base64(new Uint8Array(values.buffer, values.byteOffset, values.byteLength)),
    tolerance: HALF_LEVEL * values.reduce((most, value) => Math.max(most, Math.abs(value)), 1),
  };
}

/** Slopes, stripes, saturated colours, black and white: (HEIGHT, WIDTH, 3). */
function testTile() {
  const tile = new Uint8ClampedArray(HEIGHT * WIDTH * 3);
  for (let y = 0; y < HEIGHT; y++) {
    for (let x = 0; x < WIDTH; x++) {
      let colour = [110 + 9 * x + 3 * y, 150 + 5 * x + 2 * y, 225 - 4 * x - 6 * y];
      if (x + 2 * y > 15) colour = (x + y) % 2 ? [92, 71, 48] : [31, 84, 22];
      if (x + y < 2) colour = [255, 255, 255];
      if (x + y > HEIGHT + WIDTH - 4) colour = [0, 0, 0];
      if (y === 0 && x >= WIDTH - 3) colour = [0, 1, 2].map((c) => (c === WIDTH - 1 - x ? 255 : 0));
      tile.set(colour, (y * WIDTH + x) * 3);
    }
  }
  return new Uint8Array(tile.buffer);
}

const base64 = (bytes) => btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(''));
