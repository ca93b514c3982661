/** Photographs as they stand: of PNG and WebP not every browser shows the orientation that EXIF tells. */
import { withoutExif } from '../images/alike.js';
import { isCanvasTrue } from '../images/canvas.js';
import { FROM_EXIF } from '../images/orientation.js';
import { readMetadata } from '../metadata/metadata.js';

/** Bytes of a PNG in which its EXIF lies, as a rule; in a WebP it comes last. */
const HEAD = 1e6;
/** Pixels that a canvas holds in every browser. */
const MAX_PIXELS = 4096 * 4096;

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
    if (width * height > MAX_PIXELS) return undefined;
    const number = FROM_EXIF[orientation]; // see `turned` for its bits
    const [across, down] = number & 4 ? [height, width] : [width, height];
    const [x, y] = [number & 2 ? -1 : 1, number & 1 ? -1 : 1];
    const canvas = new OffscreenCanvas(across, down);
    const context = /** @type {OffscreenCanvasRenderingContext2D} */ (canvas.getContext('2d'));
    context.translate(x < 0 ? across : 0, y < 0 ? down : 0);
    if (number & 4) context.transform(0, y, x, 0, 0, 0);
    else context.scale(x, y);
    context.drawImage(bitmap, 0, 0);
    bitmap.close();
    return URL.createObjectURL(await canvas.convertToBlob());
  } catch {
    return undefined; // the upscaler says what is wrong
  }
}
