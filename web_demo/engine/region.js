/** A region of an image, from its pixels to the finished pixels of the result. */
import { allocate, crop, store, storeGrey, toFloats } from '../images/pixels.js';
import { planAxis } from '../images/tiling.js';
import { nextTask } from '../limit.js';
import { run } from './run.js';
import { tileAt } from './webgpu/tile.js';

/** @typedef {import('../images/decode.js').Pixels} Pixels */
/** @typedef {import('../images/tiling.js').Span} Span */

/**
 * Compute a region. Its tile may have become smaller than when the image was divided.
 * @param {import('./run.js').Running & {tile: number, config: import('../network/model.js').SpanConfig}} engine
 * @param {Pixels} image
 * @param {Span} column
 * @param {Span} row
 * @param {{signal?: AbortSignal, tta?: boolean}} options `tta`: average over eight orientations
 * @returns {Promise<import('../images/pixels.js').Levels>} RGBA, of as many bits as the image
 */
export async function computeRegion(engine, image, column, row, { signal, tta }) {
  const { config, network, tile } = engine;
  const { scale, halo } = config;
  const width = (column.to - column.from) * scale;
  const out = allocate(width * (row.to - row.from) * scale * 4, image.data);
  const alpha = image.alpha ? await import('../images/alpha.js') : null; // most images have no transparency
  const compute = tta ? (await import('./ensemble.js')).runOverOrientations : run;
  // Our own kernels make levels of 8 bits, where nothing is averaged.
  const isPlain = !tta && out instanceof Uint8ClampedArray;
  for (const y of planAxis(image.height, tile, halo, row.from, row.to)) {
    for (const x of planAxis(image.width, tile, halo, column.from, column.to)) {
      await nextTask();
      signal?.throwIfAborted();
      const levels = crop(image, x, y);
      const place = { x, y, left: column.from, top: row.from, width };
      if ('enlarge' in network && isPlain) {
        const offset = ((y.from - row.from) * scale * width + (x.from - column.from) * scale) * 4;
        const into = { data: /** @type {Uint8ClampedArray<ArrayBuffer>} */ (out), offset, stride: width * 4 };
        const pixels = /** @type {{data: Uint8ClampedArray}} */ (levels);
        const own = tileAt(x, y, scale);
        await network.enlarge(alpha?.bled(image, x, y) ?? pixels, { ...own, grey: image.grey }, { into });
        if (!alpha) continue;
        const transparency = await network.enlarge(alpha.alphaOf(levels), { ...own, grey: true });
        alpha.storeAlpha(transparency, image, place, scale, out);
        continue;
      }
      const pixels = levels.data instanceof Uint16Array ? toFloats(levels) : levels;
      const seen = alpha ? alpha.bled(image, x, y) : pixels;
      const colors = await compute(engine, seen);
      // From grey to RGB, a network's colours are what it is for.
      const tints = config.inChannels === 1 && config.outChannels === 3;
      (image.grey && !tints ? storeGrey : store)(colors, place, scale, out);
      if (!alpha) continue;
      // A network for RGB and alpha has an alpha of its own.
      const transparency = config.inChannels === 4 ? { ...seen, alpha: true } : alpha.alphaOf(pixels);
      alpha.storeAlpha(await compute(engine, transparency), image, place, scale, out);
    }
  }
  return out;
}
