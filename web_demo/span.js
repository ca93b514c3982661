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

import { LABELS } from './engine/backend.js';
import { recall, remember } from './engine/remembered.js';
import { reasonOf } from './errors.js';
import { nameOf, toSource } from './images/source.js';
import { startThread } from './launch.js';
import { within } from './limit.js';
import { checkLoad, checkUpscale, pipeInto } from './options.js';

/** @typedef {import('./engine/backend.js').BackendName} BackendName */
/** @typedef {import('./engine/running-model.js').Status} Status */
/** @typedef {import('./engine/frames.js').Frame} Frame */
/** @typedef {import('./engine/frames.js').FrameSource} FrameSource */
/** @typedef {import('./engine/measure.js').Measurement} Measurement */
/** @typedef {import('./images/source.js').ImageSource} ImageSource */
/** @typedef {import('./network/model.js').ModelArtifacts} ModelArtifacts */
/** @typedef {import('./network/model.js').SpanConfig} Config */
/** @typedef {import('./options.js').LoadOptions} LoadOptions */
/** @typedef {import('./options.js').FrameOptions} FrameOptions */
/** @typedef {import('./options.js').Size} Size */
/** @typedef {import('./options.js').Tile} Tile */

/** Milliseconds within which a GPU has shown whether it is faster. Nobody waits for it. */
const RIVAL_LIMIT = 60_000;

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
 * @property {string[]} notes sentences about what of the image is not in the result
 */

/** @typedef {Size & Work} Result */

/**
 * @typedef {object} PngFile
 * @property {Blob} blob the PNG file, with the colour profile and the metadata of the input, and 16 bits if that is a PNG of 16
 */

/**
 * @typedef {object} Written
 * @property {null} blob `write` took the file
 */

/**
 * @typedef {object} Pixels
 * @property {Uint8ClampedArray<ArrayBuffer>} data RGBA, straight alpha
 */

/** @typedef {Result & PngFile} FileResult */
/** @typedef {Result & Written} WrittenResult */
/** @typedef {Result & Pixels} PixelResult */
/**
 * What the options make of an image.
 * @template Output
 * @template Write
 * @typedef {Output extends 'pixels' ? PixelResult : Write extends WritableStream ? WrittenResult : FileResult} ResultOf
 */

/**
 * Load a model and take a backend that reproduces its self-check.
 * @param {string | URL | ModelArtifacts} model address of a `model.json`, or its content
 * @param {LoadOptions} [options]
 * @returns {Promise<Upscaler>} rejects with a `ModelError` if the model cannot be used or no backend runs it, and with a
 *   `TypeError` for options that there are not
 */
export async function loadUpscaler(
  model,
  { backend = 'auto', tile, precision = 'float32', onStatus = () => {}, signal } = {},
) {
  checkLoad({ backend, tile, precision });
  const state = { status: /** @type {any} */ (null), others: /** @type {Status['demoted']} */ ([]), onStatus };
  const thread = startThread((status) => {
    state.status = status;
    onStatus(merged(state));
  });
  const giveUp = () => thread.end();
  signal?.addEventListener('abort', giveUp);
  try {
    const isAddress = typeof model === 'string' || model instanceof URL;
    const source = isAddress ? { url: new URL(model, document.baseURI).href } : { artifacts: model };
    const first = backend === 'auto' ? recall() : undefined;
    const options = { tile, precision };
    const answer = await thread.call('load', { ...source, options: { backend, first, ...options } }, { signal });
    state.status = answer.status;
    const upscaler = new Upscaler(thread, answer.config, state, { ...source, precision });
    const used = answer.status.backend;
    if (backend === 'auto' && used === first) remember(used);
    else if (backend === 'auto') upscaler.compare(answer.artifacts ?? model, options);
    return upscaler;
  } catch (error) {
    thread.end();
    signal?.throwIfAborted();
    throw error;
  } finally {
    signal?.removeEventListener('abort', giveUp);
  }
}

const disposal = () => new DOMException('The upscaler was disposed.', 'AbortError');

/** What the worker told last, with why backends were passed over that it never tried. @returns {Status} */
function merged({ status, others }) {
  const told = new Set([status.backend, ...status.demoted.map(({ backend }) => backend)]);
  return { ...status, demoted: [...status.demoted, ...others.filter(({ backend }) => !told.has(backend))] };
}

/** A loaded model on a backend in a worker; `loadUpscaler` makes one. */
export class Upscaler {
  /** @type {import('./rpc.js').Thread} */
  #thread;
  /** The worker that tries a GPU. @type {import('./rpc.js').Thread | null} */
  #rival = null;
  /** The last call's end: calls take their turns. @type {Promise<unknown>} */
  #last = Promise.resolve();
  #isDisposed = false;

  #config;
  #state;
  #source;
  /**
   * Made for the first frame: pages that only upscale images do without.
   * @type {Promise<import('./engine/frames.js').Frames> | null}
   */
  #frames = null;

  /**
   * @internal
   * @param {import('./rpc.js').Thread} thread of worker.js, with the model loaded
   * @param {Config} config
   * @param {{status: Status, others: Status['demoted'], onStatus: (status: Status) => void}} state what the worker told
   *   last; why backends are not used that it never tried
   * @param {({url: string} | {artifacts: ModelArtifacts}) & {precision: 'float32' | 'float16'}} source of the model
   */
  constructor(thread, config, state, source) {
    this.#thread = thread;
    this.#config = config;
    this.#state = state;
    this.#source = source;
  }

  /**
   * Compare a GPU with the backend in use, in another worker, and change over to it if it is faster.
   * @internal
   * @param {ModelArtifacts} artifacts of the model
   * @param {{tile?: number, precision: 'float32' | 'float16'}} options as for `loadUpscaler`
   */
  async compare(artifacts, options) {
    const state = this.#state;
    const than = state.status.measured;
    let isUsed = false;
    const rival = startThread((status) => {
      if (!isUsed) return;
      state.status = status;
      state.onStatus(merged(state));
    });
    this.#rival = rival;
    const changeOver = async (status) => {
      if (this.#isDisposed) return;
      const notice = `${LABELS[status.backend]} proved faster than ${LABELS[state.status.backend]} and is used now`;
      this.#thread.end();
      this.#thread = rival;
      this.#rival = null;
      isUsed = true;
      state.status = status;
      state.onStatus({ ...merged(state), notice });
    };
    try {
      const trial = rival.call('rival', { artifacts, options: { than, ...options } });
      const { status, isFaster } = await within(trial, RIVAL_LIMIT, 'it did not show its speed');
      if (isFaster) {
        state.onStatus({ ...merged(state), faster: status.backend });
        await this.#inTurn(() => changeOver(status));
      } else state.others = status.demoted;
    } catch (error) {
      state.others = [{ backend: 'webgpu', reason: reasonOf(error) }];
    }
    if (this.#isDisposed) return;
    if (!isUsed) {
      rival.end();
      this.#rival = null;
      state.onStatus(merged(state));
    }
    remember(state.status.backend);
  }

  /** What the model is. @returns {Config} */
  get config() {
    return this.#config;
  }

  /** The backend in use, and why not another. @returns {Status} */
  get status() {
    return merged(this.#state);
  }

  /** How many times larger the result's sides are. @returns {number} */
  get scale() {
    return this.#config.scale;
  }

  /**
   * Upscale one image. Calls made meanwhile wait for their turn.
   * @template {'png' | 'pixels'} [Output='png']
   * @template {WritableStream<Uint8Array> | undefined} [Write=undefined]
   * @param {ImageSource} image
   * @param {import('./options.js').UpscaleOptions<Output, Write>} [options]
   * @returns {Promise<ResultOf<Output, Write>>} rejects with a `TypeError` for what is no image and for options that there are not
   */
  upscale(image, options) {
    return this.#inTurn(() => this.#upscale(image, options ?? {}));
  }

  /**
   * Measure quality and speed on an original: it is shrunk, enlarged and compared.
   * @param {Blob} original
   * @param {{signal?: AbortSignal}} [options]
   * @returns {Promise<Measurement>}
   */
  measure(original, { signal } = {}) {
    return this.#inTurn(async () => {
      if (!(original instanceof Blob)) throw new TypeError(`Expected a Blob or File; found ${nameOf(original)}.`);
      return this.#thread.call('measure', { source: original }, { signal });
    });
  }

  /**
   * Enlarge a frame of a video on the GPU, from the page's own thread. It needs WebGPU. Frames are opaque sRGB of 8 bits:
   * transparency is dropped, and grey may get a tint, which `upscale` prevents. Wait for the promise before the next call
   * and leave out what frames come meanwhile, and the video does not lag: at most one frame waits for the one before it.
   * @param {FrameSource} source keep it open and as it is until the promise resolves
   * @param {FrameOptions} options
   * @returns {Promise<Frame>} when the frame was handed to the GPU, and the one before it is drawn. Rejects for this
   *   frame alone with a `TypeError` for an argument of a wrong kind, and with an `Error` for what cannot be drawn; if the
   *   GPU failed, perhaps with the frame before, the next call starts anew; with an `AbortError` after `dispose`.
   */
  async frame(source, options) {
    if (this.#isDisposed) throw disposal();
    this.#frames ??= import('./engine/frames.js').then(({ Frames }) => new Frames(this.#source));
    this.#frames.catch(() => (this.#frames = null)); // the next call tries again
    return (await this.#frames).draw(source, options);
  }

  /** What is allocated on the backend now. @returns {Promise<Memory>} */
  memory() {
    return this.#thread.call('memory');
  }

  /** End the worker and free all it holds; calls under way and later ones reject with an `AbortError`. */
  dispose() {
    this.#isDisposed = true;
    const reason = disposal();
    this.#frames?.then((frames) => frames.dispose(reason)).catch(() => {});
    this.#thread.end(reason);
    this.#rival?.end(reason);
  }

  /** @template T @param {() => Promise<T>} work @returns {Promise<T>} */
  #inTurn(work) {
    const turn = this.#last.then(work);
    this.#last = turn.catch(() => {});
    return turn;
  }

  /** @param {ImageSource} image @param {import('./options.js').UpscaleOptions<any, any>} options @returns {Promise<any>} */
  async #upscale(image, options) {
    checkUpscale(options);
    const { signal, tta = false, output, width, onProgress, onSize, onTile, write } = options;
    const file = write && pipeInto(write);
    const on = { progress: onProgress, size: onSize, tile: onTile };
    try {
      const { source, transfer } = await toSource(image);
      const argument = { source, output, width, write: file?.writable, preview: Boolean(onTile), tta };
      if (file) transfer.push(file.writable);
      const result = await this.#thread.call('upscale', argument, { on, transfer, signal });
      await file?.written;
      return result;
    } catch (error) {
      file?.abort(error);
      throw error;
    }
  }
}
