/** What `span.js` takes for an image, made into what a worker can be sent. Runs where the caller is, in a page or not. */
import { reasonOf } from '../errors.js';
import { within } from '../limit.js';

/** Milliseconds within which an image of an address or a page has come. */
const LOAD_LIMIT = 60_000;

const EXPECTED =
  'a Blob or File, ImageData, ImageBitmap, VideoFrame, canvas, image or video element, or the address of an image';

/**
 * @typedef {Blob | ImageBitmap | ImageData | HTMLImageElement | SVGImageElement | HTMLCanvasElement | OffscreenCanvas
 *   | HTMLVideoElement | VideoFrame | string | URL} ImageSource a string is the address of an image
 */

/**
 * Make an image ready for a worker.
 * @param {ImageSource} image
 * @returns {Promise<{source: Blob | ImageBitmap | ImageData, transfer: Transferable[]}>} `transfer`: what may move to the
 *   worker, because the caller does not have it
 * @throws {TypeError} it is nothing of the kind
 * @throws {Error} with a sentence, if it does not come or has no pixels
 */
export async function toSource(image) {
  // Names instead of classes: an element may come from another window, and not every browser has every class.
  switch (Object.prototype.toString.call(image).slice(8, -1)) {
    case 'Blob':
    case 'File':
      return { source: /** @type {Blob} */ (image), transfer: [] };
    case 'ImageData':
      return { source: toLevels(/** @type {ImageData} */ (image)), transfer: [] };
    case 'ImageBitmap':
      if (!(/** @type {ImageBitmap} */ (image).width)) throw new TypeError('The ImageBitmap is closed.');
      return { source: /** @type {ImageBitmap} */ (image), transfer: [] };
    case 'String':
    case 'URL':
      return { source: await fetchImage(/** @type {string | URL} */ (image)), transfer: [] };
    case 'HTMLImageElement':
      await within(/** @type {HTMLImageElement} */ (image).decode(), LOAD_LIMIT, 'The image did not come').catch(
        (error) => {
          throw new Error(`The image element holds no image (${error.message}).`);
        },
      );
      return toBitmap(image);
    case 'HTMLVideoElement':
      if (/** @type {HTMLVideoElement} */ (image).readyState < 2) {
        throw new Error('The video has no picture yet; wait for its event loadeddata.');
      }
      return toBitmap(image);
    case 'SVGImageElement':
    case 'HTMLCanvasElement':
    case 'OffscreenCanvas':
    case 'VideoFrame':
      return toBitmap(image);
    default:
      throw new TypeError(`Expected ${EXPECTED}; found ${nameOf(image)}.`);
  }
}

/** @returns {string} what a value is, for a message */
export const nameOf = (value) =>
  value === null || value === undefined ? String(value) : Object.prototype.toString.call(value).slice(8, -1);

/** @returns {Promise<{source: ImageBitmap, transfer: Transferable[]}>} */
async function toBitmap(image) {
  const source = await createImageBitmap(image, { premultiplyAlpha: 'none' }).catch((error) => {
    throw new Error(`The pixels of the ${nameOf(image)} cannot be had (${reasonOf(error)}).`);
  });
  return { source, transfer: [source] };
}

/** Values beyond the range that files hold are clipped. @param {ImageData} image @returns {ImageData} of 8 bits */
function toLevels(image) {
  const { data, width, height, colorSpace } = image;
  if (data instanceof Uint8ClampedArray) return image;
  const levels = Uint8ClampedArray.from(/** @type {ArrayLike<number>} */ (data), (value) => Math.round(value * 255));
  return new ImageData(levels, width, height, { colorSpace });
}

async function fetchImage(address) {
  const url = new URL(address, globalThis.document?.baseURI ?? globalThis.location?.href);
  const signal = AbortSignal.timeout(LOAD_LIMIT);
  const response = await fetch(url, { signal }).catch(() => {
    throw new Error(`${url} could not be reached; other sites have to allow it (CORS).`);
  });
  if (!response.ok) throw new Error(`${url} was not found (status ${response.status}); check the address.`);
  const blob = await response.blob();
  if (blob.type.startsWith('text/')) throw new Error(`${url} is ${blob.type}, not an image; check the address.`);
  return blob;
}
