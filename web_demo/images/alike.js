/**
 * Files as all browsers decode them alike. Of a file that lacks its end some show a part, as if that were all, and some
 * nothing. The orientation that EXIF tells some apply in every format, and some in JPEG alone.
 */
import { containerOf, gifBlocks, inflatedLength, join, pngChunks, text, viewOf, webpChunks } from './containers.js';
import { chunk } from './png.js';

export const LACKS_END = 'The file lacks its end, but all pixels are there.';
/** IEND, which ends a PNG. */
const PNG_END = chunk('IEND');
const GIF_END = 0x3b;
/** Samples of a pixel, by the PNG's type of colours. */
const SAMPLES = { 0: 1, 2: 3, 3: 1, 4: 2, 6: 4 };
/** Where the passes of an interlaced PNG begin, x and y, and their steps. */
const PASSES = [
  [0, 0, 8, 8],
  [4, 0, 8, 8],
  [0, 4, 4, 8],
  [2, 0, 4, 4],
  [0, 2, 2, 4],
  [1, 0, 2, 2],
  [0, 1, 1, 2],
];
/** Bytes beyond a PNG's pixels that are passed over. */
const MAX_BEYOND = 65536;
/** Bytes of pixels that are counted: no browser decodes as many. */
const MAX_BYTES = 2 ** 32;

/**
 * End a file that lacks its end. JPEG is the business of `decodeCut` in engine/codecs.js; what else there is, such as AVIF,
 * no browser shows in part.
 * @param {Uint8Array} bytes PNG, WebP, GIF or BMP
 * @returns {Promise<Uint8Array | null>} the same bytes if they are whole or of another kind; nothing if pixels are missing
 */
export async function completed(bytes) {
  const container = containerOf(bytes);
  if (container === 'png') return completedPng(bytes);
  if (container === 'webp') return isCutWebp(bytes) ? null : bytes;
  if (container === 'gif') return completedGif(bytes);
  return isCutBmp(bytes) ? null : bytes;
}

/** Its coded pixels end with a checksum of their own, and their number is known. */
async function completedPng(bytes) {
  const pixels = [];
  let first = 0;
  let end = 8;
  for (const { name, data, start, stop } of pngChunks(bytes)) {
    if (name === 'IEND') return bytes;
    if (name === 'IDAT') {
      first ||= start;
      pixels.push(data);
    }
    end = stop;
  }
  if (text(bytes, end + 4, 4) === 'IDAT') {
    first ||= end;
    pixels.push(bytes.subarray(end + 8, end + 8 + viewOf(bytes).getUint32(end)));
  }
  const coded = join(pixels);
  const wanted = pixelBytes(bytes);
  if (!(wanted <= MAX_BYTES)) return null;
  const found = await inflatedLength(coded, wanted + MAX_BEYOND).catch(() => 0);
  return found >= wanted && found <= wanted + MAX_BEYOND
    ? join([bytes.subarray(0, first), chunk('IDAT', coded), PNG_END])
    : null;
}

/** @param {Uint8Array} bytes of a PNG @returns {number} of its pixels, with a byte before each row; NaN without IHDR */
function pixelBytes(bytes) {
  if (text(bytes, 12, 4) !== 'IHDR' || bytes.length < 29) return NaN;
  const [width, height] = [16, 20].map((at) => viewOf(bytes).getUint32(at));
  const bits = bytes[24] * SAMPLES[bytes[25]];
  const sizes = (bytes[28] ? PASSES : [[0, 0, 1, 1]]).map(([x, y, across, down]) => {
    const columns = Math.ceil((width - x) / across);
    const rows = Math.ceil((height - y) / down);
    return columns > 0 && rows > 0 ? rows * (1 + Math.ceil((columns * bits) / 8)) : 0;
  });
  return sizes.reduce((sum, size) => sum + size, 0);
}

/** Some programs leave out the last byte, which only makes the length even. */
function isCutWebp(bytes) {
  return 8 + viewOf(bytes).getUint32(4, true) > bytes.length + 1;
}

/** The first frame is what counts. With other data among its blocks, browsers may know better. */
function completedGif(bytes) {
  let end = 0;
  for (const { isFrame, stop } of gifBlocks(bytes)) if (isFrame) end = stop;
  if (!end) return bytes.at(-1) === GIF_END ? bytes : null;
  return bytes.includes(GIF_END, end) ? bytes : join([bytes.subarray(0, end), [GIF_END]]);
}

/** Where its pixels are not compressed, their number tells. Source: BITMAPINFOHEADER. */
function isCutBmp(bytes) {
  const view = viewOf(bytes);
  if (text(bytes, 0, 2) !== 'BM' || bytes.length < 54 || view.getUint32(14, true) < 40) return false;
  const [start, width, height] = [10, 18, 22].map((at) => view.getInt32(at, true));
  const isPlain = [0, 3].includes(view.getUint32(30, true));
  const row = Math.ceil((width * view.getUint16(28, true)) / 32) * 4;
  return isPlain && start + row * Math.abs(height) > bytes.length;
}

/**
 * Take EXIF out of a file, with the orientation that not every browser applies.
 * @param {Uint8Array} bytes a whole PNG or WebP
 * @returns {Uint8Array}
 */
export function withoutExif(bytes) {
  const isPng = containerOf(bytes) === 'png';
  const kept = [bytes.subarray(0, isPng ? 8 : 12)];
  for (const { name, start, stop } of (isPng ? pngChunks : webpChunks)(bytes)) {
    if (name !== 'eXIf' && name !== 'EXIF') kept.push(bytes.subarray(start, isPng ? stop : stop + (stop % 2)));
  }
  const plain = join(kept);
  if (!isPng) viewOf(plain).setUint32(4, plain.length - 8, true);
  return plain;
}
