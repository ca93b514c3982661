/**
 * Upscale images with a SPAN network, from any page:
 *
 *     const upscaler = await loadUpscaler('model/model.json');
 *     const { blob } = await upscaler.upscale(file, { onProgress: ({ done, total }) => console.log(done / total) });
 *     upscaler.dispose();
 *
 * Everything heavy runs in a worker. Types are in span.d.ts.
 */

/**
 * @param {string | URL | import('./network/model.js').ModelArtifacts} model address of a `model.json`, or its content
 * @param {object} [options]
 * @param {'auto' | import('./engine/backend.js').BackendName} [options.backend] where to begin in the chain WebGPU, WebGL,
 *   WebAssembly, JavaScript; 'auto' takes the fastest that reproduces the model's self-check
 * @param {number} [options.tile] side of the tiles in pixels of the input
 * @param {(status: import('./engine/engine.js').Status) => void} [options.onStatus] another backend or tile was taken
 * @param {AbortSignal} [options.signal] gives the load up and ends its worker; the promise rejects with its reason
 * @returns {Promise<Upscaler>}
 */
export async function loadUpscaler(model, { backend = 'auto', tile, onStatus, signal } = {}) {
  const upscaler = new Upscaler(onStatus);
  const giveUp = () => upscaler.dispose();
  signal?.addEventListener('abort', giveUp);
  try {
    const isAddress = typeof model === 'string' || model instanceof URL;
    const source = isAddress ? { url: new URL(model, document.baseURI).href } : { artifacts: model };
    const { config, status } = await upscaler.request('load', { ...source, options: { backend, tile } }, { signal });
    return Object.assign(upscaler, { config, status });
  } catch (error) {
    upscaler.dispose();
    signal?.throwIfAborted();
    throw error;
  } finally {
    signal?.removeEventListener('abort', giveUp);
  }
}

export class Upscaler {
  #worker = new Worker(new URL('./worker.js', import.meta.url), { type: 'module', name: 'span' });
  #jobs = new Map();
  #next = 1;
  #last = Promise.resolve();
  /** @type {Error | null} why nothing will be answered any more */
  #ended = null;

  /** Use `loadUpscaler`. */
  constructor(onStatus = () => {}) {
    this.onStatus = onStatus;
    this.#worker.onmessage = ({ data }) => this.#receive(data);
    this.#worker.onerror = (event) => {
      event.preventDefault();
      const reason = event.message || 'worker.js or a file that it needs could not be loaded';
      this.#ended = new Error(`The worker stopped (${reason}).`);
      this.#failAll(this.#ended);
    };
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
    const turn = this.#last.then(() => this.#upscale(image, options));
    this.#last = turn.catch(() => {});
    return turn;
  }

  /**
   * Quality and speed on an original: it is shrunk, enlarged and compared.
   * @param {Blob} original
   * @param {{signal?: AbortSignal}} [options]
   */
  measure(original, { signal } = {}) {
    const turn = this.#last.then(() => this.request('measure', { source: original }, { signal }));
    this.#last = turn.catch(() => {});
    return turn;
  }

  /** @returns {Promise<{tensors: number, bytes: number}>} allocated on the backend */
  memory() {
    return this.request('memory');
  }

  /** End the worker and free all it holds; calls under way reject. */
  dispose() {
    this.#worker.terminate();
    this.#ended = new DOMException('The upscaler was disposed.', 'AbortError');
    this.#failAll(this.#ended);
  }

  async #upscale(image, { signal, output, onProgress, onSize, onTile, write }) {
    // A stream that crosses to a worker would tell it neither when all is written nor that closing failed; so it stays.
    const { readable, writable } = write ? new TransformStream() : {};
    const failure = new AbortController();
    const written = readable?.pipeTo(write, { signal: failure.signal });
    written?.catch((error) => readable.cancel(error)).catch(() => {}); // ends the worker's writing
    const handlers = { progress: (m) => onProgress?.(m.progress), size: (m) => onSize?.(m.size), tile: (m) => onTile?.(m.tile) };
    try {
      const isElement = image instanceof HTMLElement;
      const source = isElement ? await createImageBitmap(image, { premultiplyAlpha: 'none' }) : image;
      const transfer = [...(isElement ? [source] : []), ...(write ? [writable] : [])];
      const content = { source, output, write: writable, preview: Boolean(onTile) };
      const result = await this.request('upscale', content, { handlers, transfer, signal });
      await written;
      return result;
    } catch (error) {
      failure.abort(error);
      throw error;
    }
  }

  /** @private Send one message and settle with its answer. */
  request(operation, content = {}, { handlers = {}, transfer = [], signal } = {}) {
    const id = this.#next++;
    const cancel = () => this.#worker.postMessage({ operation: 'cancel', target: id });
    const answer = new Promise((resolve, reject) => {
      if (this.#ended) throw this.#ended;
      signal?.throwIfAborted(); // while it waited for its turn
      this.#jobs.set(id, { resolve, reject, handlers });
      this.#worker.postMessage({ id, operation, ...content }, transfer);
      signal?.addEventListener('abort', cancel, { once: true });
    });
    return answer
      .then((result) => {
        signal?.throwIfAborted(); // the worker may have finished before it heard of it
        return result;
      })
      .finally(() => signal?.removeEventListener('abort', cancel));
  }

  #receive(message) {
    if (message.event === 'status') {
      this.status = message.status;
      return this.onStatus(message.status);
    }
    const job = this.#jobs.get(message.id);
    if (!job) return;
    if (message.event === 'done' || message.event === 'failed') this.#jobs.delete(message.id);
    if (message.event === 'done') job.resolve(message.result);
    else if (message.event === 'failed') job.reject(revive(message.error));
    else job.handlers[message.event]?.(message);
  }

  #failAll(error) {
    for (const { reject } of this.#jobs.values()) reject(error);
    this.#jobs.clear();
  }
}

const revive = ({ name, message }) =>
  name === 'AbortError' ? new DOMException(message, name) : Object.assign(new Error(message), { name });
