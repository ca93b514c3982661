/** From what the library is given to pixels: by the browser, or without it where it gives no true pixels. */
import { isCanvasTrue } from '../images/canvas.js';
import { ImageError, decode as decodeByBrowser, describe, profileOf } from '../images/decode.js';

/** @typedef {import('../images/decode.js').Pixels} Pixels */

const CUT = 'The file is cut off at its end; what is missing of the image is grey.';

/**
 * Read an image; see images/decode.js.
 * @param {Blob | ImageBitmap | ImageData} source
 * @returns {Promise<Pixels>}
 * @throws {ImageError} also where the browser hides the image
 */
export async function decode(source) {
  if (source instanceof ImageData) return decodeByBrowser(source);
  if (!isCanvasTrue()) return decodeHidden(source);
  if (!(source instanceof Blob)) return decodeByBrowser(source);
  if (await isCutJpeg(source)) {
    // Of such a file browsers show all that is there, a part of it, or nothing.
    const pixels = await decodeByCodec(source).catch(() => decodeByBrowser(source));
    return { ...pixels, notes: [CUT] };
  }
  const pixels = await decodeByBrowser(source);
  // Without WebGL, browsers give no colours as they are under transparency.
  return pixels.rounded ? decodeByCodec(source).catch(() => pixels) : pixels;
}

function decodeHidden(source) {
  if (source instanceof Blob) return decodeByCodec(source);
  throw new ImageError(
    'This browser hides the content of images from pages, against fingerprinting: allow this site to read canvases, ' +
      'or give the image as a PNG, JPEG or WebP file.',
  );
}

/** @param {Blob} file @returns {Promise<Pixels>} */
async function decodeByCodec(file) {
  const { decodeFile } = await import('./codecs.js');
  const { width, height, data } = await decodeFile(file);
  return { ...describe(width, height, data), ...(await profileOf(file)) };
}

/** Whether a JPEG lacks its end: after the last header, its pixels end with the bytes FF D9. */
async function isCutJpeg(file) {
  const head = new Uint8Array(await file.slice(0, 2).arrayBuffer());
  if (head[0] !== 0xff || head[1] !== 0xd8) return false;
  const bytes = new Uint8Array(await file.arrayBuffer());
  let at = 2;
  while (bytes[at] === 0xff && bytes[at + 1] !== 0xda) at += 2 + (bytes[at + 2] << 8) + bytes[at + 3];
  // From behind, where a whole file has them.
  for (let i = bytes.lastIndexOf(0xff); i >= at; i = bytes.lastIndexOf(0xff, i - 1)) {
    if (bytes[i + 1] === 0xd9) return false;
  }
  return true;
}
