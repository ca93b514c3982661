/** The curves of a run in bounded memory: when there are too many points, neighbours are averaged. */

/** Points of a curve. */
const MAX_POINTS = 600;

/** @typedef {{step: number, mae: number, perceptual: number, rate: number}} LossPoint averages over an interval */
/** @typedef {{step: number, psnr: number}} QualityPoint */

/**
 * @typedef {object} HistoryData
 * @property {LossPoint[]} points
 * @property {QualityPoint[]} quality
 * @property {number} [interval] steps that a new point averages
 * @property {number | null} [bicubic] PSNR of bicubic interpolation on the same samples
 */

export class History {
  /** @param {Partial<HistoryData>} [saved] from `toJSON` */
  constructor({ points = [], quality = [], interval = 1, bicubic = null } = {}) {
    this.points = [...points];
    this.quality = [...quality];
    this.interval = interval;
    this.bicubic = bicubic;
    /** @type {LossPoint[]} */
    this.pending = [];
  }

  /** @param {LossPoint} point of one step */
  addLoss(point) {
    this.pending.push(point);
    if (this.pending.length < this.interval) return;
    this.points.push(average(this.pending));
    this.pending = [];
    if (this.points.length < MAX_POINTS) return;
    this.points = pairwise(this.points);
    this.interval *= 2;
  }

  /** @param {QualityPoint} point */
  addQuality(point) {
    if (this.quality.at(-1)?.step === point.step) this.quality.pop();
    this.quality.push(point);
    if (this.quality.length >= MAX_POINTS) this.quality = this.quality.filter((_, i) => i % 2 === 1);
  }

  /** What `new History(...)` goes on from. @returns {HistoryData} */
  toJSON() {
    const { points, quality, interval, bicubic } = this;
    return { points, quality, interval, bicubic };
  }
}

const pairwise = (points) =>
  Array.from({ length: Math.ceil(points.length / 2) }, (_, i) => average(points.slice(2 * i, 2 * i + 2)));

function average(points) {
  const mean = (key) => points.reduce((sum, point) => sum + point[key], 0) / points.length;
  // Step and rate are those at the end: a mean of two rates never was in use.
  const { step, rate } = points.at(-1);
  return { step, mae: mean('mae'), perceptual: mean('perceptual'), rate };
}
