/** What enlarging an image takes, reckoned before it begins, and what would take less. */
import { LABELS } from '../engine/backend.js';
import { PROBE } from '../engine/run.js';
import { bytes, longDuration, size } from './format.js';
import { qualityOf } from './qualities.js';

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

/** @typedef {import('../network/model.js').Listed} Listed */
/** @typedef {{width: number, height: number}} Size */

/**
 * Tell the time per pixel of the input.
 * @param {import('../span.js').Status} status
 * @param {boolean} tta whether it is enlarged in eight orientations
 * @returns {number} milliseconds; 0 if nothing was measured
 */
export const pixelTime = ({ backend, measured }, tta) => ((tta ? 8 : 1) * HALO * (measured[backend] ?? 0)) / PROBE ** 2;

/**
 * Tell what an image takes.
 * @param {object} work
 * @param {Size} work.from of the input
 * @param {number} work.scale of the network
 * @param {number} [work.width] to which the result is reduced
 * @param {number} work.pixelTime
 * @param {import('../span.js').BackendName} work.backend
 * @returns {{isLong: boolean, milliseconds: number, pixels: number, text: string}} `pixels`: of the result; `text`: a
 *   sentence without its full stop
 */
export function costOf({ from, scale, width = Infinity, pixelTime: each, backend }) {
  const area = from.width * from.height;
  const milliseconds = area * each;
  const memory = area * BYTES_PER_PIXEL;
  const factor = Math.min(scale, width / from.width);
  const to = { width: Math.round(from.width * factor), height: Math.round(from.height * factor) };
  const parts = [`${size(from.width, from.height)} becomes ${size(to.width, to.height)}`];
  if (milliseconds > LONG) parts.push(`about ${longDuration(milliseconds)} on ${LABELS[backend]}`);
  if (memory > MUCH_MEMORY) parts.push(`about ${bytes(memory)} of memory, for which phones close a page`);
  const isLong = milliseconds > LONG || memory > MUCH_MEMORY;
  return { isLong, milliseconds, pixels: to.width * to.height, text: parts.join('; ') };
}

/**
 * Find models that take less than the one in use: quicker ones that enlarge as much, and the next smaller factor.
 * @param {Listed[]} models
 * @param {{name: string, scale: number, channels: number}} used the one in use
 * @param {{from: Size, width?: number, milliseconds: number}} work size of the input, the width to which its result is
 *   reduced, and what the model in use takes
 * @returns {Array<{model: Listed, label: string}>}
 */
export function alternatives(models, used, { from, width, milliseconds }) {
  const partOf = ({ channels = used.channels }) => (channels / used.channels) ** 2;
  const time = (model) => `about ${longDuration(partOf(model) * milliseconds)}`;
  const quicker = models.filter((model) => (model.scale ?? used.scale) === used.scale && partOf(model) < WORTH);
  const isSmaller = (model) =>
    !width && (model.scale ?? used.scale) < used.scale && qualityOf(model) === qualityOf(used);
  const smaller = models
    .filter(isSmaller)
    .sort((a, b) => Number(b.scale) - Number(a.scale))
    .slice(0, 1);
  return [
    ...quicker.map((model) => ({ model, label: `Take ${model.name} (${time(model)})` })),
    ...smaller.map((model) => {
      const to = size(from.width * Number(model.scale), from.height * Number(model.scale));
      return { model, label: `Take ${model.name} (${to}, ${time(model)})` };
    }),
  ];
}
