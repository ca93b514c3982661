/**
 * Transparency without dark fringes, as `span_keras/images/alpha.py` does it: colours bleed into what is fully transparent,
 * and alpha goes through the network as a grey image, kept within the range of its neighbourhood.
 */

import { ALPHA_BLEED } from '../constants.js';
import { whiteOf } from './decode.js';
import { crop, eachKept, levelsOf, luma, toFloats } from './pixels.js';

/**
 * Give fully transparent pixels within `ALPHA_BLEED` of others the mean colour of their neighbours, in place.
 * @param {{data: Float32Array, width: number, height: number}} pixels RGBA
 */
export function bleed({ data, width, height }) {
  let known = Uint8Array.from({ length: width * height }, (_, i) => Number(data[4 * i + 3] > 0));
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

/** @typedef {import('./decode.js').Pixels} Pixels */
/** @typedef {import('./tiling.js').Span} Span */

/**
 * Return the smallest and largest alpha among a pixel and its eight neighbours, in [0, 1]: what its enlargement may hold,
 * so that opaque areas stay wholly opaque and empty ones wholly empty.
 * @param {Pixels} image
 * @param {number} x
 * @param {number} y
 */
export function alphaRange({ data, width, height }, x, y) {
  const white = whiteOf(data);
  let low = white;
  let high = 0;
  eachNeighbour(x, y, width, height, (j) => {
    low = Math.min(low, data[4 * j + 3]);
    high = Math.max(high, data[4 * j + 3]);
  });
  return [low / white, high / white];
}

/**
 * Cut out a tile whose fully transparent pixels have the colours around them, those beyond the tile among them.
 * @param {Pixels} image
 * @param {Span} x
 * @param {Span} y
 * @returns {{data: Float32Array, width: number, height: number}} RGBA in [0, 1]
 */
export function bled(image, x, y) {
  const widen = ({ start, size }, length) => {
    const from = Math.max(0, start - ALPHA_BLEED);
    return { start: from, size: Math.min(length, start + size + ALPHA_BLEED) - from };
  };
  const [wideX, wideY] = [widen(x, image.width), widen(y, image.height)];
  const wide = toFloats(crop(image, wideX, wideY));
  bleed(wide);
  const data = new Float32Array(x.size * y.size * 4);
  for (let row = 0; row < y.size; row++) {
    const from = ((y.start - wideY.start + row) * wide.width + x.start - wideX.start) * 4;
    data.set(wide.data.subarray(from, from + x.size * 4), row * x.size * 4);
  }
  return { data, width: x.size, height: y.size };
}

/**
 * Return the transparency of a tile as a grey image.
 * @param {{data: Uint8ClampedArray | Float32Array | Uint16Array, width: number, height: number}} tile RGBA
 * @returns {{data: Uint8ClampedArray | Float32Array, width: number, height: number}}
 */
export function alphaOf({ data, width, height }) {
  const grey = new /** @type {any} */ (data.constructor)(data.length);
  for (let i = 0; i < data.length; i += 4) grey.fill(data[i + 3], i, i + 3);
  return { data: grey, width, height };
}

/**
 * Store the alpha of a result: the luma of what the network made of it as a grey image.
 * @param {Float32Array | Uint8ClampedArray} values RGB in [0, 1] of the whole tile, or grey levels as RGBA of what is kept
 * @param {Pixels} image the input
 * @param {import('./pixels.js').Place} place
 * @param {number} scale
 * @param {import('./pixels.js').Levels} out RGBA of the region, with its colours
 */
export function storeAlpha(values, image, place, scale, out) {
  const { level } = levelsOf(out);
  const isGrey = values instanceof Uint8ClampedArray;
  let column, row, low, high;
  let at = -4;
  eachKept(place, scale, (from, to, x, y) => {
    const [nextColumn, nextRow] = [Math.floor(x / scale), Math.floor(y / scale)];
    if (nextColumn !== column || nextRow !== row) {
      [column, row] = [nextColumn, nextRow];
      [low, high] = alphaRange(image, column, row);
    }
    const value = isGrey ? values[(at += 4)] / 255 : luma(values, from);
    out[to + 3] = level(Math.min(high, Math.max(low, value)));
  });
}

function eachNeighbour(x, y, width, height, visit) {
  for (let row = Math.max(0, y - 1); row <= Math.min(height - 1, y + 1); row++) {
    for (let column = Math.max(0, x - 1); column <= Math.min(width - 1, x + 1); column++) visit(row * width + column);
  }
}
