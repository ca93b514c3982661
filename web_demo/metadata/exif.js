/**
 * EXIF of an enlarged image, as `span_keras/images/read.py` keeps it: what describes the photograph stays, what describes
 * the old file goes. Source: EXIF 2.32, section 4.6; TIFF 6.0, section 2.
 */
import { join, text, viewOf } from '../images/containers.js';

/** Bytes of a value by its type; 13 is an offset. */
const SIZES = { 1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4 };
/** Types of the values that are written here. */
const [SHORT, LONG, RATIONAL] = [3, 4, 5];

const TAG = { orientation: 274, x: 282, y: 283, unit: 296, exif: 34665, gps: 34853 };
/** Width and height of the image. */
const SIDES = [40962, 40963];
/** Offsets in these are only valid in the file that they came from: the camera's notes and the rules of exchange. */
const BOUND = [37500, 40965];
/**
 * Of the first directory: description, make, model, resolution, software, date, artist, computer, copyright, rating, and
 * Windows's title, comment, author, keywords and subject.
 */
const DESCRIPTIVE = [
  ...[270, 271, 272, TAG.x, TAG.y, TAG.unit, 305, 306, 315, 316, 18246],
  ...[33432, 40091, 40092, 40093, 40094, 40095],
];
/** Entries that a directory of a real file stays far below. */
const MAX_ENTRIES = 4096;

/**
 * @typedef {object} Entry
 * @property {number} tag
 * @property {number} type
 * @property {number} count of values
 * @property {Uint8Array} value in the file's byte order
 */

/**
 * @typedef {object} Exif
 * @property {boolean} little whether the byte order is little-endian
 * @property {Entry[]} image the first directory, without pointers to others
 * @property {Entry[]} exif
 * @property {Entry[]} gps
 */

/**
 * Parse EXIF.
 * @param {Uint8Array} bytes that begin with the byte order
 * @returns {Exif}
 * @throws {RangeError} they are damaged
 */
export function parseExif(bytes) {
  const order = text(bytes, 0, 2);
  const little = order === 'II';
  const view = viewOf(bytes);
  if ((!little && order !== 'MM') || view.getUint16(2, little) !== 42) throw new RangeError('this is no EXIF');
  const read = (at) => readDirectory(bytes, at, little);
  const first = read(view.getUint32(4, little));
  const beside = (tag) => {
    const pointer = first.find((entry) => entry.tag === tag);
    return pointer ? read(viewOf(pointer.value).getUint32(0, little)) : [];
  };
  const image = first.filter(({ tag }) => tag !== TAG.exif && tag !== TAG.gps);
  return { little, image, exif: beside(TAG.exif), gps: beside(TAG.gps) };
}

function readDirectory(bytes, at, little) {
  const view = viewOf(bytes);
  const count = view.getUint16(at, little);
  if (count > MAX_ENTRIES) throw new RangeError('a directory of EXIF is damaged');
  /** @type {Entry[]} */
  const entries = [];
  for (let i = 0, place = at + 2; i < count; i++, place += 12) {
    const [tag, type] = [view.getUint16(place, little), view.getUint16(place + 2, little)];
    const values = view.getUint32(place + 4, little);
    const length = values * (SIZES[type] ?? NaN);
    const start = length > 4 ? view.getUint32(place + 8, little) : place + 8;
    // One damaged entry is no reason to lose the others.
    if (!(length > 0) || start + length > bytes.length) continue;
    entries.push({ tag, type, count: values, value: bytes.slice(start, start + length) });
  }
  return entries;
}

/** @param {Exif} exif @returns {number} 1 to 8, see `images/orientation.js` */
export function orientationOf({ image, little }) {
  const value = numberOf(image, TAG.orientation, little) ?? 1;
  return value >= 1 && value <= 8 ? value : 1;
}

/** @param {Exif} exif @returns {[number, number] | undefined} pixels per inch */
export function resolutionOf({ image, little }) {
  const unit = numberOf(image, TAG.unit, little) ?? 2;
  const [x, y] = [TAG.x, TAG.y].map((tag) => (numberOf(image, tag, little) ?? NaN) * (unit === 3 ? 2.54 : 1));
  return (unit === 2 || unit === 3) && x > 0 && y > 0 && x < 1e6 && y < 1e6 ? [x, y] : undefined;
}

function numberOf(entries, tag, little) {
  const entry = entries.find((one) => one.tag === tag);
  if (!entry) return undefined;
  const view = viewOf(entry.value);
  if (entry.type === SHORT) return view.getUint16(0, little);
  if (entry.type === LONG) return view.getUint32(0, little);
  return entry.type === RATIONAL ? view.getUint32(0, little) / view.getUint32(4, little) : undefined;
}

/**
 * Keep what describes the photograph: no thumbnail, no orientation, for it has been applied, nothing of the storage.
 * @param {Exif} exif
 * @returns {Exif | undefined} nothing if there is none of it
 */
export function descriptive({ little, image, exif, gps }) {
  const kept = {
    little,
    image: image.filter(({ tag }) => DESCRIPTIVE.includes(tag)),
    exif: exif.filter(({ tag }) => !BOUND.includes(tag)),
    gps,
  };
  return kept.image.length || kept.exif.length || gps.length ? kept : undefined;
}

/**
 * Correct the size that EXIF repeats, if it does.
 * @param {Exif} exif
 * @param {number} width
 * @param {number} height
 * @returns {Exif}
 */
export function resized(exif, width, height) {
  if (!exif.exif.some(({ tag }) => SIDES.includes(tag))) return exif;
  const sides = [width, height].map((side, i) => {
    const value = new Uint8Array(4);
    viewOf(value).setUint32(0, side, exif.little);
    return { tag: SIDES[i], type: LONG, count: 1, value };
  });
  return { ...exif, exif: [...exif.exif.filter(({ tag }) => !SIDES.includes(tag)), ...sides] };
}

/** @param {Exif} exif @returns {Uint8Array<ArrayBuffer>} what `parseExif` reads */
export function writeExif({ little, image, exif, gps }) {
  const pointer = (tag) => ({ tag, type: LONG, count: 1, value: new Uint8Array(4) });
  const pointers = [...(exif.length ? [pointer(TAG.exif)] : []), ...(gps.length ? [pointer(TAG.gps)] : [])];
  const directories = [[...image, ...pointers], exif, gps].filter((entries, i) => i === 0 || entries.length);
  const starts = [8];
  for (const entries of directories) starts.push(/** @type {number} */ (starts.at(-1)) + lengthOf(entries));
  pointers.forEach(({ value }, i) => viewOf(value).setUint32(0, starts[i + 1], little));
  const header = new Uint8Array(8);
  header.set(little ? [0x49, 0x49] : [0x4d, 0x4d]);
  viewOf(header).setUint16(2, 42, little);
  viewOf(header).setUint32(4, 8, little);
  return join([header, ...directories.map((entries, i) => writeDirectory(entries, starts[i], little))]);
}

/** Values begin at even places. */
const even = (length) => length + (length % 2);
const outside = ({ value }) => (value.length > 4 ? even(value.length) : 0);
const lengthOf = (entries) => 6 + 12 * entries.length + entries.reduce((sum, entry) => sum + outside(entry), 0);

function writeDirectory(entries, start, little) {
  const bytes = new Uint8Array(lengthOf(entries));
  const view = viewOf(bytes);
  view.setUint16(0, entries.length, little);
  let free = 6 + 12 * entries.length; // behind the offset of the next directory, which there is not
  [...entries]
    .sort((a, b) => a.tag - b.tag)
    .forEach(({ tag, type, count, value }, i) => {
      const at = 2 + 12 * i;
      view.setUint16(at, tag, little);
      view.setUint16(at + 2, type, little);
      view.setUint32(at + 4, count, little);
      if (value.length > 4) view.setUint32(at + 8, start + free, little);
      bytes.set(value, value.length > 4 ? free : at + 8);
      free += outside({ value });
    });
  return bytes;
}
