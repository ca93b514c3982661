/** Photographs -> batches of random paired patches, the same for the same seed and step. */

import { decode } from '../../engine/decode.js';
import { ImageError } from '../../images/decode.js';
import { downscale, dropAlpha } from '../../images/bicubic.js';
import { TrainingError } from '../errors.js';
import { uniformStream } from '../../network/random.js';

/** @typedef {{height: number, width: number, data: Uint8Array | Uint8ClampedArray}} Picture RGB, three values a pixel */
/** @typedef {{name: string, hr: Picture, lr: Picture}} Pair */

/** Pixel bytes held at most; what does not fit is left out and named. */
const MEMORY_LIMIT = 600e6;
/** Photographs of which a sentence says why they cannot be used; more are counted. */
const MAX_TOLD = 3;

/** @returns {Picture} laid over white where it is transparent, as Python's `load_pair` does */
function toPicture({ width, height, data, alpha }) {
  const rgb = dropAlpha(data);
  if (alpha) {
    for (let i = 0; i < rgb.length; i++) {
      const opacity = data[4 * Math.floor(i / 3) + 3];
      rgb[i] = Math.floor((rgb[i] * opacity + 255 * (255 - opacity) + 127) / 255);
    }
  }
  return { height, width, data: rgb };
}

/**
 * The HR picture, cut to a multiple of the scale, and its LR picture; the bytes of Python's `load_pair`.
 * @param {Picture} picture
 * @returns {{hr: Picture, lr: Picture}}
 */
export function makePair(picture, scale) {
  const hr = crop(picture, 0, 0, picture.height - (picture.height % scale), picture.width - (picture.width % scale));
  return { hr, lr: downscale(hr, scale) };
}

/** @returns {Picture} */
export function crop({ width, data }, top, left, height, columns) {
  const out = new Uint8Array(height * columns * 3);
  for (let y = 0; y < height; y++) {
    const from = ((top + y) * width + left) * 3;
    out.set(data.subarray(from, from + columns * 3), y * columns * 3);
  }
  return { height, width: columns, data: out };
}

/**
 * Decode files into pairs.
 * @param {{name: string, blob: Blob}[]} files
 * @param {{scale: number, patch: number}} options `patch` is the side of an LR patch
 * @param {(done: number, total: number) => void} [onProgress]
 * @returns {Promise<{pairs: Pair[], problems: string[]}>} what was left out, one sentence each
 * @throws {TrainingError} nothing is left
 */
export async function loadPairs(files, { scale, patch }, onProgress = () => {}) {
  if (!files.length) throw new TrainingError('Training needs at least one photograph; choose or drop some.');
  const pairs = [];
  const problems = [];
  let bytes = 0;
  for (const [i, { name, blob }] of files.entries()) {
    onProgress(i, files.length);
    let refusal = `${name} is not an image that this browser can read; it is left out.`;
    const pixels = await decode(new File([blob], name, { type: blob.type })).catch((error) => {
      if (error instanceof ImageError) refusal = `${error.message} It is left out.`;
      return null;
    });
    const size = pixels ? pixels.width * pixels.height * 3 * (1 + scale ** -2) : 0;
    if (!pixels) {
      problems.push(refusal);
    } else if (Math.min(pixels.height, pixels.width) < patch * scale) {
      const found = `${pixels.width}×${pixels.height} pixels`;
      problems.push(`${name} is ${found}, smaller than the ${patch * scale}-pixel HR patch; it is left out.`);
    } else if (bytes + size > MEMORY_LIMIT) {
      problems.push(`${name} does not fit into the ${MEMORY_LIMIT / 1e6} MB kept for photographs; it is left out.`);
    } else {
      try {
        pairs.push({ name, ...makePair(toPicture(pixels), scale) });
        bytes += size;
      } catch {
        problems.push(`${name} is too large for the memory that this browser grants the page; it is left out.`);
      }
    }
  }
  onProgress(files.length, files.length);
  if (!pairs.length) {
    const others = problems.length - MAX_TOLD;
    const told = [
      ...problems.slice(0, MAX_TOLD),
      ...(others > 0 ? [`${others} more cannot be used either.`] : []),
    ].join(' ');
    throw new TrainingError(`No photograph can be used: ${told} Choose others or a smaller patch.`);
  }
  return { pairs, problems };
}

/**
 * Random aligned crops, flipped and turned. A photograph is drawn with a probability proportional to its area, as in
 * `span_keras/data/`.
 */
export class PatchSource {
  /**
   * @param {Pair[]} pairs
   * @param {{scale: number, patch: number, batch: number, seed: number}} options
   */
  constructor(pairs, { scale, patch, batch, seed }) {
    this.pairs = pairs;
    this.scale = scale;
    this.size = patch;
    this.batch = batch;
    this.seed = seed;
    let area = 0;
    this.bounds = pairs.map(({ lr }) => (area += lr.height * lr.width));
  }

  /**
   * @param {number} step batches depend on the seed and this number alone
   * @returns {{lr: Float32Array, hr: Float32Array, lrShape: number[], hrShape: number[]}} in [0, 1], NHWC
   */
  get(step) {
    const { scale, size, batch } = this;
    const uniform = uniformStream(this.seed, step);
    const below = (n) => Math.floor(uniform() * n);
    const hrSize = size * scale;
    const lr = new Float32Array(batch * size * size * 3);
    const hr = new Float32Array(batch * hrSize * hrSize * 3);
    for (let n = 0; n < batch; n++) {
      const place = uniform() * this.bounds[this.bounds.length - 1];
      const pair = this.pairs[this.bounds.findIndex((bound) => place < bound)];
      const top = below(pair.lr.height - size + 1);
      const left = below(pair.lr.width - size + 1);
      const symmetry = below(8);
      copyPatch(pair.lr, top, left, size, symmetry, lr, n);
      copyPatch(pair.hr, top * scale, left * scale, hrSize, symmetry, hr, n);
    }
    return { lr, hr, lrShape: [batch, size, size, 3], hrShape: [batch, hrSize, hrSize, 3] };
  }
}

/** Copy a square patch to place `n` of `out`, divided by 255; of `symmetry`, bit 0 flips rows, 1 columns, 2 transposes. */
export function copyPatch({ width, data }, top, left, size, symmetry, out, n) {
  let to = n * size * size * 3;
  for (let y = 0; y < size; y++) {
    for (let x = 0; x < size; x++) {
      const a = symmetry & 1 ? size - 1 - y : y;
      const b = symmetry & 2 ? size - 1 - x : x;
      const [row, column] = symmetry & 4 ? [b, a] : [a, b];
      const from = ((top + row) * width + left + column) * 3;
      for (let c = 0; c < 3; c++) out[to++] = data[from + c] / 255;
    }
  }
}
