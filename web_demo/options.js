/** What span.js asks of its options, and what it does with the one that it cannot hand to its worker as it is. */

import { CHAIN } from './engine/backend.js';
import { nameOf } from './images/source.js';

/** @typedef {import('./engine/backend.js').BackendName} BackendName */
/** @typedef {import('./engine/running-model.js').Status} Status */
/** @typedef {import('./engine/frames.js').FrameTarget} FrameTarget */

/**
 * @typedef {object} LoadOptions
 * @property {'auto' | BackendName} [backend] where to begin in the chain WebGPU, WebGL, WebAssembly, JavaScript; 'auto',
 *   the default, takes the first that works, and changes over when a GPU has proved faster; a page's browser remembers
 *   that for the next visit
 * @property {number} [tile] side of the tiles in pixels of the input; by default what suits the backend
 * @property {'float32' | 'float16'} [precision] the lowest of the factors that are multiplied on WebGPU; 'float32' is the
 *   default. With 'float16' a GPU's matrix units are used where the browser offers them: results are half a level off
 *   at most on photographs, and more where a picture is noise.
 * @property {(status: Status) => void} [onStatus] called when another backend or tile is taken, as after a lost GPU, when
 *   kernels were measured, and when a GPU has been compared
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
 * @template {WritableStream<Uint8Array> | undefined} [Write=WritableStream<Uint8Array> | undefined]
 * @typedef {object} UpscaleOptions
 * @property {AbortSignal} [signal] cancels within one tile; the promise rejects with an `AbortError`
 * @property {boolean} [tta] average over the image's eight orientations: slightly better, and eight times slower
 * @property {Output} [output] a PNG file as a Blob, the default, or RGBA values
 * @property {number} [width] in pixels, to which the result is reduced if it is wider; the sides keep their proportion
 * @property {(progress: {done: number, total: number}) => void} [onProgress] tiles done
 * @property {(size: Size) => void} [onSize] called before the first tile, with the size of all tiles together
 * @property {(tile: Tile) => void} [onTile] called with each finished tile
 * @property {Write} [write] takes the PNG file as it is made, for results larger than memory; `blob`
 *   is then null. It is closed before the promise resolves, and aborted if it rejects. While it is being closed,
 *   `signal` has no effect any more.
 */

/**
 * @typedef {object} FrameOptions
 * @property {FrameTarget} target what is drawn into
 * @property {GPUDevice} [device] of the page, which textures belong to; the same in every call. By default an own one
 */

/** @param {Pick<LoadOptions, 'backend' | 'tile' | 'precision'>} options @throws {TypeError} */
export function checkLoad({ backend = 'auto', tile, precision = 'float32' }) {
  if (backend !== 'auto' && !CHAIN.includes(backend)) {
    throw new TypeError(`backend must be 'auto' or one of ${CHAIN.join(', ')}; found ${backend}.`);
  }
  if (tile !== undefined && !(Number.isFinite(tile) && tile > 0)) {
    throw new TypeError(`tile must be a number of pixels; found ${tile}.`);
  }
  if (precision !== 'float32' && precision !== 'float16') {
    throw new TypeError(`precision must be 'float32' or 'float16'; found ${precision}.`);
  }
}

/** @param {UpscaleOptions<any, any>} options @throws {TypeError} */
export function checkUpscale({ output = 'png', width, write }) {
  if (output !== 'png' && output !== 'pixels') {
    throw new TypeError(`output must be 'png' or 'pixels'; found ${output}.`);
  }
  if (width !== undefined && !(Number.isInteger(width) && width > 0)) {
    throw new TypeError(`width must be a whole number of pixels; found ${width}.`);
  }
  if (write && output === 'pixels') {
    throw new TypeError("write takes a PNG file; it does not go with output: 'pixels'.");
  }
  if (write && !(write instanceof WritableStream)) {
    throw new TypeError(`write must be a WritableStream; found ${nameOf(write)}.`);
  }
}

/**
 * A stream that crosses to a worker would tell it neither when all is written nor that closing failed. So it stays, and
 * another one crosses that is piped into it.
 * @param {WritableStream<Uint8Array>} stream
 */
export function pipeInto(stream) {
  const { readable, writable } = /** @type {TransformStream<Uint8Array, Uint8Array>} */ (new TransformStream());
  const failure = new AbortController();
  const written = readable.pipeTo(stream, { signal: failure.signal });
  written.catch((error) => readable.cancel(error)).catch(() => {}); // ends the worker's writing
  return { writable, written, abort: (reason) => failure.abort(reason) };
}
