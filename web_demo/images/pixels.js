/** Parts of images on their way to the network, and the network's results on their way into the enlarged image. */
import { LUMA } from '../constants.js';
import { ImageError, whiteOf } from './decode.js';

/** @typedef {import('./tiling.js').Span} Span */

/**
 * @typedef {object} Place where the result of a tile goes
 * @property {Span} x of the tile
 * @property {Span} y
 * @property {number} left first column of the region that is filled, in low-resolution pixels like `top`
 * @property {number} top
 * @property {number} width of the region in pixels of the result
 */

/** @typedef {Uint8ClampedArray<ArrayBuffer> | Uint16Array<ArrayBuffer>} Levels of 8 or 16 bits */

/**
 * Allocate memory for a result.
 * @param {number} length in values
 * @param {ArrayLike<number>} [like] an array of as many bits, by default 8
 * @returns {Levels}
 * @throws {ImageError} there is not enough
 */
export function allocate(length, like) {
  const isDeep = like instanceof Uint16Array;
  try {
    return isDeep ? new Uint16Array(length) : new Uint8ClampedArray(length);
  } catch {
    throw new ImageError(
      `This device cannot hold ${Math.round((length * (isDeep ? 2 : 1)) / 1e6)} MB of the result at once; use a smaller image or scale.`,
    );
  }
}

/**
 * Cut out what the network sees of a tile.
 * @template {Uint8ClampedArray | Uint16Array} Data
 * @param {{data: Data, width: number}} image RGBA
 * @param {Pick<Span, 'start' | 'size'>} x
 * @param {Pick<Span, 'start' | 'size'>} y
 * @returns {{data: Data, width: number, height: number}} of as many bits
 */
export function crop(image, x, y) {
  const data = /** @type {Data} */ (allocate(x.size * y.size * 4, image.data));
  for (let row = 0; row < y.size; row++) {
    const from = ((y.start + row) * image.width + x.start) * 4;
    data.set(image.data.subarray(from, from + x.size * 4), row * x.size * 4);
  }
  return { data, width: x.size, height: y.size };
}

/**
 * Return pixels as a network sees those of more than 8 bits.
 * @param {{data: ArrayLike<number>, width: number, height: number}} image levels
 * @returns {{data: Float32Array, width: number, height: number}} in [0, 1]
 */
export function toFloats(image) {
  const white = whiteOf(image.data);
  return { ...image, data: Float32Array.from(image.data, (value) => value / white) };
}

/** @param {Levels} data @returns {Uint8ClampedArray<ArrayBuffer>} the nearest of 8 bits */
export const toBytes = (data) =>
  data instanceof Uint16Array ? Uint8ClampedArray.from(data, (value) => value / 257) : data;

/**
 * Store the part of a result that is kept, rounded and opaque.
 * @param {Float32Array} values RGB in [0, 1] of the whole tile; what is beyond is clipped
 * @param {Place} place
 * @param {number} scale
 * @param {Levels} out RGBA of the region
 */
export function store(values, place, scale, out) {
  const { level, white } = levelsOf(out);
  eachKept(place, scale, (from, to) => {
    out[to] = level(values[from]);
    out[to + 1] = level(values[from + 1]);
    out[to + 2] = level(values[from + 2]);
    out[to + 3] = white;
  });
}

/**
 * Store the luma of a grey image's result, for the network may tint it; else as `store`.
 * @param {Float32Array} values
 * @param {Place} place
 * @param {number} scale
 * @param {Levels} out
 */
export function storeGrey(values, place, scale, out) {
  const { level, white } = levelsOf(out);
  eachKept(place, scale, (from, to) => {
    out.fill(level(luma(values, from)), to, to + 3);
    out[to + 3] = white;
  });
}

/**
 * Visit the kept pixels of a result.
 * @param {Place} place
 * @param {number} scale
 * @param {(from: number, to: number, x: number, y: number) => void} visit receives the index in the tile's RGB, that in
 *   the region's RGBA, and the place in the whole result
 */
export function eachKept({ x, y, left, top, width }, scale, visit) {
  for (let row = y.from * scale; row < y.to * scale; row++) {
    let from = ((row - y.start * scale) * x.size * scale + (x.from - x.start) * scale) * 3;
    let to = ((row - top * scale) * width + (x.from - left) * scale) * 4;
    for (let column = x.from * scale; column < x.to * scale; column++, from += 3, to += 4) visit(from, to, column, row);
  }
}

/** Return the luma of the RGB values at an index, as `predict_channels` in `span_keras/images/alpha.py` weighs them. */
export const luma = (values, at) => LUMA[0] * values[at] + LUMA[1] * values[at + 1] + LUMA[2] * values[at + 2];

/** Return the level 0..255 of a value in [0, 1], halves up; the clamped array clips. `Math.floor` keeps it from rounding halves to even. */
const byte = (value) => Math.floor(value * 255 + 0.5);
/** Return the level 0..65535 likewise; its array does not clip. */
const deep = (value) => Math.floor(Math.min(1, Math.max(0, value)) * 65535 + 0.5);

/** @param {Levels} out @returns {{level: (value: number) => number, white: number}} what turns a value into one of its levels */
export const levelsOf = (out) => ({ level: out instanceof Uint16Array ? deep : byte, white: whiteOf(out) });
