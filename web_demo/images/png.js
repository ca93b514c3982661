/** A PNG encoder that takes rows as they come, so that an image may be larger than any canvas or buffer. */

const SIGNATURE = [137, 80, 78, 71, 13, 10, 26, 10];
const PAETH = 4;
const BLOB_BYTES = 16e6;
const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, n) => {
  for (let k = 0; k < 8; k++) n = n & 1 ? 0xedb88320 ^ (n >>> 1) : n >>> 1;
  return n;
});

/** Writes one PNG file: `rows` as they come, then `finish` or `abort`. */
export class PngEncoder {
  /**
   * @param {number} width
   * @param {number} height
   * @param {{alpha?: boolean, icc?: Uint8Array, write?: (bytes: Uint8Array) => Promise<void>}} [options] `icc` is a
   *   colour profile to embed; without `write` the file is collected and `finish` returns it
   */
  constructor(width, height, { alpha = false, icc, write } = {}) {
    this.width = width;
    this.channels = alpha ? 4 : 3;
    this.previous = new Uint8Array(width * this.channels);
    /** @type {BlobPart[] | null} */
    this.parts = write ? null : [];
    this.pending = 0;
    this.write = write ?? (async (bytes) => this.#collect(bytes));
    this.deflate = new CompressionStream('deflate');
    this.writer = this.deflate.writable.getWriter();
    this.written = this.#drain(width, height, alpha, icc);
    this.written.catch(() => {}); // reported by rows and finish
  }

  /** @param {Uint8ClampedArray} rgba whole rows, straight alpha */
  async rows(rgba) {
    const stride = this.width * this.channels;
    const count = rgba.length / (this.width * 4);
    const filtered = new Uint8Array(count * (stride + 1));
    let current = new Uint8Array(stride);
    for (let y = 0; y < count; y++) {
      this.#pack(rgba, y * this.width * 4, current);
      filter(current, this.previous, this.channels, filtered, y * (stride + 1));
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
    if (this.channels === 4) return row.set(rgba.subarray(from, from + row.length));
    for (let to = 0; to < row.length; from += 4) {
      row[to++] = rgba[from];
      row[to++] = rgba[from + 1];
      row[to++] = rgba[from + 2];
    }
  }

  async #drain(width, height, alpha, icc) {
    const header = new Uint8Array(13);
    const view = new DataView(header.buffer);
    view.setUint32(0, width);
    view.setUint32(4, height);
    header.set([8, alpha ? 6 : 2, 0, 0, 0], 8); // 8 bits, RGBA or RGB, not interlaced
    await this.write(Uint8Array.from(SIGNATURE));
    await this.write(chunk('IHDR', header));
    if (icc) await this.write(chunk('iCCP', await profile(icc)));
    const reader = this.deflate.readable.getReader();
    for (let next = await reader.read(); !next.done; next = await reader.read()) {
      await this.write(chunk('IDAT', next.value));
    }
    await this.write(chunk('IEND', new Uint8Array(0)));
  }
}

async function profile(icc) {
  const stream = new Blob([icc]).stream().pipeThrough(new CompressionStream('deflate'));
  const compressed = new Uint8Array(await new Response(stream).arrayBuffer());
  const name = [...'ICC profile'].map((letter) => letter.charCodeAt(0));
  return Uint8Array.from([...name, 0, 0, ...compressed]); // name, terminator, method: deflate
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

/** CRC-32 as section 5.5 of the PNG specification defines it. */
function crc32(bytes) {
  let crc = ~0;
  for (const byte of bytes) crc = CRC_TABLE[(crc ^ byte) & 255] ^ (crc >>> 8);
  return ~crc >>> 0;
}
