/** The parts of PNG, JPEG, WebP and GIF files, without decoding their pixels; the twin of `span_keras/images/containers.py`. */

/**
 * @typedef {object} Part
 * @property {string} name of a chunk; of a JPEG's segment its marker in hexadecimal digits
 * @property {Uint8Array} data what it holds
 * @property {number} start where it begins in the file
 * @property {number} stop one past its end there
 */

/** The segment of a JPEG that begins a scan. */
export const SCAN = 'da';
/** The segment that ends it. */
export const END = 'd9';
export const PNG_SIGNATURE = '\x89PNG\r\n\x1a\n';
/** How files begin whose parts can be had, as Latin-1. */
export const STARTS = {
  png: new RegExp(`^${PNG_SIGNATURE}`),
  jpeg: /^\xff\xd8\xff/,
  webp: /^RIFF.{4}WEBP/s,
  gif: /^GIF8[79]a/,
};
const CONTAINERS = /** @type {Array<keyof typeof STARTS>} */ (Object.keys(STARTS));

/**
 * Tell the format of a file whose parts can be had.
 * @param {Uint8Array} bytes the file, or its beginning
 * @returns {keyof typeof STARTS | undefined}
 */
export function containerOf(bytes) {
  const head = text(bytes, 0, 12);
  return CONTAINERS.find((name) => STARTS[name].test(head));
}

/**
 * List the chunks of a PNG up to IEND, or up to one that is cut off.
 * @param {Uint8Array} bytes
 * @returns {Generator<Part>}
 */
export function* pngChunks(bytes) {
  const view = viewOf(bytes);
  for (let start = 8, stop; start + 12 <= bytes.length; start = stop) {
    stop = start + 12 + view.getUint32(start);
    if (stop > bytes.length) return;
    const name = text(bytes, start + 4, 4);
    yield { name, data: bytes.subarray(start + 8, stop - 4), start, stop };
    if (name === 'IEND') return;
  }
}

/**
 * List the segments of a JPEG up to its end, or as far as the bytes go; those of a scan end where its header does.
 * @param {Uint8Array} bytes
 * @returns {Generator<Part>}
 */
export function* jpegSegments(bytes) {
  const view = viewOf(bytes);
  let start = 2;
  while ((start = bytes.indexOf(0xff, start)) >= 0 && start + 1 < bytes.length) {
    const marker = bytes[start + 1];
    if (marker === 0 || marker === 0xff || (marker >= 0xd0 && marker <= 0xd7)) {
      start += marker === 0xff ? 1 : 2; // a fill byte; a stuffed zero or a restart among coded data
      continue;
    }
    const name = marker.toString(16).padStart(2, '0');
    const isEnd = name === END;
    if (!isEnd && start + 4 > bytes.length) return;
    const stop = start + 2 + (isEnd ? 0 : view.getUint16(start + 2));
    if (stop > bytes.length || (!isEnd && stop < start + 4)) return;
    yield { name, data: bytes.subarray(start + 4, stop), start, stop };
    if (isEnd) return;
    start = stop;
  }
}

/**
 * List the chunks of a WebP.
 * @param {Uint8Array} bytes
 * @returns {Generator<Part>}
 */
export function* webpChunks(bytes) {
  const view = viewOf(bytes);
  for (let start = 12, stop; start + 8 <= bytes.length; start = stop + (stop % 2)) {
    stop = start + 8 + view.getUint32(start + 4, true);
    if (stop > bytes.length) return;
    yield { name: text(bytes, start, 4), data: bytes.subarray(start + 8, stop), start, stop };
  }
}

/**
 * List the blocks of a GIF up to its end, or up to one that is cut off. Source: GIF89a, sections 18 to 27.
 * @param {Uint8Array} bytes
 * @returns {Generator<{isFrame: boolean, stop: number}>} `stop`: one past the block's end
 */
export function* gifBlocks(bytes) {
  const table = (flags) => (flags & 0x80 ? 3 << ((flags & 7) + 1) : 0);
  let at = 13 + table(bytes[10]);
  while (bytes[at] === 0x2c || bytes[at] === 0x21) {
    const isFrame = bytes[at] === 0x2c;
    at += isFrame ? 11 + table(bytes[at + 9]) : 2;
    while (bytes[at]) at += bytes[at] + 1;
    if (++at > bytes.length) return;
    yield { isFrame, stop: at };
  }
}

/** @param {Iterable<ArrayLike<number>>} parts @returns {Uint8Array<ArrayBuffer>} one after the other */
export function join(parts) {
  const all = [...parts];
  const joined = new Uint8Array(all.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of all) {
    joined.set(part, at);
    at += part.length;
  }
  return joined;
}

/** @param {string} characters of Latin-1 @returns {Uint8Array<ArrayBuffer>} */
export const latin1 = (characters) => Uint8Array.from(characters, (character) => character.charCodeAt(0));

const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, n) => {
  for (let k = 0; k < 8; k++) n = n & 1 ? 0xedb88320 ^ (n >>> 1) : n >>> 1;
  return n;
});

/** CRC-32 as section 5.5 of the PNG specification defines it. @param {Uint8Array} bytes @returns {number} */
export function crc32(bytes) {
  let crc = ~0;
  for (const byte of bytes) crc = CRC_TABLE[(crc ^ byte) & 255] ^ (crc >>> 8);
  return ~crc >>> 0;
}

/** @returns {string} bytes as characters of Latin-1 */
export const text = (bytes, at, length) => String.fromCharCode(...bytes.subarray(at, at + length));

/** @param {Uint8Array} bytes @returns {DataView} of the same memory */
export const viewOf = (bytes) => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

/** @param {Uint8Array} bytes @returns {Promise<Uint8Array<ArrayBuffer>>} */
export async function deflate(bytes) {
  const stream = new Blob([/** @type {BlobPart} */ (bytes)]).stream().pipeThrough(new CompressionStream('deflate'));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/**
 * @param {Uint8Array} bytes
 * @param {number} most bytes that come of them: few can become gigabytes
 * @returns {Promise<Uint8Array<ArrayBuffer> | undefined>} nothing for more; rejects for damaged data
 */
export async function inflate(bytes, most) {
  const parts = [];
  let length = 0;
  for await (const part of inflated(bytes)) {
    length += part.length;
    if (length > most) return undefined;
    parts.push(part);
  }
  return join(parts);
}

/**
 * Count the bytes that `inflate` would return, without keeping them.
 * @param {Uint8Array} bytes
 * @param {number} most after which no more are counted
 * @returns {Promise<number>} rejects for damaged data
 */
export async function inflatedLength(bytes, most) {
  let length = 0;
  for await (const part of inflated(bytes)) {
    length += part.length;
    if (length > most) break;
  }
  return length;
}

async function* inflated(bytes) {
  const source = new Blob([/** @type {BlobPart} */ (bytes)]).stream();
  const reader = source.pipeThrough(new DecompressionStream('deflate')).getReader();
  try {
    for (let next = await reader.read(); !next.done; next = await reader.read()) yield next.value;
  } finally {
    reader.cancel().catch(() => {}); // it fails where the data is damaged, which is known
  }
}
