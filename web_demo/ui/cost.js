/** What enlarging an image takes, reckoned before it begins. */
import { LABELS } from '../engine/backend.js';
import { PROBE } from '../engine/run.js';
import { bytes, longDuration, size } from './format.js';

/** Milliseconds from which on the user is asked before an image is enlarged. */
const LONG = 2 * 60_000;
/** Bytes from which on the memory that an image needs is told: phones close pages that take more. */
const MUCH_MEMORY = 1e9;
/** Bytes per pixel of the input: the decoded image, its copies on the way to the network, and the file. */
const BYTES_PER_PIXEL = 20;
/** Of the pixels that are computed, those around a tile that only serve its borders are about a third. */
const HALO = 1.4;
/** A network that takes less than this part of the time is worth offering instead. */
const WORTH = 0.6;

/**
 * Tell the time per pixel of the input.
 * @param {import('../span.js').Status} status
 * @param {boolean} tta whether it is enlarged in eight orientations
 * @returns {number} milliseconds; 0 if nothing was measured
 */
export const pixelTime = ({ backend, measured }, tta) => ((tta ? 8 : 1) * HALO * (measured[backend] ?? 0)) / PROBE ** 2;

/**
 * Tell what an image takes.
 * @param {{width: number, height: number, scale: number, pixelTime: number, backend: import('../span.js').BackendName}} work
 *   sizes of the input
 * @returns {{isLong: boolean, milliseconds: number, text: string}} `text`: a sentence without its full stop
 */
export function costOf({ width, height, scale, pixelTime: each, backend }) {
  const milliseconds = width * height * each;
  const memory = width * height * BYTES_PER_PIXEL;
  const parts = [`${size(width, height)} becomes ${size(width * scale, height * scale)}`];
  if (milliseconds > LONG) parts.push(`about ${longDuration(milliseconds)} on ${LABELS[backend]}`);
  if (memory > MUCH_MEMORY) parts.push(`about ${bytes(memory)} of memory, for which phones close a page`);
  return { isLong: milliseconds > LONG || memory > MUCH_MEMORY, milliseconds, text: parts.join('; ') };
}

/**
 * Find models that are quicker than the one in use.
 * @param {Array<{name: string, url: string, scale?: number, channels?: number}>} models
 * @param {{scale: number, channels: number}} config of the one in use; others enlarge as much
 * @param {number} milliseconds that it takes
 * @returns {Array<{model: {name: string, url: string}, label: string}>}
 */
export function quicker(models, { scale, channels }, milliseconds) {
  return models
    .filter((model) => (model.scale ?? scale) === scale)
    .map((model) => ({ model, part: ((model.channels ?? channels) / channels) ** 2 }))
    .filter(({ part }) => part < WORTH)
    .map(({ model, part }) => ({ model, label: `Take ${model.name} (about ${longDuration(part * milliseconds)})` }));
}
