/** A PNG encoder that takes rows as they come, so that an image may be larger than any canvas or buffer. */
import { PNG_SIGNATURE, deflate, latin1 } from '../images/containers.js';
import { chunk, header, joinAdler, lastChunk } from '../images/png.js';
import { PngThreads } from './png-threads.js';

/** Of rows that are encoded at once, before the filter. */
const PIECE_BYTES = 2 ** 20;
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
    this.alpha = alpha;
    this.stride = (width * (alpha ? 4 : 3) * bits) / 8;
    /** @type {BlobPart[] | null} */
    this.parts = write ? null : [];
    this.pending = 0;
    this.write = write ?? (async (bytes) => this.#collect(bytes));
    this.threads = new PngThreads(this.stride * height);
    this.adler = 1;
    /** The row above the next ones. @type {import('../images/pixels.js').Levels | null} */
    this.above = null;
    /** Of each piece under way, oldest first, when it is written. @type {Promise<void>[]} */
    this.pieces = [];
    /** Rejects with what fails first, or when the file is given up. @type {Promise<never>} */
    this.stopped = new Promise((resolve, reject) => (this.stop = reject));
    this.stopped.catch(() => {}); // reported by rows and finish
    this.#follow(this.#begin(header(width, height, bits, alpha), icc, chunks));
  }

  /**
   * Encode the next rows. Resolves, with some of them still under way, as soon as there is room for more.
   * @param {import('../images/pixels.js').Levels} rgba whole rows, straight alpha; they must stay as they are until
   *   the file is finished
   */
  async rows(rgba) {
    const { width, alpha } = this;
    const row = width * 4;
    const step = row * Math.max(1, Math.floor(PIECE_BYTES / this.stride));
    for (let at = 0; at < rgba.length; at += step) {
      const room = this.pieces.length === this.threads.ahead ? this.pieces.shift() : undefined;
      await Promise.race([this.stopped, room]);
      const piece = { rgba: rgba.subarray(at, at + step), above: this.above, width, alpha };
      this.above = piece.rgba.slice(-row);
      const written = this.#add(this.threads.encode(piece), this.written);
      this.pieces.push(written);
      this.#follow(written);
    }
  }

  /** @returns {Promise<Blob | null>} the file, or null if `write` received it */
  async finish() {
    try {
      await Promise.race([this.stopped, this.written]);
      await this.write(lastChunk(this.adler));
      await this.write(chunk('IEND'));
    } finally {
      this.threads.end();
    }
    return this.parts && new Blob(this.parts, { type: 'image/png' });
  }

  /** Give the file up. */
  abort() {
    this.#fail(new DOMException('The PNG was given up.', 'AbortError'));
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

  async #begin(head, icc, chunks) {
    await this.write(latin1(PNG_SIGNATURE));
    await this.write(head);
    if (icc) await this.write(chunk('iCCP', latin1('ICC profile\0\0'), await deflate(icc)));
    for (const [name, data] of chunks) await this.write(chunk(name, data));
  }

  /** @param {Promise<void>} writing what comes last now */
  #follow(writing) {
    this.written = writing;
    writing.catch((error) => this.#fail(error));
  }

  #fail(error) {
    this.stop(error);
    this.threads.end();
  }

  /** Write a piece once it is encoded and those before it are written. */
  async #add(encoding, before) {
    const [{ idat, adler, length }] = await Promise.all([encoding, before]);
    this.adler = joinAdler(this.adler, adler, length);
    await this.write(idat);
  }
}
