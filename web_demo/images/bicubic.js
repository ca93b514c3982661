/**
 * Bicubic resizing of 8-bit images by whole factors as MATLAB's `imresize` does it: antialiased when shrinking, mirrored
 * at the borders, rounded after each of its two passes. The same bytes as `span_keras/images/bicubic.py` gives: both
 * compute in whole numbers.
 */

/**
 * @typedef {object} Levels RGB, 0..255
 * @property {number} height
 * @property {number} width
 * @property {Uint8Array | Uint8ClampedArray} data row by row, three values a pixel
 */

/**
 * Shrink by a whole factor as `imresize(image, 1 / scale, "bicubic")` does.
 * Sides that it does not divide give `ceil(side / scale)` pixels; crop first for pairs of LR and HR images.
 * @param {Levels} image
 * @param {number} scale
 * @returns {Levels}
 */
export function downscale(image, scale) {
  checkScale('downscale', scale);
  const rows = contributions(image.height, Math.ceil(image.height / scale), 1 / scale);
  const columns = contributions(image.width, Math.ceil(image.width / scale), 1 / scale);
  return resizeColumns(resizeRows(image, rows), columns);
}

/**
 * Enlarge by a whole factor as `imresize(image, scale, "bicubic")` does.
 * @param {Levels} image
 * @param {number} scale
 * @returns {Levels}
 */
export function upscale(image, scale) {
  checkScale('upscale', scale);
  const rows = contributions(image.height, image.height * scale, scale);
  const columns = contributions(image.width, image.width * scale, scale);
  return resizeColumns(resizeRows(image, rows), columns);
}

function checkScale(name, scale) {
  if (Number.isInteger(scale) && scale >= 1) return;
  throw new RangeError(`${name} expects a whole factor of 1 or more, found ${scale}.`);
}

/**
 * [0, 1] -> 0..255 as MATLAB converts: clipped, halves rounded up.
 * @param {ArrayLike<number>} data
 * @returns {Uint8ClampedArray}
 */
export function toUint8(data) {
  const levels = new Uint8ClampedArray(data.length);
  for (let i = 0; i < data.length; i++) levels[i] = Math.floor(Math.min(Math.max(data[i], 0), 1) * 255 + 0.5);
  return levels;
}

/**
 * RGBA -> RGB.
 * Not by `filter`: V8 collects what that keeps in an array of its own, which ends the tab for a large photograph.
 * @param {ArrayLike<number>} rgba
 * @returns {Uint8ClampedArray}
 */
export function dropAlpha(rgba) {
  const rgb = new Uint8ClampedArray((rgba.length / 4) * 3);
  for (let from = 0, to = 0; to < rgb.length; from += 4, to += 3) {
    rgb[to] = rgba[from];
    rgb[to + 1] = rgba[from + 1];
    rgb[to + 2] = rgba[from + 2];
  }
  return rgb;
}

/**
 * Input positions and weights of every output position; MATLAB's `contributions`.
 * The weights are whole numbers and add up to `total`: all distances are multiples of 1 / (2 · scale), where the kernel
 * has multiples of 1 / (16 · scale³).
 */
function contributions(size, length, factor) {
  if (!(length >= 1)) throw new RangeError(`resizing expects sides of at least 1 pixel, found ${length}.`);
  const stretch = Math.max(1, 1 / factor); // antialiasing widens the kernel by the shrinking factor
  const unit = 16 * Math.round(Math.max(factor, stretch)) ** 3;
  const taps = Math.ceil(4 * stretch) + 2;
  const positions = new Int32Array(length * taps);
  const weights = new Int32Array(length * taps);
  for (let i = 0; i < length; i++) {
    const center = (i + 0.5) / factor - 0.5;
    const first = Math.floor(center - 2 * stretch);
    for (let k = 0; k < taps; k++) {
      positions[i * taps + k] = mirrored(first + k, size);
      weights[i * taps + k] = Math.round(cubic((center - first - k) / stretch) * unit);
    }
  }
  return { length, taps, positions, weights, total: weights.subarray(0, taps).reduce((sum, weight) => sum + weight) };
}

/**
 * Half-sample symmetric: ... 1 0 | 0 1 2 ... n-1 | n-1 n-2 ...
 * @param {number} place
 * @param {number} size n
 * @returns {number} the place inside that is seen there
 */
export function mirrored(place, size) {
  const within = ((place % (2 * size)) + 2 * size) % (2 * size);
  return within < size ? within : 2 * size - 1 - within;
}

/** Keys' cubic convolution kernel with a = -0.5. @param {number} x @returns {number} */
export function cubic(x) {
  x = Math.abs(x);
  if (x <= 1) return (1.5 * x - 2.5) * x * x + 1;
  return x < 2 ? ((-0.5 * x + 2.5) * x - 4) * x + 2 : 0;
}

function resizeRows({ data, width }, { length, taps, positions, weights, total }) {
  const stride = width * 3;
  const out = new Uint8ClampedArray(length * stride);
  const sums = new Float64Array(stride);
  const half = total / 2;
  for (let i = 0; i < length; i++) {
    sums.fill(half); // halves are rounded up
    for (let k = i * taps; k < (i + 1) * taps; k++) {
      const weight = weights[k];
      if (weight === 0) continue;
      for (let j = 0, from = positions[k] * stride; j < stride; j++, from++) sums[j] += weight * data[from];
    }
    for (let j = 0, to = i * stride; j < stride; j++, to++) out[to] = Math.floor(sums[j] / total);
  }
  return { height: length, width, data: out };
}

function resizeColumns({ data, height, width }, { length, taps, positions, weights, total }) {
  const out = new Uint8ClampedArray(height * length * 3);
  const half = total / 2;
  for (let y = 0, to = 0; y < height; y++) {
    const row = y * width;
    for (let i = 0; i < length; i++, to += 3) {
      let red = half;
      let green = half;
      let blue = half;
      for (let k = i * taps; k < (i + 1) * taps; k++) {
        const weight = weights[k];
        const from = (row + positions[k]) * 3;
        red += weight * data[from];
        green += weight * data[from + 1];
        blue += weight * data[from + 2];
      }
      out[to] = Math.floor(red / total);
      out[to + 1] = Math.floor(green / total);
      out[to + 2] = Math.floor(blue / total);
    }
  }
  return { height, width: length, data: out };
}
