/**
 * Bicubic resizing as MATLAB's `imresize` does it: antialiased when shrinking, mirrored at the borders.
 * The same operation as `span_keras/images/bicubic.py`, which the tests compare it with.
 */

/**
 * @typedef {object} Pixels
 * @property {number} height
 * @property {number} width
 * @property {number} [channels] 3 if left out
 * @property {Float32Array | Float64Array | Uint8Array | Uint8ClampedArray} data row by row, channels interleaved
 */

/**
 * Resize to `height` × `width` as `imresize(image, [height, width], "bicubic")` does.
 * @param {Pixels} image any value range; it is kept
 * @returns {Pixels} Float32Array data, neither clipped nor rounded: bicubic overshoots at edges
 */
export function resize(image, height, width) {
  const rows = contributions(image.height, height, height / image.height);
  const columns = contributions(image.width, width, width / image.width);
  return resizeColumns(resizeRows(image, rows), columns);
}

/**
 * Shrink by a whole factor as `imresize(image, 1 / scale, "bicubic")` does.
 * Sides that it does not divide give `ceil(side / scale)` pixels; crop first for pairs of LR and HR images.
 * @param {Pixels} image
 * @returns {Pixels} as `resize`
 */
export function downscale(image, scale) {
  if (!Number.isInteger(scale) || scale < 1) {
    throw new RangeError(`downscale expects a whole factor of 1 or more, found ${scale}.`);
  }
  const rows = contributions(image.height, Math.ceil(image.height / scale), 1 / scale);
  const columns = contributions(image.width, Math.ceil(image.width / scale), 1 / scale);
  return resizeColumns(resizeRows(image, rows), columns);
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

/** Input positions and weights of every output position; MATLAB's `contributions`. */
function contributions(size, length, factor) {
  if (!(length >= 1)) throw new RangeError(`resizing expects sides of at least 1 pixel, found ${length}.`);
  const stretch = Math.max(1, 1 / factor); // antialiasing widens the kernel by the shrinking factor
  const taps = Math.ceil(4 * stretch) + 2;
  const positions = new Int32Array(length * taps);
  const weights = new Float64Array(length * taps);
  for (let i = 0; i < length; i++) {
    const center = (i + 0.5) / factor - 0.5;
    const first = Math.floor(center - 2 * stretch);
    let sum = 0;
    for (let k = 0; k < taps; k++) {
      // Half-sample symmetric mirror: ... 1 0 | 0 1 2 ... n-1 | n-1 n-2 ...
      const mirrored = (((first + k) % (2 * size)) + 2 * size) % (2 * size);
      positions[i * taps + k] = mirrored < size ? mirrored : 2 * size - 1 - mirrored;
      sum += weights[i * taps + k] = cubic((center - first - k) / stretch);
    }
    for (let k = 0; k < taps; k++) weights[i * taps + k] /= sum;
  }
  return { length, taps, positions, weights };
}

/** Keys' cubic convolution kernel with a = -0.5. */
function cubic(x) {
  x = Math.abs(x);
  if (x <= 1) return (1.5 * x - 2.5) * x * x + 1;
  return x < 2 ? ((-0.5 * x + 2.5) * x - 4) * x + 2 : 0;
}

function resizeRows({ data, width, channels = 3 }, { length, taps, positions, weights }) {
  const stride = width * channels;
  const out = new Float32Array(length * stride);
  const sums = new Float64Array(stride);
  for (let i = 0; i < length; i++) {
    sums.fill(0);
    for (let k = i * taps; k < (i + 1) * taps; k++) {
      const weight = weights[k];
      if (weight === 0) continue;
      for (let j = 0, from = positions[k] * stride; j < stride; j++, from++) sums[j] += weight * data[from];
    }
    out.set(sums, i * stride);
  }
  return { height: length, width, channels, data: out };
}

function resizeColumns({ data, height, width, channels }, { length, taps, positions, weights }) {
  const out = new Float32Array(height * length * channels);
  for (let y = 0, to = 0; y < height; y++) {
    const row = y * width * channels;
    for (let i = 0; i < length; i++) {
      for (let c = 0; c < channels; c++, to++) {
        let sum = 0;
        for (let k = i * taps; k < (i + 1) * taps; k++) sum += weights[k] * data[row + positions[k] * channels + c];
        out[to] = sum;
      }
    }
  }
  return { height, width: length, channels, data: out };
}
