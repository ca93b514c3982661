/** From what the library is given to pixels: by the browser, or without it where it gives no true pixels. */
import { LACKS_END, completed, withoutExif } from '../images/alike.js';
import { isCanvasTrue } from '../images/canvas.js';
import { containerOf, jpegSegments, SCAN } from '../images/containers.js';
import { ImageError, decode as decodeByBrowser, describe, profileOf } from '../images/decode.js';
import { FROM_EXIF, turned } from '../images/orientation.js';

/** @typedef {import('../images/decode.js').Pixels} Pixels */
/** @typedef {import('../metadata/metadata.js').Metadata} Metadata */
/** @typedef {{file: Blob & {name?: string}, bytes: Uint8Array, notes: string[]}} Opened a file and what it holds */

/** Of a PNG: where its bits per sample stand. */
const DEPTH_AT = 24;

/**
 * Read the pixels of an image; see images/decode.js.
 * @param {Blob | ImageBitmap | ImageData} source
 * @returns {Promise<Pixels>}
 * @throws {ImageError} also where the browser hides the image
 */
export async function decode(source) {
  if (source instanceof Blob) return pixelsOf(await open(source));
  if (source instanceof ImageData || isCanvasTrue()) return decodeByBrowser(source);
  throw new ImageError(
    'This browser hides the content of images from pages, against fingerprinting: allow this site to read canvases, ' +
      'or give the image as a PNG, JPEG or WebP file.',
  );
}

/**
 * Read an image with what its file says about it.
 * @param {Blob | ImageBitmap | ImageData} source
 * @param {{deep: boolean}} options `deep`: keep 16 bits per sample
 * @returns {Promise<Pixels & {metadata?: Metadata}>}
 * @throws {ImageError} as `decode`
 */
export async function decodeWhole(source, { deep }) {
  if (!(source instanceof Blob)) return decode(source);
  const opened = await open(source);
  const { file, bytes } = opened;
  const [{ readMetadata }, { unseen }] = await Promise.all([
    import('../metadata/metadata.js'),
    import('../metadata/unseen.js'),
  ]);
  const { metadata, colors, notes, orientation } = await readMetadata(bytes);
  const beside = () => [...notes, ...unseen(bytes)];
  if (!deep || containerOf(bytes) !== 'png' || bytes[DEPTH_AT] !== 16) {
    const pixels = await pixelsOf(opened, orientation);
    return { ...pixels, metadata, notes: [...(pixels.notes ?? []), ...beside()] };
  }
  const { icc } = await profileOf(file);
  if (!icc && colors.some(([name]) => name === 'iCCP')) {
    // A profile for grey fits no RGB; the browser applies it.
    const pixels = await pixelsOf(opened, orientation);
    const lost = 'Its 16 bits per sample became 8.';
    return { ...pixels, metadata, notes: [...(pixels.notes ?? []), lost, ...beside()] };
  }
  // Nobody applies what describes colours beside a profile, so it goes along.
  const kept = colors.filter(([name]) => name !== 'iCCP' && (!icc || name === 'cICP'));
  const pixels = await decodeByCodec(file, true);
  return { ...pixels, metadata: { ...metadata, colors: kept }, notes: [...opened.notes, ...beside()] };
}

/** @param {Blob & {name?: string}} source @returns {Promise<Opened>} @throws {ImageError} it cannot be read, or is cut off */
async function open(source) {
  const given = await bytesOf(source);
  const bytes = await completed(given);
  if (!bytes) {
    const name = source.name ?? 'The image';
    throw new ImageError(`${name} is cut off: a part of its picture is missing; fetch the file again.`);
  }
  return bytes === given
    ? { file: source, bytes, notes: [] }
    : { file: withBytes(source, bytes), bytes, notes: [LACKS_END] };
}

/** @param {Opened} opened @param {number} [told] EXIF's orientation, where it is known @returns {Promise<Pixels>} */
async function pixelsOf({ file, bytes, notes }, told) {
  if (!isCanvasTrue()) return { ...(await decodeByCodec(file)), notes };
  const container = containerOf(bytes);
  if (container === 'jpeg' && isCutJpeg(bytes)) {
    // Of such a file browsers show all that is there, a part of it, or nothing.
    const { decodeCut } = await import('./codecs.js');
    const found = await decodeCut(file).catch(() => null);
    if (found) return { ...(await described(file, found.image)), notes: [found.note] };
  }
  const orientation = container === 'png' || container === 'webp' ? (told ?? (await orientationIn(bytes))) : 1;
  const plain = orientation === 1 ? file : withBytes(file, withoutExif(bytes));
  const pixels = await decodeByBrowser(plain);
  // Without WebGL, browsers give no colours as they are under transparency.
  const exact = pixels.rounded ? await decodeByCodec(file).catch(() => null) : null;
  return { ...(exact ?? { ...pixels, ...turned(pixels, FROM_EXIF[orientation]) }), notes };
}

/** JPEGs are turned by every browser. */
async function orientationIn(bytes) {
  return (await (await import('../metadata/metadata.js')).readMetadata(bytes)).orientation;
}

/** @param {Blob & {name?: string}} file @param {Uint8Array} bytes @returns {File} of the same name and type */
function withBytes({ name = 'The image', type }, bytes) {
  return new File([/** @type {BlobPart} */ (bytes)], name, { type });
}

/** @param {Blob & {name?: string}} file */
async function bytesOf(file) {
  try {
    return new Uint8Array(await file.arrayBuffer());
  } catch {
    throw new ImageError(`${file.name ?? 'The image'} cannot be read any more; choose it again.`);
  }
}

/** @param {Blob} file @param {boolean} [deep] keep 16 bits per sample @returns {Promise<Pixels>} */
async function decodeByCodec(file, deep = false) {
  const { decodeFile } = await import('./codecs.js');
  return described(file, await decodeFile(file, { deep }));
}

async function described(file, { width, height, data }) {
  return { ...describe(width, height, data), ...(await profileOf(file)) };
}

/** Whether a JPEG lacks its end: after the last header, its pixels end with the bytes FF D9. */
function isCutJpeg(bytes) {
  let at = 2;
  for (const { name, start } of jpegSegments(bytes)) {
    at = start;
    if (name === SCAN) break;
  }
  // From behind, where a whole file has them.
  for (let i = bytes.lastIndexOf(0xff); i >= at; i = bytes.lastIndexOf(0xff, i - 1)) {
    if (bytes[i + 1] === 0xd9) return false;
  }
  return true;
}
