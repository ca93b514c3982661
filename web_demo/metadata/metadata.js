/**
 * What an image file says about its pixels, and what of it an enlarged file may say: the rules of `Metadata` in
 * `span_keras/images/picture.py`. Written here because no library does it: exifr only reads, piexifjs writes EXIF into
 * JPEG alone, and Exiv2 as WebAssembly takes 5 MB and knows none of the rules.
 */
import {
  SCAN,
  containerOf,
  crc32,
  inflate,
  jpegSegments,
  latin1,
  pngChunks,
  text,
  viewOf,
  webpChunks,
} from '../images/containers.js';
import { itemsOf } from './boxes.js';
import { descriptive, orientationOf, parseExif, resized, resolutionOf } from './exif.js';
import { scaledXmp } from './xmp.js';

/** @typedef {import('./exif.js').Exif} Exif */

/**
 * @typedef {object} Metadata
 * @property {Exif} [exif]
 * @property {string} [xmp] a packet
 * @property {Uint8Array} [iptc] records (IIM), such as a caption
 * @property {[number, number]} [dpi] pixels per inch, horizontally and vertically
 * @property {Record<string, string>} [texts] of a PNG by keyword; a JPEG's comment is `Comment`
 * @property {Array<[string, Uint8Array]>} [colors] chunks of a PNG that say what its values are where there is no profile
 */

/**
 * What a file holds, as it stands there.
 * @typedef {Omit<Metadata, 'exif'> & {rawExif?: Uint8Array, isPng?: boolean, isTurned?: boolean, damaged?: Set<string>, texts?: Record<string, string>}} Found
 */

/** Begin segments of a JPEG; the last one also begins EXIF in some PNG and WebP files. */
export const EXIF = 'Exif\0\0';
export const XMP = 'http://ns.adobe.com/xap/1.0/\0';
export const PHOTOSHOP = 'Photoshop 3.0\0';
/** Keywords of a PNG's texts that hold metadata of other kinds; the last two are customs of ImageMagick and ExifTool. */
export const XMP_TEXT = 'XML:com.adobe.xmp';
export const IPTC_TEXT = 'Raw profile type iptc';
const EXIF_TEXT = 'Raw profile type exif';
/** Number of Photoshop's resource that holds IPTC. */
export const IPTC_RESOURCE = 0x0404;
/** Chunks of a PNG that are read here. */
const KEPT = /^(eXIf|pHYs|tEXt|zTXt|iTXt)$/;
const COLORS = /^(gAMA|cHRM|sRGB|cICP|iCCP)$/;
/** Bytes of a compressed text. */
const MAX_TEXT = 16e6;

/**
 * Read the metadata of a file.
 * @param {Uint8Array} bytes PNG, JPEG, WebP, AVIF or HEIC; others have none here
 * @returns {Promise<{metadata: Metadata, orientation: number, colors: Array<[string, Uint8Array]>, notes: string[]}>}
 *   `orientation`: of EXIF, which is to be applied; `colors`: chunks of a PNG about its colours, a profile among them;
 *   `notes`: sentences about what is damaged
 */
export async function readMetadata(bytes) {
  const container = containerOf(bytes);
  const read = { png: fromPng, jpeg: fromJpeg, webp: fromWebp }[String(container)] ?? fromBoxes;
  /** @type {Found} */
  const found = await read(bytes);
  const notes = [...(found.damaged ?? [])].map((name) => `A damaged ${name} chunk is left out.`);
  /** @type {Exif | undefined} */
  let exif;
  try {
    if (found.rawExif) exif = parseExif(withoutPrefix(found.rawExif));
  } catch {
    notes.push('Its EXIF data are damaged and left out.');
  }
  const orientation = exif ? orientationOf(exif) : 1;
  const metadata = defined({
    exif: exif && descriptive(exif),
    xmp: found.xmp && (orientation === 1 && !found.isTurned ? found.xmp : upright(found.xmp)),
    iptc: found.iptc,
    dpi: found.dpi ?? (found.isPng ? undefined : exif && resolutionOf(exif)),
    texts: found.texts && Object.keys(found.texts).length ? found.texts : undefined,
  });
  return { metadata, orientation, colors: found.colors ?? [], notes };
}

/**
 * Return the same metadata for an image of another size: sizes that EXIF and XMP repeat follow.
 * @param {Metadata} metadata
 * @param {number} width
 * @param {number} height
 * @returns {Metadata}
 */
export function scaledMetadata(metadata, width, height) {
  const { exif, xmp } = metadata;
  return defined({
    ...metadata,
    exif: exif && resized(exif, width, height),
    xmp: xmp && scaledXmp(xmp, width, height),
  });
}

/** Without what there is not. */
const defined = (fields) => Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));

const withoutPrefix = (bytes) => (text(bytes, 0, 6) === EXIF ? bytes.subarray(6) : bytes);

/** EXIF's orientation has been applied, so XMP's would turn the image again. */
const upright = (xmp) => xmp.replace(/(tiff:Orientation(?:=["']|>))\d/g, '$11');

async function fromJpeg(bytes) {
  const texts = /** @type {Record<string, string>} */ ({});
  /** @type {Found} */
  const found = { texts };
  for (const { name, data } of jpegSegments(bytes)) {
    if (name === SCAN) break;
    const begins = (prefix) => text(data, 0, prefix.length) === prefix;
    if (name === 'e0' && begins('JFIF\0')) found.dpi = densityOf(data);
    else if (name === 'e1' && begins(EXIF)) found.rawExif ??= data;
    else if (name === 'e1' && begins(XMP)) found.xmp ??= decodeText(data.subarray(XMP.length));
    else if (name === 'ed' && begins(PHOTOSHOP)) found.iptc ??= resourceOf(data.subarray(PHOTOSHOP.length));
    else if (name === 'fe') texts.Comment ??= decodeComment(data);
  }
  return found;
}

/** Many programs write a density of 1 for one that they do not know. */
function densityOf(jfif) {
  const view = viewOf(jfif);
  const unit = jfif[7];
  if (jfif.length < 12 || (unit !== 1 && unit !== 2)) return undefined;
  const factor = unit === 2 ? 2.54 : 1;
  return resolution(view.getUint16(8) * factor, view.getUint16(10) * factor);
}

/** @returns {[number, number] | undefined} */
const resolution = (x, y) => (x > 0 && y > 0 && x < 1e6 && y < 1e6 ? [x, y] : undefined);

/** @returns {Uint8Array | undefined} IPTC among Photoshop's resources */
function resourceOf(data) {
  const view = viewOf(data);
  for (let at = 0; at + 12 <= data.length && text(data, at, 4) === '8BIM';) {
    const number = view.getUint16(at + 4);
    const start = at + 6 + even(data[at + 6] + 1) + 4; // behind a name and the length
    if (start > data.length) return undefined;
    const length = view.getUint32(start - 4);
    if (number === IPTC_RESOURCE && length) return data.slice(start, start + length);
    at = start + even(length);
  }
  return undefined;
}

const even = (length) => length + (length % 2);

async function fromWebp(bytes) {
  /** @type {Found} */
  const found = {};
  for (const { name, data } of webpChunks(bytes)) {
    if (name === 'EXIF') found.rawExif = data;
    if (name === 'XMP ') found.xmp = decodeText(data);
  }
  return found;
}

function fromBoxes(bytes) {
  try {
    const { rawXmp, ...found } = text(bytes, 4, 4) === 'ftyp' ? itemsOf(bytes) : {};
    return { ...found, xmp: rawXmp && decodeText(rawXmp) };
  } catch {
    return {}; // damaged; decoding tells
  }
}

async function fromPng(bytes) {
  const texts = /** @type {Record<string, string>} */ ({});
  const colors = /** @type {Array<[string, Uint8Array]>} */ ([]);
  const damaged = /** @type {Set<string>} */ (new Set());
  /** @type {Found} */
  const found = { isPng: true, texts, colors, damaged };
  for (const { name, data, start, stop } of pngChunks(bytes)) {
    if (COLORS.test(name)) colors.push([name, data]);
    if (!KEPT.test(name)) continue;
    if (crc32(bytes.subarray(start + 4, stop - 4)) !== viewOf(bytes).getUint32(stop - 4)) damaged.add(name);
    else if (name === 'eXIf') found.rawExif = data;
    else if (name === 'pHYs' && data[8] === 1) {
      found.dpi = resolution(viewOf(data).getUint32(0) * 0.0254, viewOf(data).getUint32(4) * 0.0254);
    } else {
      const [keyword, value] = (await textOf(name, data).catch(() => null)) ?? ['']; // a damaged text is no text
      if (value === undefined) continue;
      if (keyword === XMP_TEXT) found.xmp = value;
      else if (keyword === IPTC_TEXT) found.iptc = iptcOf(value);
      else if (keyword === EXIF_TEXT) found.rawExif ??= rawProfile(value);
      else if (!keyword.includes('Raw profile')) texts[keyword] = value;
    }
  }
  return found;
}

/** @returns {Promise<[string, string] | undefined>} keyword and text of a chunk */
async function textOf(name, data) {
  const end = data.indexOf(0);
  const keyword = text(data, 0, end);
  const rest = data.subarray(end + 1);
  if (name === 'tEXt') return [keyword, decodeLatin1(rest)];
  if (name === 'zTXt') {
    const plain = await inflate(rest.subarray(1), MAX_TEXT);
    return plain && [keyword, decodeLatin1(plain)];
  }
  const translated = rest.indexOf(0, rest.indexOf(0, 2) + 1); // behind the language
  const body = rest.subarray(translated + 1);
  const plain = rest[0] ? await inflate(body, MAX_TEXT) : body;
  return plain && [keyword, new TextDecoder('utf-8', { ignoreBOM: true }).decode(plain)];
}

/** @returns {Uint8Array | undefined} the bytes that a text of digits holds, behind its name and length */
function rawProfile(value) {
  const digits = value.split('\n').slice(3).join('');
  if (!/^([0-9a-f]{2})*$/i.test(digits)) return undefined;
  return Uint8Array.from(digits.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
}

/** Some programs put Photoshop's header before the records. */
function iptcOf(value) {
  const bytes = rawProfile(value);
  const start = bytes ? decodeLatin1(bytes).indexOf('\x1c\x02') : -1;
  return start < 0 ? undefined : bytes?.subarray(start);
}

/** Not by `text`, whose arguments are limited in number; nor by TextDecoder, whose Latin-1 is Windows's. */
function decodeLatin1(bytes) {
  let decoded = '';
  for (let at = 0; at < bytes.length; at += 8192) decoded += text(bytes, at, Math.min(8192, bytes.length - at));
  return decoded;
}

function decodeText(bytes) {
  const order = { '\xff\xfe': 'utf-16le', '\xfe\xff': 'utf-16be' }[text(bytes, 0, 2)];
  return new TextDecoder(order ?? 'utf-8', { ignoreBOM: !order }).decode(bytes);
}

/** Nothing names the encoding of a JPEG's comment. */
function decodeComment(bytes) {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return decodeLatin1(bytes);
  }
}

/** @param {string} value @returns {Uint8Array<ArrayBuffer>} Latin-1, with question marks for what it has not */
export const encodeLatin1 = (value) => latin1(value.replace(/[^\0-\xff]/g, '?'));
