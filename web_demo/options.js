/** What span.js asks of its options, and what it does with the one that it cannot hand to its worker as it is. */

import { CHAIN } from './engine/backend.js';
import { nameOf } from './images/source.js';

/** @typedef {import('./span.js').LoadOptions} LoadOptions */
/**
 * @template {'png' | 'pixels'} Output
 * @template {WritableStream<Uint8Array> | undefined} Write
 * @typedef {import('./span.js').UpscaleOptions<Output, Write>} UpscaleOptions
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
