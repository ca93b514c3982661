/** Photographs as they stand: of PNG and WebP not every browser shows the orientation that EXIF tells. */
import { withoutExif } from '../images/alike.js';
import { isCanvasTrue } from '../images/canvas.js';
import { readMetadata } from '../metadata/metadata.js';

/** Bytes of a PNG in which its EXIF lies, as a rule; in a WebP it comes last. */
const HEAD = 1e6;
/** Pixels that a canvas holds in every browser. */
const MOST_PIXELS = 4096 * 4096;
/** For a canvas, by EXIF's orientation from 1: of an image of this width and height. */
const TRANSFORMS = [
  () => [1, 0, 0, 1, 0, 0],
  (width) => [-1, 0, 0, 1, width, 0],
  (width, height) => [-1, 0, 0, -1, width, height],
  (width, height) => [1, 0, 0, -1, 0, height],
  () => [0, 1, 1, 0, 0, 0],
  (width, height) => [0, 1, -1, 0, height, 0],
  (width, height) => [0, -1, -1, 0, height, width],
  (width) => [0, -1, 1, 0, 0, width],
];

/**
 * Make a picture of a photograph that stands upright, whatever the browser does with its orientation.
 * @param {File} file PNG or WebP
 * @returns {Promise<string | undefined>} an address; nothing if the file does as it is, is too large, or cannot be read
 */
export async function uprightUrl(file) {
  try {
    const head = file.type === 'image/png' ? file.slice(0, HEAD) : file;
    const { orientation } = await readMetadata(new Uint8Array(await head.arrayBuffer()));
    if (orientation === 1 || !isCanvasTrue()) return undefined;
    const plain = withoutExif(new Uint8Array(await file.arrayBuffer()));
    const bitmap = await createImageBitmap(new Blob([/** @type {BlobPart} */ (plain)], { type: file.type }));
    const { width, height } = bitmap;
    if (width * height > MOST_PIXELS) return undefined;
    const canvas = orientation < 5 ? new OffscreenCanvas(width, height) : new OffscreenCanvas(height, width);
    const context = /** @type {OffscreenCanvasRenderingContext2D} */ (canvas.getContext('2d'));
    const [a, b, c, d, e, f] = TRANSFORMS[orientation - 1](width, height);
    context.setTransform(a, b, c, d, e, f);
    context.drawImage(bitmap, 0, 0);
    bitmap.close();
    return URL.createObjectURL(await canvas.convertToBlob());
  } catch {
    return undefined; // the upscaler says what is wrong
  }
}
