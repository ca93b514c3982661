/** EXIF and XMP of AVIF and HEIC, which are items among others. Source: ISO/IEC 14496-12, sections 8.11.3 and 8.11.6. */
import { join, text, viewOf } from '../images/containers.js';

/**
 * @typedef {object} Box
 * @property {string} name
 * @property {Uint8Array} data
 */

/** @param {Uint8Array} bytes @returns {Generator<Box>} those that follow one another */
function* boxesOf(bytes) {
  const view = viewOf(bytes);
  for (let at = 0, stop; at + 8 <= bytes.length; at = stop) {
    const length = view.getUint32(at);
    const isLong = length === 1; // its length has 64 bits
    if (isLong && at + 16 > bytes.length) return;
    stop = length === 0 ? bytes.length : at + (isLong ? Number(view.getBigUint64(at + 8)) : length);
    const start = at + (isLong ? 16 : 8);
    if (stop < start || stop > bytes.length) return;
    yield { name: text(bytes, at + 4, 4), data: bytes.subarray(start, stop) };
  }
}

const boxOf = (bytes, wanted) => [...boxesOf(bytes)].find(({ name }) => name === wanted)?.data;

/**
 * Find the metadata of a file.
 * @param {Uint8Array} bytes
 * @returns {{rawExif?: Uint8Array, rawXmp?: Uint8Array, isTurned?: boolean}} `isTurned`: whether decoders turn the image
 * @throws {RangeError} the file is damaged
 */
export function itemsOf(bytes) {
  const children = boxOf(bytes, 'meta')?.subarray(4);
  const [names, places] = children ? [boxOf(children, 'iinf'), boxOf(children, 'iloc')] : [];
  if (!names || !places) return {};
  const located = locationsOf(places);
  const read = (id) => {
    const extents = located.get(id) ?? [];
    return extents.length ? join(extents.map(([start, length]) => bytes.subarray(start, start + length))) : undefined;
  };
  const properties = boxOf(boxOf(children ?? bytes, 'iprp') ?? new Uint8Array(), 'ipco') ?? new Uint8Array();
  const isTurned = [...boxesOf(properties)].some(({ name }) => name === 'irot' || name === 'imir');
  /** @type {ReturnType<typeof itemsOf>} */
  const found = { isTurned };
  for (const { id, type, content } of itemsNamed(names)) {
    if (type === 'Exif') {
      const data = read(id);
      // In front stands how far behind it the byte order is.
      if (data) found.rawExif = data.subarray(4 + viewOf(data).getUint32(0));
    } else if (type === 'mime' && content === 'application/rdf+xml') found.rawXmp = read(id);
  }
  return found;
}

/** Entries of the list of items, from version 2 on; older ones name no types. */
function* itemsNamed(list) {
  const entries = list.subarray(4 + (list[0] ? 4 : 2));
  for (const { name, data } of boxesOf(entries)) {
    if (name !== 'infe' || data[0] < 2) continue;
    const isWide = data[0] > 2;
    const view = viewOf(data);
    const at = isWide ? 10 : 8;
    const [, content = ''] = text(data, at + 4, Math.min(200, data.length - at - 4)).split('\0');
    yield { id: isWide ? view.getUint32(4) : view.getUint16(4), type: text(data, at, 4), content };
  }
}

/** @returns {Map<number, Array<[number, number]>>} by item: begins and lengths of its parts in the file */
function locationsOf(data) {
  const view = viewOf(data);
  const version = data[0];
  let at = 4;
  const read = (bytes) => {
    at += bytes;
    if (bytes === 8) return Number(view.getBigUint64(at - 8));
    if (bytes === 4) return view.getUint32(at - 4);
    return bytes === 2 ? view.getUint16(at - 2) : 0;
  };
  const sizes = read(2);
  const [offsetSize, lengthSize, baseSize, indexSize] = [12, 8, 4, 0].map((shift) => (sizes >> shift) & 15);
  const wide = version < 2 ? 2 : 4;
  const located = new Map();
  for (let items = read(wide); items > 0; items--) {
    const id = read(wide);
    const isInFile = version === 0 || (read(2) & 15) === 0; // else it lies in another box
    read(2); // the file: this one
    const base = read(baseSize);
    const extents = [];
    for (let count = read(2); count > 0; count--) {
      if (version > 0) read(indexSize);
      const start = base + read(offsetSize);
      extents.push([start, read(lengthSize)]);
    }
    if (isInFile) located.set(id, extents);
  }
  return located;
}
