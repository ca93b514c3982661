/** Pixels on their way to the kernels and back. */

/** @typedef {Float32Array | Uint8Array | Uint8ClampedArray} Values */

/**
 * @typedef {object} Place where finished pixels go
 * @property {Uint8ClampedArray<ArrayBuffer>} data RGBA
 * @property {number} offset in bytes of the first pixel
 * @property {number} stride bytes from a row to the next
 */

/**
 * What the first kernel reads of pixels.
 * @param {{data: ArrayLike<number>, height: number, width: number, stride?: number}} pixels RGB first in every pixel,
 *   0..255, or 0..1 in a Float32Array; `stride` is values per pixel: 4 for RGBA
 * @param {import('../../network/model.js').SpanConfig} config
 * @returns {{kind: import('./shaders/first.js').Input, values: Values}}
 */
export function sourceOf(pixels, config) {
  const isFloat = pixels.data instanceof Float32Array;
  return isFloat ? { kind: 'floats', values: normalised(pixels, config) } : { kind: 'bytes', values: asRgba(pixels) };
}

function normalised({ data, height, width, stride = 4 }, { imgRange, rgbMean }) {
  return Float32Array.from({ length: height * width * 3 }, (_, i) => {
    return (data[Math.floor(i / 3) * stride + (i % 3)] - rgbMean[i % 3]) * imgRange;
  });
}

/** @returns {Uint8Array | Uint8ClampedArray} */
function asRgba({ data, height, width, stride = 4 }) {
  if (stride === 4 && ArrayBuffer.isView(data)) return /** @type {any} */ (data);
  const rgba = new Uint8Array(height * width * 4).fill(255);
  for (let i = 0; i < height * width; i++) {
    for (let c = 0; c < 3; c++) rgba[4 * i + c] = data[stride * i + c];
  }
  return rgba;
}

/** Copy rows of so many bytes. @param {Uint8Array} bytes @param {number} across @param {Place} place */
export function storeRows(bytes, across, { data, offset, stride }) {
  if (stride === across) {
    data.set(bytes, offset);
    return;
  }
  for (let from = 0, to = offset; from < bytes.length; from += across, to += stride) {
    data.set(bytes.subarray(from, from + across), to);
  }
}
