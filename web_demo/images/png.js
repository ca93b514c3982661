/** The parts of a PNG file as we write it: chunks, and pieces of rows that are filtered and deflated apart. */
import { crc32, latin1 } from './containers.js';

const PAETH = 4;
/** zlib's run-length matching: enlarged photographs are 3 to 9 % larger than with a search, in a third of the time. */
const RUNS = { level: 1, strategy: 3 };
/** Drawings and text repeat more than runs, and are much smaller with a search. */
const SEARCH = { level: 5, strategy: 0 };
/** A search that is quicker, to see whether one pays. */
const TRIAL = { level: 4, strategy: 0 };
/** Bytes for that: one window of deflate. */
const SAMPLE = 32_768;
/** How much smaller a search has to make them. */
const GAIN = 0.95;
/** The part of its bytes below which a sample is flat: it shows no difference, and a search through it takes no time. */
const FLAT = 1 / 16;
/** zlib's Z_SYNC_FLUSH: what comes out ends with a whole byte, and the next piece can follow. */
const SYNC_FLUSH = 2;
const ZLIB_HEADER_BYTES = 2;
const ADLER_BASE = 65521;

/**
 * @typedef {object} Piece whole rows of an image that follow one another
 * @property {import('./pixels.js').Levels} rgba straight alpha
 * @property {import('./pixels.js').Levels | null} above the row above them; null at the top
 * @property {number} width
 * @property {boolean} alpha whether the file has it
 */

/**
 * @typedef {object} EncodedPiece
 * @property {Uint8Array<ArrayBuffer>} idat a whole chunk; those of an image go into its file one after the other
 * @property {number} adler Adler-32 of what was deflated
 * @property {number} length of that, in bytes
 */

/**
 * Filter and deflate one piece. It needs no other piece, so several may be under way at once.
 * @param {{Deflate: new (options: object) => any}} pako the library
 * @param {Piece} piece
 * @returns {EncodedPiece} the same for the same piece, wherever it is made
 */
export function encodePiece({ Deflate }, piece) {
  const bytes = filtered(piece);
  const { parts, adler } = deflated(Deflate, bytes, isWorthSearching(Deflate, bytes) ? SEARCH : RUNS);
  if (piece.above) parts[0] = parts[0].subarray(ZLIB_HEADER_BYTES); // the first piece brought it
  return { idat: chunk('IDAT', ...parts), adler, length: bytes.length };
}

/**
 * Return the chunk that ends what the pieces began: an empty last block, and the checksum of the whole.
 * @param {number} adler
 */
export function lastChunk(adler) {
  const bytes = new Uint8Array(6);
  bytes[0] = 3;
  new DataView(bytes.buffer).setUint32(2, adler);
  return chunk('IDAT', bytes);
}

/**
 * Return the Adler-32 of two byte strings together: `adler32_combine` of zlib.
 * @param {number} first
 * @param {number} second
 * @param {number} length of the second in bytes
 */
export function joinAdler(first, second, length) {
  const rest = length % ADLER_BASE;
  const low = ((first & 0xffff) + (second & 0xffff) + ADLER_BASE - 1) % ADLER_BASE;
  const high = (rest * (first & 0xffff) + (first >>> 16) + (second >>> 16) + ADLER_BASE - rest) % ADLER_BASE;
  return high * 0x10000 + low;
}

/**
 * Return a chunk of a PNG file.
 * @param {string} type four letters
 * @param {...Uint8Array} parts what it holds, one after the other
 * @returns {Uint8Array<ArrayBuffer>}
 */
export function chunk(type, ...parts) {
  const length = sum(parts);
  const bytes = new Uint8Array(length + 12);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, length);
  let at = 4;
  for (const part of [latin1(type), ...parts]) {
    bytes.set(part, at);
    at += part.length;
  }
  view.setUint32(at, crc32(bytes.subarray(4, at)));
  return bytes;
}

/** @returns {Uint8Array} the chunk that says how large an image is and of what */
export function header(width, height, bits, alpha) {
  const bytes = new Uint8Array(13);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, width);
  view.setUint32(4, height);
  bytes.set([bits, alpha ? 6 : 2, 0, 0, 0], 8); // RGBA or RGB, not interlaced
  return chunk('IHDR', bytes);
}

const sum = (parts) => parts.reduce((length, part) => length + part.length, 0);

/** Whether a search makes the bytes much smaller than runs do, by a sample of them. */
function isWorthSearching(Deflate, bytes) {
  const middle = Math.max(0, (bytes.length - SAMPLE) >> 1);
  const sample = bytes.subarray(middle, middle + SAMPLE);
  const runs = sum(deflated(Deflate, sample, RUNS).parts);
  return runs < FLAT * sample.length || sum(deflated(Deflate, sample, TRIAL).parts) < GAIN * runs;
}

/** @returns {{parts: Uint8Array[], adler: number}} a stream of zlib that is not ended */
function deflated(Deflate, bytes, options) {
  const deflate = new Deflate({ ...options, chunkSize: Math.max(1024, bytes.length >> 1) });
  const parts = [];
  let stream;
  deflate.onStart = (started) => (stream = started);
  deflate.onData = (part) => parts.push(part);
  if (!deflate.push(bytes, SYNC_FLUSH)) throw new Error(`The PNG could not be deflated (${deflate.msg}).`);
  return { parts, adler: stream.adler };
}

/** @param {Piece} piece @returns {Uint8Array} its rows as the file holds them */
function filtered({ rgba, above, width, alpha }) {
  const channels = alpha ? 4 : 3;
  const step = channels * (rgba instanceof Uint16Array ? 2 : 1);
  const stride = width * step;
  const count = rgba.length / (width * 4);
  const out = new Uint8Array(count * (stride + 1));
  let previous = new Uint8Array(stride);
  let current = new Uint8Array(stride);
  if (above) pack(above, 0, channels, previous);
  for (let y = 0; y < count; y++) {
    pack(rgba, y * width * 4, channels, current);
    filter(current, previous, step, out, y * (stride + 1));
    [previous, current] = [current, previous];
  }
  return out;
}

/** Bytes of a row as the file orders them. */
function pack(rgba, from, channels, row) {
  if (rgba instanceof Uint16Array) return packDeep(rgba, from, channels, row);
  if (channels === 4) return row.set(rgba.subarray(from, from + row.length));
  for (let to = 0; to < row.length; from += 4) {
    row[to++] = rgba[from];
    row[to++] = rgba[from + 1];
    row[to++] = rgba[from + 2];
  }
}

/** PNG is big-endian, machines are not. */
function packDeep(rgba, from, channels, row) {
  for (let to = 0; to < row.length; from += 4) {
    for (let c = from; c < from + channels; c++) {
      row[to++] = rgba[c] >> 8;
      row[to++] = rgba[c] & 255;
    }
  }
}

/**
 * Every byte minus the neighbour (left, above, above left) nearest to their plane. Choosing a filter per row makes
 * enlarged photographs no smaller: it is this one nearly always.
 */
function filter(row, above, step, out, at) {
  out[at++] = PAETH;
  for (let i = 0; i < step; i++) out[at++] = row[i] - above[i];
  for (let i = step; i < row.length; i++) {
    const a = row[i - step];
    const b = above[i];
    const c = above[i - step];
    const toA = Math.abs(b - c);
    const toB = Math.abs(a - c);
    const toC = Math.abs(a + b - 2 * c);
    out[at++] = row[i] - (toA <= toB && toA <= toC ? a : toB <= toC ? b : c);
  }
}
