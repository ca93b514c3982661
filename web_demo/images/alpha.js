/**
 * Transparency without dark fringes, as `span_keras/images/alpha.py` does it: colours bleed into what is fully transparent,
 * and alpha goes through the network as a grey image, kept within the range of its neighbourhood.
 */

import { ALPHA_BLEED } from '../constants.js';

/**
 * Give fully transparent pixels within `ALPHA_BLEED` of others the mean colour of their neighbours, in place.
 * @param {{data: Float32Array, width: number, height: number}} pixels RGBA
 */
export function bleed({ data, width, height }) {
  let known = Uint8Array.from({ length: width * height }, (_, i) => data[4 * i + 3] > 0);
  if (known.every(Boolean) || !known.some(Boolean)) return;
  for (let step = 0; step < ALPHA_BLEED; step++) {
    const next = known.slice();
    const colors = [];
    for (let y = 0, i = 0; y < height; y++) {
      for (let x = 0; x < width; x++, i++) {
        if (known[i]) continue;
        const sum = [0, 0, 0];
        let count = 0;
        eachNeighbour(x, y, width, height, (j) => {
          if (!known[j]) return;
          count++;
          for (let c = 0; c < 3; c++) sum[c] += data[4 * j + c];
        });
        if (!count) continue;
        next[i] = 1;
        colors.push(i, sum[0] / count, sum[1] / count, sum[2] / count);
      }
    }
    for (let k = 0; k < colors.length; k += 4) data.set(colors.slice(k + 1, k + 4), 4 * colors[k]);
    known = next;
  }
}

/**
 * Smallest and largest alpha among a pixel and its eight neighbours, 0..1: what its enlargement may hold, so that opaque
 * areas stay wholly opaque and empty ones wholly empty.
 */
export function alphaRange({ data, width, height }, x, y) {
  let low = 255;
  let high = 0;
  eachNeighbour(x, y, width, height, (j) => {
    low = Math.min(low, data[4 * j + 3]);
    high = Math.max(high, data[4 * j + 3]);
  });
  return [low / 255, high / 255];
}

function eachNeighbour(x, y, width, height, visit) {
  for (let row = Math.max(0, y - 1); row <= Math.min(height - 1, y + 1); row++) {
    for (let column = Math.max(0, x - 1); column <= Math.min(width - 1, x + 1); column++) visit(row * width + column);
  }
}
