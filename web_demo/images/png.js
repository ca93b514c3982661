/** A PNG encoder that takes rows as they come, so that an image may be larger than any canvas or buffer. */
import { PNG_SIGNATURE, crc32, deflate, join, latin1 } from './containers.js';

const PAETH = 4;
const BLOB_BYTES = 16e6;

/** Writes one PNG file: `rows` as they come, then `finish` or `abort`. */
export class PngEncoder {
  /**
   * @param {number} width
   * @param {number} height
   * @param {object} [options]
   * @param {boolean} [options.alpha]
   * @param {Uint8Array} [options.icc] a colour profile to embed
   * @param {8 | 16} [options.bits] per sample
   * @param {Array<[string, Uint8Array]>} [options.chunks] names and contents of others that stand before the pixels
   * @param {(bytes: Uint8Array) => Promise<void>} [options.write] without it the file is collected and `finish` returns it
   */
  constructor(width, height, { alpha = false, icc, bits = 8, chunks = [], write } = {}) {
    this.width = width;
    this.channels = alpha ? 4 : 3;
    this.step = (this.channels * bits) / 8;
    this.previous = new Uint8Array(width * this.step);
    /** @type {BlobPart[] | null} */
    this.parts = write ? null : [];
    this.pending = 0;
    this.write = write ?? (async (bytes) => this.#collect(bytes));
    this.deflate = new CompressionStream('deflate');
    this.writer = this.deflate.writable.getWriter();
    this.written = this.#drain(headerOf(width, height, bits, alpha), icc, chunks);
    this.written.catch(() => {}); // reported by rows and finish
  }

  /** @param {import('./pixels.js').Levels} rgba whole rows, straight alpha */
  async rows(rgba) {
    const stride = this.width * this.step;
    const count = rgba.length / (this.width * 4);
    const filtered = new Uint8Array(count * (stride + 1));
    let current = new Uint8Array(stride);
    for (let y = 0; y < count; y++) {
      this.#pack(rgba, y * this.width * 4, current);
      filter(current, this.previous, this.step, filtered, y * (stride + 1));
      [this.previous, current] = [current, this.previous];
    }
    await Promise.race([this.writer.write(filtered), this.written]); // a full disk ends `written` first
  }

  /** @returns {Promise<Blob | null>} the file, or null if `write` received it */
  async finish() {
    await Promise.race([this.writer.close(), this.written]);
    await this.written;
    return this.parts && new Blob(this.parts, { type: 'image/png' });
  }

  /** Give the file up. */
  abort() {
    this.writer.abort().catch(() => {}); // not waited for: it waits for rows that nobody may read any more
    this.parts = null;
  }

  /** Blobs may be kept on disk, arrays may not: every few megabytes become one. */
  #collect(bytes) {
    this.parts?.push(bytes);
    this.pending += bytes.length;
    if (this.parts && this.pending > BLOB_BYTES) {
      this.parts = [new Blob(this.parts)];
      this.pending = 0;
    }
  }

  #pack(rgba, from, row) {
    if (rgba instanceof Uint16Array) return packDeep(rgba, from, this.channels, row);
    if (this.channels === 4) return row.set(rgba.subarray(from, from + row.length));
    for (let to = 0; to < row.length; from += 4) {
      row[to++] = rgba[from];
      row[to++] = rgba[from + 1];
      row[to++] = rgba[from + 2];
    }
  }

  async #drain(header, icc, chunks) {
    await this.write(latin1(PNG_SIGNATURE));
    await this.write(chunk('IHDR', header));
    if (icc) await this.write(chunk('iCCP', join([latin1('ICC profile\0\0'), await deflate(icc)])));
    for (const [name, data] of chunks) await this.write(chunk(name, data));
    const reader = this.deflate.readable.getReader();
    for (let next = await reader.read(); !next.done; next = await reader.read()) {
      await this.write(chunk('IDAT', next.value));
    }
    await this.write(chunk('IEND', new Uint8Array(0)));
  }
}

function headerOf(width, height, bits, alpha) {
  const bytes = new Uint8Array(13);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, width);
  view.setUint32(4, height);
  bytes.set([bits, alpha ? 6 : 2, 0, 0, 0], 8); // RGBA or RGB, not interlaced
  return bytes;
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

/** Every byte minus the neighbour (left, above, above left) nearest to their plane: photographs deflate well so. */
function filter(row, above, step, out, at) {
  out[at++] = PAETH;
  for (let i = 0; i < row.length; i++) {
    const a = i < step ? 0 : row[i - step];
    const b = above[i];
    const c = i < step ? 0 : above[i - step];
    const toA = Math.abs(b - c);
    const toB = Math.abs(a - c);
    const toC = Math.abs(a + b - 2 * c);
    out[at++] = row[i] - (toA <= toB && toA <= toC ? a : toB <= toC ? b : c);
  }
}

function chunk(type, data) {
  const bytes = new Uint8Array(data.length + 12);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, data.length);
  for (let i = 0; i < 4; i++) bytes[4 + i] = type.charCodeAt(i);
  bytes.set(data, 8);
  view.setUint32(data.length + 8, crc32(bytes.subarray(4, data.length + 8)));
  return bytes;
}
