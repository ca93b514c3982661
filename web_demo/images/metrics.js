/** PSNR and SSIM as `span_keras/images/metrics.py` defines them: on 8-bit levels, sides shaved, Y of BT.601. */

import { SSIM_K, SSIM_SIGMA, SSIM_WINDOW, STUDIO_BLACK, STUDIO_Y } from '../constants.js';

/** @typedef {{width: number, height: number, data: ArrayLike<number>}} Levels RGB, three values per pixel, 0..255 */

/**
 * @typedef {object} Figures
 * @property {number} psnrY dB
 * @property {number} ssimY
 * @property {number} psnrRgb dB
 */

/**
 * @param {Levels} sr
 * @param {Levels} hr
 * @param {number} shave pixels cut off every side
 * @returns {Figures}
 */
export function evaluatePair(sr, hr, shave) {
  if (sr.width !== hr.width || sr.height !== hr.height) {
    throw new RangeError(
      `The two images must have the same size, found ${sr.width} × ${sr.height} and ${hr.width} × ${hr.height}.`,
    );
  }
  requireSides(hr, shave);
  const width = sr.width - 2 * shave;
  const height = sr.height - 2 * shave;
  const a = cut(sr, shave, width, height);
  const b = cut(hr, shave, width, height);
  return { psnrY: psnr(a.luma, b.luma), ssimY: ssim(a.luma, b.luma, width, height), psnrRgb: psnr(a.rgb, b.rgb) };
}

/**
 * @param {{width: number, height: number}} image
 * @param {number} shave as for `evaluatePair`
 * @throws {RangeError} what is left of the image is smaller than the window of SSIM
 */
export function requireSides({ width, height }, shave) {
  const least = SSIM_WINDOW + 2 * shave;
  if (Math.min(width, height) >= least) return;
  throw new RangeError(`The image is too small to measure: at least ${least} pixels per side.`);
}

/** PSNR of Y alone, of images as small as may be; as `evaluatePair`. */
export function psnrY(sr, hr, shave) {
  const [a, b] = [sr, hr].map((image) => cut(image, shave, hr.width - 2 * shave, hr.height - 2 * shave).luma);
  return psnr(a, b);
}

function cut({ width, data }, shave, innerWidth, innerHeight) {
  const rgb = new Float64Array(innerWidth * innerHeight * 3);
  const luma = new Float64Array(innerWidth * innerHeight);
  const [redShare, greenShare, blueShare] = STUDIO_Y;
  for (let y = 0, to = 0; y < innerHeight; y++) {
    let from = ((y + shave) * width + shave) * 3;
    for (let x = 0; x < innerWidth; x++, to++) {
      const red = (rgb[3 * to] = data[from++]);
      const green = (rgb[3 * to + 1] = data[from++]);
      const blue = (rgb[3 * to + 2] = data[from++]);
      luma[to] = STUDIO_BLACK + (redShare * red + greenShare * green + blueShare * blue) / 255;
    }
  }
  return { rgb, luma };
}

function psnr(a, b) {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += (a[i] - b[i]) ** 2;
  return sum ? 20 * Math.log10(255) - 10 * Math.log10(sum / a.length) : Infinity;
}

function ssim(a, b, width, height) {
  const product = (u, v) => u.map((value, i) => value * v[i]);
  const means = [a, b, product(a, a), product(b, b), product(a, b)].map((plane) => blur(plane, width, height));
  const [c1, c2] = SSIM_K.map((k) => (k * 255) ** 2);
  const [meanA, meanB, squareA, squareB, cross] = means;
  let sum = 0;
  for (let i = 0; i < meanA.length; i++) {
    const ab = meanA[i] * meanB[i];
    const squares = meanA[i] ** 2 + meanB[i] ** 2;
    const variances = squareA[i] + squareB[i] - squares;
    sum += ((2 * ab + c1) / (squares + c1)) * ((2 * (cross[i] - ab) + c2) / (variances + c2));
  }
  return sum / meanA.length;
}

/** Gaussian window sums where the window lies wholly inside. */
function blur(plane, width, height) {
  const taps = Float64Array.from({ length: SSIM_WINDOW }, (_, i) =>
    Math.exp(-((i - (SSIM_WINDOW >> 1)) ** 2) / (2 * SSIM_SIGMA ** 2)),
  );
  const total = taps.reduce((sum, tap) => sum + tap);
  const across = width - SSIM_WINDOW + 1;
  const down = height - SSIM_WINDOW + 1;
  const rows = new Float64Array(across * height);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < across; x++) {
      let sum = 0;
      for (let k = 0; k < SSIM_WINDOW; k++) sum += taps[k] * plane[y * width + x + k];
      rows[y * across + x] = sum / total;
    }
  }
  const out = new Float64Array(across * down);
  for (let y = 0; y < down; y++) {
    for (let x = 0; x < across; x++) {
      let sum = 0;
      for (let k = 0; k < SSIM_WINDOW; k++) sum += taps[k] * rows[(y + k) * across + x];
      out[y * across + x] = sum / total;
    }
  }
  return out;
}
