/** One image on its way through the page, and what is said of it. */
import { bytes, duration, size } from './format.js';

/**
 * @typedef {object} Item
 * @property {File} file
 * @property {string} name
 * @property {string} url for showing it
 * @property {Promise<void>} [upright] after which `url` shows it upright
 * @property {'waiting' | 'held' | 'running' | 'done' | 'failed' | 'cancelled'} state `held`: its result is so large that
 *   the user chooses a file for it first, or would take so long that they are asked
 * @property {number} progress 0..1
 * @property {string} [detail] what to say about it
 * @property {HTMLCanvasElement | HTMLImageElement} [after] its result as far as it is finished
 * @property {boolean} [alpha] whether it is transparent anywhere
 * @property {FileSystemWritableFileStream} [write] takes a very large result
 * @property {boolean} [unwritable] the page may ask for no file: the result stays in memory
 * @property {boolean} [accepted] the user knows how long it takes
 * @property {Array<{model: import('./models.js').Model, label: string}>} [choices] other models for one that is held
 * @property {boolean} [hopeless] it failed for what its file is, which no other run changes
 * @property {boolean} [saved] its result was handed to the user
 * @property {number} [scale] of the model that enlarged it: another may be loaded by the time it is saved
 * @property {{width: number, height: number}} [from] its own size in pixels, once it is known
 * @property {Made} [made] how it was enlarged
 * @property {import('../span.js').FileResult} [result]
 */

/**
 * @typedef {object} Made
 * @property {import('./models.js').Model} model
 * @property {number} [width] to which the result was reduced, in pixels
 */

/**
 * Let an item wait for its turn.
 * @param {Item} item
 * @returns {Item} the same
 */
export function wait(item) {
  return Object.assign(item, { state: 'waiting', progress: 0, detail: 'Waiting' });
}

/**
 * Give up the file that was chosen for an item that has not begun; others' streams are in use.
 * @param {Item} item
 */
export function forgetFile(item) {
  if (item.state !== 'waiting') return;
  item.write?.abort();
  item.write = undefined;
}

/** Of what kinds not every browser shows all upright. */
const LYING = ['image/png', 'image/webp'];

/** @param {Item | null} item @returns {boolean} whether there is still something to be done for it */
export const isPending = (item) => item !== null && ['running', 'waiting', 'held'].includes(item.state);

/**
 * Read an item's picture as the browser shows it, but upright.
 * @param {Item} item
 * @returns {Promise<HTMLImageElement>} with sizes of 0 for what is no image
 */
export async function read(item) {
  await (item.upright ??= stand(item));
  const image = new Image();
  image.src = item.url;
  await image.decode().catch(() => {});
  return image;
}

async function stand(item) {
  if (!LYING.includes(item.file.type)) return;
  const url = await (await import('./upright.js')).uprightUrl(item.file);
  if (!url) return;
  URL.revokeObjectURL(item.url);
  item.url = url;
}

/**
 * Say what an image became.
 * @param {{width: number, height: number}} from
 * @param {import('../span.js').Result & {blob: Blob | null}} result
 * @returns {string} as "226 × 150 → 904 × 600 · PNG 381.2 kB · 1.2 s", and what is missing of it
 */
export function describe(from, { width, height, blob, milliseconds, notes }) {
  const file = blob ? `PNG ${bytes(blob.size)}` : 'PNG written';
  const said = [`${size(from.width, from.height)} → ${size(width, height)}`, file, duration(milliseconds)].join(' · ');
  return notes.length ? `${said}. ${notes.join(' ').replace(/\.$/, '')}` : said;
}
