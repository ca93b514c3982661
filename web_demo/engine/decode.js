/** From what the library is given to pixels: by the browser, or without it where it gives no true pixels. */
import { isCanvasTrue } from '../images/canvas.js';
import { containerOf, jpegSegments, SCAN } from '../images/containers.js';
import { ImageError, decode as decodeByBrowser, describe, profileOf } from '../images/decode.js';

/** @typedef {import('../images/decode.js').Pixels} Pixels */
/** @typedef {import('../metadata/metadata.js').Metadata} Metadata */

/** Of a PNG: where its bits per sample stand. */
const DEPTH_AT = 24;

/**
 * Read the pixels of an image; see images/decode.js.
 * @param {Blob | ImageBitmap | ImageData} source
 * @param {Uint8Array} [bytes] of a file, where they were read already
 * @returns {Promise<Pixels>}
 * @throws {ImageError} also where the browser hides the image
 */
export async function decode(source, bytes) {
  if (source instanceof ImageData) return decodeByBrowser(source);
  if (!isCanvasTrue()) return decodeHidden(source);
  if (!(source instanceof Blob)) return decodeByBrowser(source);
  if (await isCutJpeg(source, bytes)) {
    // Of such a file browsers show all that is there, a part of it, or nothing.
    const { decodeCut } = await import('./codecs.js');
    const found = await decodeCut(source).catch(() => null);
    if (found) return { ...(await described(source, found.image)), notes: [found.note] };
  }
  const pixels = await decodeByBrowser(source);
  // Without WebGL, browsers give no colours as they are under transparency.
  return pixels.rounded ? decodeByCodec(source).catch(() => pixels) : pixels;
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
  const bytes = await bytesOf(source);
  const [{ readMetadata }, { unseen }] = await Promise.all([
    import('../metadata/metadata.js'),
    import('../metadata/unseen.js'),
  ]);
  const { metadata, colors, notes } = await readMetadata(bytes);
  const beside = () => [...notes, ...unseen(bytes)];
  if (!deep || containerOf(bytes) !== 'png' || bytes[DEPTH_AT] !== 16) {
    const pixels = await decode(source, bytes);
    return { ...pixels, metadata, notes: [...(pixels.notes ?? []), ...beside()] };
  }
  const { icc } = await profileOf(source);
  if (!icc && colors.some(([name]) => name === 'iCCP')) {
    // A profile for grey fits no RGB; the browser applies it.
    return { ...(await decode(source, bytes)), metadata, notes: ['Its 16 bits per sample became 8.', ...beside()] };
  }
  // Nobody applies what describes colours beside a profile, so it goes along.
  const kept = colors.filter(([name]) => name !== 'iCCP' && (!icc || name === 'cICP'));
  return { ...(await decodeByCodec(source, true)), metadata: { ...metadata, colors: kept }, notes: beside() };
}

function decodeHidden(source) {
  if (source instanceof Blob) return decodeByCodec(source);
  throw new ImageError(
    'This browser hides the content of images from pages, against fingerprinting: allow this site to read canvases, ' +
      'or give the image as a PNG, JPEG or WebP file.',
  );
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
async function isCutJpeg(file, known) {
  if (containerOf(known ?? (await bytesOf(file.slice(0, 12)))) !== 'jpeg') return false;
  const bytes = known ?? (await bytesOf(file));
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
