/**
 * Upscale images with a SPAN network, from any page:
 *
 *     const upscaler = await loadUpscaler('model/model.json');
 *     const { blob } = await upscaler.upscale(file, { onProgress: ({ done, total }) => console.log(done / total) });
 *     upscaler.dispose();
 *
 * Everything heavy runs in a worker. span.d.ts says the same to TypeScript; `npm run declare` writes it from
 * the comments here.
 */

import { Thread } from './rpc.js';

/** @typedef {import('./engine/backend.js').BackendName} BackendName */
/** @typedef {import('./engine/engine.js').Status} Status */
/** @typedef {import('./engine/frames.js').Frame} Frame */
/** @typedef {import('./engine/frames.js').FrameSource} FrameSource */
/** @typedef {import('./engine/frames.js').FrameTarget} FrameTarget */
/** @typedef {import('./engine/measure.js').Measurement} Measurement */
/** @typedef {import('./network/model.js').ModelArtifacts} ModelArtifacts */
/** @typedef {import('./network/model.js').SpanConfig} Config */

/** @typedef {Blob | ImageBitmap | ImageData | HTMLImageElement | HTMLCanvasElement} ImageSource */

/**
 * @typedef {object} LoadOptions
 * @property {'auto' | BackendName} [backend] where to begin in the chain WebGPU, WebGL, WebAssembly, JavaScript; 'auto',
 *   the default, takes the fastest that reproduces the model's self-check
 * @property {number} [tile] side of the tiles in pixels of the input; by default what suits the backend
 * @property {(status: Status) => void} [onStatus] called when another backend or tile is taken, as after a lost GPU
 * @property {AbortSignal} [signal] gives the load up and ends its worker; the promise rejects with its reason, an
 *   `AbortError` unless another is given
 */

/**
 * @typedef {object} Size of the result
 * @property {number} width
 * @property {number} height
 * @property {boolean} alpha whether any pixel is transparent
 * @property {PredefinedColorSpace} colorSpace
 */

/**
 * @typedef {object} Tile a finished part of the result
 * @property {number} x
 * @property {number} y
 * @property {number} width
 * @property {number} height
 * @property {ImageBitmap} bitmap close it when it is drawn
 */

/**
 * @template {'png' | 'pixels'} [Output='png']
 * @typedef {object} UpscaleOptions
 * @property {AbortSignal} [signal] cancels within one tile; the promise rejects with an `AbortError`
 * @property {Output} [output] a PNG file as a Blob, the default, or RGBA values
 * @property {(progress: {done: number, total: number}) => void} [onProgress] tiles done
 * @property {(size: Size) => void} [onSize] called before the first tile
 * @property {(tile: Tile) => void} [onTile] called with each finished tile
 * @property {WritableStream<Uint8Array>} [write] takes the PNG file as it is made, for results larger than memory; `blob`
 *   is then null. It is closed before the promise resolves, and aborted if it rejects. While it is being closed,
 *   `signal` has no effect any more.
 */

/**
 * @typedef {object} Memory what is allocated on the backend
 * @property {number} tensors
 * @property {number} bytes
 */

/**
 * @typedef {object} Work how a result was made
 * @property {number} milliseconds from the first tile to the last
 * @property {number} tiles
 * @property {BackendName} backend
 * @property {Memory} memory
 */

/** @typedef {Size & Work} Result */

/**
 * @typedef {object} PngFile
 * @property {Blob | null} blob the PNG file, with the colour profile of the input; null if `write` took it
 */

/**
 * @typedef {object} Pixels
 * @property {Uint8ClampedArray<ArrayBuffer>} data RGBA, straight alpha
 */

/**
 * @typedef {object} FrameOptions
 * @property {FrameTarget} target what is drawn into
 * @property {GPUDevice} [device] that source and target belong to, if they are textures; the first call decides
 */

/** @typedef {Result & PngFile} FileResult */
/** @typedef {Result & Pixels} PixelResult */

/**
 * Load a model and take the best backend that reproduces its self-check.
 * @param {string | URL | ModelArtifacts} model address of a `model.json`, or its content
 * @param {LoadOptions} [options]
 * @returns {Promise<Upscaler>} rejects with a `ModelError` if the model cannot be used or no backend runs it
 */
export async function loadUpscaler(model, { backend = 'auto', tile, onStatus = () => {}, signal } = {}) {
  /** @type {{status?: Status}} */
  const latest = {};
  const thread = new Thread(new Worker(new URL('./worker.js', import.meta.url), { type: 'module', name: 'span' }), {
    onEvent(event, status) {
      latest.status = status;
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
    latest.status = status;
    return new Upscaler(thread, config, latest, source);
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

  #config;
  #latest;
  #source;
  /** @type {Promise<import('./engine/frames.js').Frames> | null} started by the first frame */
  #frames = null;

  /**
   * @internal
   * @param {Thread} thread of worker.js, with the model loaded
   * @param {Config} config
   * @param {{status?: Status}} latest what the worker told last
   * @param {{url: string} | {artifacts: ModelArtifacts}} source of the model
   */
  constructor(thread, config, latest, source) {
    this.#thread = thread;
    this.#config = config;
    this.#latest = latest;
    this.#source = source;
  }

  /** What the model is. @returns {Config} */
  get config() {
    return this.#config;
  }

  /** The backend in use, and why not another. @returns {Status} */
  get status() {
    return /** @type {Status} */ (this.#latest.status);
  }

  /** How many times larger the result's sides are. @returns {number} */
  get scale() {
    return this.#config.scale;
  }

  /**
   * Upscale one image. Calls made meanwhile wait for their turn.
   * @template {'png' | 'pixels'} [Output='png']
   * @param {ImageSource} image
   * @param {UpscaleOptions<Output>} [options]
   * @returns {Promise<Output extends 'pixels' ? PixelResult : FileResult>}
   */
  upscale(image, options = {}) {
    return this.#inTurn(() => this.#upscale(image, options));
  }

  /**
   * Measure quality and speed on an original: it is shrunk, enlarged and compared.
   * @param {Blob} original
   * @param {{signal?: AbortSignal}} [options]
   * @returns {Promise<Measurement>}
   */
  measure(original, { signal } = {}) {
    return this.#inTurn(() => this.#thread.call('measure', { source: original }, { signal }));
  }

  /**
   * Enlarge a frame of a video on the GPU, from the page's own thread: no pixel passes through the CPU. It needs WebGPU.
   * Wait for the promise before the next call and leave out what frames come meanwhile, and the video does not lag.
   * @param {FrameSource} source a closed or changed one may draw anything: keep it until the promise resolves
   * @param {FrameOptions} options
   * @returns {Promise<Frame>} when it is drawn
   */
  async frame(source, { target, device }) {
    this.#frames ??= this.#startFrames(device);
    return (await this.#frames).draw(source, target);
  }

  /** What is allocated on the backend now. @returns {Promise<Memory>} */
  memory() {
    return this.#thread.call('memory');
  }

  /** End the worker and free all it holds; calls under way and later ones reject with an `AbortError`. */
  dispose() {
    this.#frames?.then((frames) => frames.dispose()).catch(() => {});
    this.#thread.end(new DOMException('The upscaler was disposed.', 'AbortError'));
  }

  /** @param {GPUDevice} [device] */
  async #startFrames(device) {
    const source = this.#source;
    // Pages that only upscale images do without these.
    const [{ Frames }, { fetchModel }] = await Promise.all([
      import('./engine/frames.js'),
      import('./network/model.js'),
    ]);
    const artifacts = 'url' in source ? await fetchModel(source.url) : source.artifacts;
    try {
      return await Frames.start(artifacts, device);
    } catch (error) {
      this.#frames = null; // a later call tries again
      throw error;
    }
  }

  /** @template T @param {() => Promise<T>} work @returns {Promise<T>} */
  #inTurn(work) {
    const turn = this.#last.then(work);
    this.#last = turn.catch(() => {});
    return turn;
  }

  /** @param {ImageSource} image @param {UpscaleOptions<any>} options @returns {Promise<any>} */
  async #upscale(image, { signal, output, onProgress, onSize, onTile, write }) {
    const file = write && pipeInto(write);
    const on = { progress: onProgress, size: onSize, tile: onTile };
    try {
      const bitmap = image instanceof HTMLElement && (await createImageBitmap(image, { premultiplyAlpha: 'none' }));
      const source = bitmap || image;
      const transfer = [...(bitmap ? [bitmap] : []), ...(file ? [file.writable] : [])];
      const argument = { source, output, write: file?.writable, preview: Boolean(onTile) };
      const result = await this.#thread.call('upscale', argument, { on, transfer, signal });
      await file?.written;
      return result;
    } catch (error) {
      file?.abort(error);
      throw error;
    }
  }
}

/**
 * A stream that crosses to a worker would tell it neither when all is written nor that closing failed. So it stays, and
 * another one crosses that is piped into it.
 * @param {WritableStream<Uint8Array>} stream
 */
function pipeInto(stream) {
  const { readable, writable } = /** @type {TransformStream<Uint8Array, Uint8Array>} */ (new TransformStream());
  const failure = new AbortController();
  const written = readable.pipeTo(stream, { signal: failure.signal });
  written.catch((error) => readable.cancel(error)).catch(() => {}); // ends the worker's writing
  return { writable, written, abort: (reason) => failure.abort(reason) };
}
