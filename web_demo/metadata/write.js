/** Metadata on their way into PNG, JPEG and WebP files; the order of the parts is that of `span_keras/images/encoders.py`. */
import { END, SCAN, deflate, jpegSegments, join, latin1, text, viewOf, webpChunks } from '../images/containers.js';
import { writeExif } from './exif.js';
import { EXIF, IPTC_RESOURCE, IPTC_TEXT, PHOTOSHOP, XMP, XMP_TEXT, encodeLatin1 } from './metadata.js';

/** @typedef {import('./metadata.js').Metadata} Metadata */

/** Most bytes of a JPEG's segment behind the marker, with their length. */
const MAX_SEGMENT = 65535;
/** Bytes of a profile in one segment, as `Pillow` divides it. */
const ICC_PART = 65519;
const ICC_NAME = 'ICC_PROFILE\0';
/** Flags of a WebP's first chunk. */
const FLAG = { icc: 0x20, alpha: 0x10, exif: 0x08, xmp: 0x04 };

/** @param {string} value @returns {Uint8Array<ArrayBuffer>} */
const utf8 = (value) => new TextEncoder().encode(value);

function u32(value, little = false) {
  const bytes = new Uint8Array(4);
  viewOf(bytes).setUint32(0, value, little);
  return bytes;
}

/**
 * Return the chunks of a PNG that hold metadata, to stand before its pixels.
 * @param {Metadata} metadata
 * @returns {Promise<Array<[string, Uint8Array]>>} names and contents
 */
export async function pngMetadata({ colors = [], dpi, exif, iptc, texts, xmp }) {
  /** @type {Array<[string, Uint8Array]>} */
  const chunks = [...colors];
  if (dpi) chunks.push(['pHYs', join([...dpi.map((value) => u32(Math.round(value / 0.0254))), [1]])]);
  if (exif) chunks.push(['eXIf', writeExif(exif)]);
  if (iptc) {
    const digits = Array.from(iptc, (byte) => byte.toString(16).padStart(2, '0')).join('');
    const profile = latin1(`\niptc\n${String(iptc.length).padStart(8)}\n${digits}\n`);
    chunks.push(['zTXt', join([latin1(`${IPTC_TEXT}\0\0`), await deflate(profile)])]);
  }
  const all = { ...texts, ...(xmp ? { [XMP_TEXT]: xmp } : {}) };
  for (const [keyword, value] of Object.entries(all)) {
    chunks.push(['iTXt', join([encodeLatin1(keyword), new Uint8Array(5), utf8(value)])]);
  }
  return chunks;
}

/**
 * Put metadata into a JPEG in place of those that it has.
 * @param {Uint8Array} jpeg
 * @param {Metadata & {icc?: Uint8Array}} metadata `icc` takes the place of the browser's own profile
 * @returns {{file: Uint8Array<ArrayBuffer>, lost: string[]}} `lost`: names of what does not fit
 */
export function intoJpeg(jpeg, { dpi, exif, iptc, texts = {}, xmp, icc }) {
  const lost = Object.keys(texts)
    .filter((keyword) => keyword !== 'Comment')
    .map((keyword) => `text “${keyword}”`);
  const segments = [segment('e0', jfif(dpi))];
  const add = (name, label, ...parts) => {
    const made = segment(name, join(parts));
    if (made.length > MAX_SEGMENT + 2) lost.push(label);
    else segments.push(made);
  };
  if (exif) add('e1', 'EXIF', latin1(EXIF), writeExif(exif));
  if (xmp) add('e1', 'XMP', latin1(XMP), utf8(xmp));
  for (let part = 0, count = Math.ceil((icc?.length ?? 0) / ICC_PART); part < count; part++) {
    const piece = /** @type {Uint8Array} */ (icc).subarray(part * ICC_PART, (part + 1) * ICC_PART);
    segments.push(segment('e2', join([latin1(ICC_NAME), [part + 1, count], piece])));
  }
  if (iptc) {
    const resource = [latin1('8BIM'), [IPTC_RESOURCE >> 8, IPTC_RESOURCE & 255, 0, 0], u32(iptc.length), iptc];
    add('ed', 'IPTC', latin1(PHOTOSHOP), ...resource, new Uint8Array(iptc.length % 2));
  }
  if (texts.Comment) add('fe', 'comment', utf8(texts.Comment));
  return { file: join([[0xff, 0xd8], ...segments, ...kept(jpeg)]), lost };
}

/** The JPEG's own parts: tables and pixels, and what says how to decode them. */
function* kept(jpeg) {
  for (const { name, data, start, stop } of jpegSegments(jpeg)) {
    if (name === SCAN || name === END) return yield jpeg.subarray(start);
    const isIcc = name === 'e2' && text(data, 0, ICC_NAME.length) === ICC_NAME;
    if (!['e0', 'e1', 'ed', 'fe'].includes(name) && !isIcc) yield jpeg.subarray(start, stop);
  }
}

function segment(name, data) {
  const length = data.length + 2;
  return join([[0xff, Number.parseInt(name, 16), length >> 8, length & 255], data]);
}

/** Without a resolution, only the shape of the pixels is told. */
function jfif(dpi) {
  const values = dpi?.map(Math.round);
  const [x, y] = values && Math.max(...values) < 65536 ? values : [1, 1];
  return join([latin1('JFIF\0'), [1, 1, values ? 1 : 0, x >> 8, x & 255, y >> 8, y & 255, 0, 0]]);
}

/**
 * Put metadata into a WebP in place of those that it has.
 * @param {Uint8Array} webp
 * @param {Metadata & {icc?: Uint8Array, width: number, height: number}} metadata `icc` takes the place of the browser's own profile
 * @returns {{file: Uint8Array<ArrayBuffer>, lost: string[]}} `lost`: names of what the format cannot hold
 */
export function intoWebp(webp, { dpi, exif, iptc, texts = {}, xmp, icc, width, height }) {
  const lost = [iptc && 'IPTC', dpi && 'resolution', ...Object.keys(texts).map((keyword) => `text “${keyword}”`)];
  const chunks = [...webpChunks(webp)];
  const pixels = chunks.filter(({ name }) => !['VP8X', 'ICCP', 'EXIF', 'XMP '].includes(name));
  const flags =
    (icc ? FLAG.icc : 0) | (hasAlpha(chunks) ? FLAG.alpha : 0) | (exif ? FLAG.exif : 0) | (xmp ? FLAG.xmp : 0);
  const sides = [width, height].flatMap((side) => [...u32(side - 1, true).subarray(0, 3)]);
  const body = join([
    latin1('WEBP'),
    riffChunk('VP8X', Uint8Array.from([flags, 0, 0, 0, ...sides])),
    ...(icc ? [riffChunk('ICCP', icc)] : []),
    ...pixels.map(({ name, data }) => riffChunk(name, data)),
    ...(exif ? [riffChunk('EXIF', writeExif(exif))] : []),
    ...(xmp ? [riffChunk('XMP ', utf8(xmp))] : []),
  ]);
  const file = join([latin1('RIFF'), u32(body.length, true), body]);
  return { file, lost: /** @type {string[]} */ (lost.filter(Boolean)) };
}

/** A lossless image tells in its header, behind a signature and twice 14 bits of size. */
const hasAlpha = (chunks) =>
  chunks.some(({ name, data }) => name === 'ALPH' || (name === 'VP8L' && Boolean(data[4] & 0x10)));

const riffChunk = (name, data) => join([latin1(name), u32(data.length, true), data, new Uint8Array(data.length % 2)]);
