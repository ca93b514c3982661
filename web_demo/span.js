/**
 * Upscale images with a SPAN network, from any page:
 *
 *     const upscaler = await loadUpscaler('model/model.json');
 *     const { blob } = await upscaler.upscale(file, { onProgress: ({ done, total }) => console.log(done / total) });
 *     upscaler.dispose();
 *
 * Everything heavy runs in a worker. Types are in span.d.ts.
 */

import { Thread } from './rpc.js';

/**
 * Load a model and take the best backend that reproduces its self-check.
 * @param {string | URL | import('./network/model.js').ModelArtifacts} model address of a `model.json`, or its content
 * @param {object} [options]
 * @param {'auto' | import('./engine/backend.js').BackendName} [options.backend] where to begin in the chain WebGPU, WebGL,
 *   WebAssembly, JavaScript; 'auto' takes the fastest that reproduces the model's self-check
 * @param {number} [options.tile] side of the tiles in pixels of the input
 * @param {(status: import('./engine/engine.js').Status) => void} [options.onStatus] another backend or tile was taken
 * @param {AbortSignal} [options.signal] gives the load up and ends its worker; the promise rejects with its reason
 * @returns {Promise<Upscaler>} rejects with a `ModelError` if the model cannot be used or no backend runs it
 */
export async function loadUpscaler(model, { backend = 'auto', tile, onStatus = () => {}, signal } = {}) {
  /** @type {Upscaler | undefined} */
  let upscaler;
  const thread = new Thread(new Worker(new URL('./worker.js', import.meta.url), { type: 'module', name: 'span' }), {
    onEvent(event, status) {
      if (upscaler) upscaler.status = status;
      onStatus(status);
    },
    explain: (reason) =>
      new Error(`The worker stopped (${reason || 'worker.js or a file that it needs could not be loaded'}).`),
  });
  const giveUp = () => thread.end();
  signal?.addEventListener('abort', giveUp);
  try {
    const isAddress = typeof model === 'string' || model instanceof URL;
    const source = isAddress ? { url: new URL(model, document.baseURI).href } : { artifacts: model };
    const { config, status } = await thread.call('load', { ...source, options: { backend, tile } }, { signal });
    upscaler = new Upscaler(thread, config, status);
    return upscaler;
  } catch (error) {
    thread.end();
    signal?.throwIfAborted();
    throw error;
  } finally {
    signal?.removeEventListener('abort', giveUp);
  }
}

/** A loaded model on a backend in a worker; `loadUpscaler` makes one. */
export class Upscaler {
  /** @type {Thread} */
  #thread;
  /** The last call's end: calls take their turns. @type {Promise<unknown>} */
  #last = Promise.resolve();

  /**
   * @param {Thread} thread of worker.js, with the model loaded
   * @param {import('./network/model.js').SpanConfig} config
   * @param {import('./engine/engine.js').Status} status
   */
  constructor(thread, config, status) {
    this.#thread = thread;
    this.config = config;
    this.status = status;
  }

  /** @returns {number} how many times larger the result's sides are */
  get scale() {
    return this.config.scale;
  }

  /**
   * Upscale one image. Calls made meanwhile wait for their turn.
   * @param {Blob | ImageBitmap | ImageData | HTMLImageElement | HTMLCanvasElement} image
   * @param {object} [options]
   * @param {AbortSignal} [options.signal] cancels within one tile; the promise then rejects with an `AbortError`
   * @param {(progress: {done: number, total: number}) => void} [options.onProgress] tiles
   * @param {'png' | 'pixels'} [options.output] a PNG file as a Blob (the default), or RGBA values
   * @param {(size: {width, height, alpha: boolean, colorSpace: string}) => void} [options.onSize] of the result, at the start
   * @param {(tile: {x, y, width, height, bitmap: ImageBitmap}) => void} [options.onTile] a finished part of the result;
   *   close the bitmap when it is drawn
   * @param {WritableStream} [options.write] takes the PNG file as it is made, for results larger than memory
   * @returns {Promise<Result>} see span.d.ts
   */
  upscale(image, options = {}) {
    return this.#inTurn(() => this.#upscale(image, options));
  }

  /**
   * Quality and speed on an original: it is shrunk, enlarged and compared.
   * @param {Blob} original
   * @param {{signal?: AbortSignal}} [options]
   * @returns {Promise<import('./engine/measure.js').Measurement>}
   */
  measure(original, { signal } = {}) {
    return this.#inTurn(() => this.#thread.call('measure', { source: original }, { signal }));
  }

  /** @returns {Promise<{tensors: number, bytes: number}>} allocated on the backend */
  memory() {
    return this.#thread.call('memory');
  }

  /** End the worker and free all it holds; calls under way and later ones reject with an `AbortError`. */
  dispose() {
    this.#thread.end(new DOMException('The upscaler was disposed.', 'AbortError'));
  }

  /** @template T @param {() => Promise<T>} work @returns {Promise<T>} */
  #inTurn(work) {
    const turn = this.#last.then(work);
    this.#last = turn.catch(() => {});
    return turn;
  }

  async #upscale(image, { signal, output, onProgress, onSize, onTile, write }) {
    // A stream that crosses to a worker would tell it neither when all is written nor that closing failed; so it stays.
    const { readable, writable } = write ? new TransformStream() : {};
    const failure = new AbortController();
    const written = readable?.pipeTo(write, { signal: failure.signal });
    written?.catch((error) => readable.cancel(error)).catch(() => {}); // ends the worker's writing
    const on = { progress: onProgress, size: onSize, tile: onTile };
    try {
      const isElement = image instanceof HTMLElement;
      const source = isElement ? await createImageBitmap(image, { premultiplyAlpha: 'none' }) : image;
      const transfer = [...(isElement ? [source] : []), ...(write ? [writable] : [])];
      const argument = { source, output, write: writable, preview: Boolean(onTile) };
      const result = await this.#thread.call('upscale', argument, { on, transfer, signal });
      await written;
      return result;
    } catch (error) {
      failure.abort(error);
      throw error;
    }
  }
}
