/**
 * Bicubic reduction to any width of an image that comes in bands from top to bottom: antialiased, mirrored at the
 * borders, in floating point until the end. As `resize_bands` in `span_keras/images/bicubic.py`.
 */
import { cubic, mirrored } from './bicubic.js';
import { allocate } from './pixels.js';

export class Reducer {
  /** Reduced rows that are still needed, by their place in the image. @type {Map<number, Float32Array>} */
  #rows = new Map();
  #seen = 0;
  #made = 0;

  /**
   * @param {{width: number, height: number}} from
   * @param {number} width of the result, smaller than that of the image; the sides keep their proportion
   */
  constructor(from, width) {
    this.from = from;
    this.width = width;
    this.height = Math.max(1, Math.round((from.height * width) / from.width));
    this.columns = taps(from.width, width);
    this.lines = taps(from.height, this.height);
    // At the lower border rows are mirrored: a later line may begin above an earlier one.
    this.needed = new Int32Array(this.height);
    for (let y = this.height - 1, least = from.height; y >= 0; y--) {
      least = Math.min(least, ...this.lines[y].positions);
      this.needed[y] = least;
    }
  }

  /**
   * Take the next rows.
   * @param {import('./pixels.js').Levels} band whole rows, RGBA
   * @returns {import('./pixels.js').Levels} those rows of the result that can be computed now, RGBA, of as many bits
   */
  push(band) {
    const stride = this.from.width * 4;
    for (let at = 0; at < band.length; at += stride) {
      this.#rows.set(this.#seen++, this.#across(band.subarray(at, at + stride)));
    }
    const first = this.#made;
    while (this.#made < this.height && Math.max(...this.lines[this.#made].positions) < this.#seen) this.#made++;
    const out = allocate((this.#made - first) * this.width * 4, band);
    for (let y = first; y < this.#made; y++) this.#down(this.lines[y], out, (y - first) * this.width * 4);
    const oldest = this.needed[this.#made] ?? this.from.height;
    for (const y of this.#rows.keys()) if (y < oldest) this.#rows.delete(y);
    return out;
  }

  #across(row) {
    const reduced = new Float32Array(this.width * 4);
    this.columns.forEach(({ positions, weights }, x) => {
      for (let k = 0; k < positions.length; k++) {
        for (let c = 0; c < 4; c++) reduced[x * 4 + c] += weights[k] * row[positions[k] * 4 + c];
      }
    });
    return reduced;
  }

  #down({ positions, weights }, out, at) {
    const sums = new Float32Array(this.width * 4);
    for (let k = 0; k < positions.length; k++) {
      const row = /** @type {Float32Array} */ (this.#rows.get(positions[k]));
      for (let i = 0; i < sums.length; i++) sums[i] += weights[k] * row[i];
    }
    const most = out instanceof Uint16Array ? 65535 : 255;
    for (let i = 0; i < sums.length; i++) out[at + i] = Math.min(Math.max(Math.floor(sums[i] + 0.5), 0), most); // halves up
  }
}

/** Input positions and weights of every output position; the weights of one add up to 1. */
function taps(size, length) {
  const stretch = size / length; // antialiasing widens the kernel
  return Array.from({ length }, (_, i) => {
    const center = (i + 0.5) * stretch - 0.5;
    const first = Math.floor(center - 2 * stretch);
    const places = [...Array(Math.ceil(4 * stretch) + 2).keys()].map((k) => first + k);
    const weights = places.map((place) => cubic((center - place) / stretch));
    const total = weights.reduce((sum, weight) => sum + weight);
    return { positions: places.map((place) => mirrored(place, size)), weights: weights.map((one) => one / total) };
  });
}
