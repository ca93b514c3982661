/** The upscaler itself: images through a model, to a PNG file or to pixels. Runs inside `../worker.js`. */
import { allocate, toBytes } from '../images/pixels.js';
import { decodeWhole } from './decode.js';
import { PngEncoder } from './png.js';
import { RunningModel } from './running-model.js';
import { computeTiles, placeTile } from './tiles.js';

/** @typedef {import('../images/decode.js').Pixels} Pixels */
/** @typedef {import('../images/pixels.js').Levels} Levels */

/**
 * @typedef {object} Options
 * @property {AbortSignal} [signal] stops before the next tile
 * @property {boolean} [tta] average over eight orientations, which takes eight times as long
 * @property {number} [width] in pixels, to which the result is reduced if it is wider
 * @property {(progress: {done: number, total: number}) => void} [onProgress] tiles
 * @property {(tile: {x, y, width, height, colorSpace, icc, data: Uint8ClampedArray}) => void | Promise<void>} [onTile]
 * @property {(size: {width, height, alpha: boolean, colorSpace: PredefinedColorSpace}) => void} [onSize] of all tiles
 *   together, at the start
 */

export class Engine extends RunningModel {
  /**
   * Upscale to a PNG file.
   * @param {Blob | ImageBitmap | ImageData | Pixels} source
   * @param {Options & {write?: (bytes: Uint8Array) => Promise<void>}} [options] `write` receives the file instead of `blob`
   * @returns {Promise<{width, height, blob: Blob | null, milliseconds: number, tiles: number, notes: string[]}>}
   */
  async upscale(source, { onSize, width, write, ...options } = {}) {
    const { image, size, reduced } = await this.#begin(source, { deep: true, onSize, width });
    const { alpha, icc } = image;
    const bits = image.data instanceof Uint16Array ? 16 : 8;
    const chunks = 'metadata' in image ? await metadataOf(image, size) : [];
    const encoder = new PngEncoder(size.width, size.height, { alpha, icc, bits, chunks, write });
    try {
      const work = await this.#tiles(image, { ...options, onBand: (band) => encoder.rows(reduced(band)) });
      return { ...size, ...work, notes: image.notes ?? [], blob: await encoder.finish() };
    } catch (error) {
      encoder.abort();
      throw error;
    }
  }

  /**
   * Upscale to pixels in memory.
   * @param {Blob | ImageBitmap | ImageData | Pixels} source
   * @param {Options} [options]
   * @returns {Promise<{width, height, data: Uint8ClampedArray, milliseconds: number, tiles: number, notes: string[]}>} RGBA
   */
  async pixels(source, { onSize, width, ...options } = {}) {
    const { image, size, reduced } = await this.#begin(source, { deep: false, onSize, width });
    const data = /** @type {Uint8ClampedArray<ArrayBuffer>} */ (allocate(size.width * size.height * 4));
    let filled = 0;
    const onBand = (band) => {
      const rows = reduced(band);
      data.set(rows, filled);
      filled += rows.length;
    };
    return { ...size, ...(await this.#tiles(image, { ...options, onBand })), notes: image.notes ?? [], data };
  }

  /**
   * Decode an image, tell its size, and prepare the reduction of its result.
   * @param {Blob | ImageBitmap | ImageData | Pixels} source
   * @param {Pick<Options, 'onSize' | 'width'> & {deep: boolean}} options `deep`: see `decodeWhole`
   */
  async #begin(source, { deep, onSize, width }) {
    const image = 'alpha' in source ? source : await decodeWhole(source, { deep });
    const whole = this.#sizeOf(image);
    onSize?.(whole);
    return { image, ...(await reduction(whole, width)) };
  }

  /** @param {Pixels} image */
  #sizeOf({ width, height, alpha, colorSpace }) {
    const { scale } = this.config;
    return { width: width * scale, height: height * scale, alpha, colorSpace: colorSpace ?? 'srgb' };
  }

  /**
   * Compute tile after tile.
   * @param {Pixels} image
   * @param {Options & {onBand: (rgba: Levels) => void | Promise<void>}} options `onBand` gets every finished row
   *   of tiles
   */
  async #tiles(image, { signal, tta, onProgress, onTile, onBand }) {
    await this.ready();
    const { width, colorSpace } = this.#sizeOf(image);
    const icc = image.colorSpace === null ? image.icc : undefined;
    const started = performance.now();
    /** @type {typeof this.recover} */
    const recover = (...failure) => this.recover(...failure);
    let tiles = 0;
    /** @type {Levels | null} */
    let band = null;
    try {
      for await (const { progress, ...tile } of computeTiles(this, image, { signal, tta, recover })) {
        band ??= allocate(width * tile.height * 4, image.data);
        placeTile(tile, band, width, tile.y);
        await onTile?.({ ...tile, colorSpace, icc, data: toBytes(tile.data) });
        onProgress?.(progress);
        tiles = progress.done;
        if (tile.x + tile.width < width) continue;
        await onBand(band);
        band = null;
      }
    } finally {
      this.rest();
    }
    this.settle();
    return { milliseconds: performance.now() - started, tiles };
  }
}

/** What the file of an image says, as chunks of the PNG of its result. */
async function metadataOf({ metadata }, { width, height }) {
  const [{ scaledMetadata }, { pngMetadata }] = await Promise.all([
    import('../metadata/metadata.js'),
    import('../metadata/write.js'),
  ]);
  return pngMetadata(scaledMetadata(metadata, width, height));
}

/**
 * @template {{width: number, height: number}} Size
 * @param {Size} whole
 * @param {number} [width] that was asked for
 * @returns {Promise<{size: Size, reduced: (band: Levels) => Levels}>} the size of the result, and
 *   what makes its rows of the next rows of the whole
 */
async function reduction(whole, width = Infinity) {
  if (width >= whole.width) return { size: whole, reduced: (band) => band };
  const { Reducer } = await import('../images/reduce.js');
  const reducer = new Reducer(whole, width);
  return { size: { ...whole, width, height: reducer.height }, reduced: (band) => reducer.push(band) };
}
