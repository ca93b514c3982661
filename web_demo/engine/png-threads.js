/** Encodes the pieces of a PNG on several threads, and on this one until the first of them has started. */
import { encodePiece } from '../images/png.js';
import { within } from '../limit.js';
import { Thread } from '../rpc.js';
import { loadModule } from './tf.js';

/** More would wait for the network's output. */
const MAX_THREADS = 8;
/** Bytes of an image before compression from which another thread pays: about a quarter of a second's work. */
const BYTES_EACH = 8e6;
/** Milliseconds within which a thread has encoded a piece, which takes it some thirty. */
const ANSWER_LIMIT = 30_000;

/** @typedef {import('../images/png.js').Piece} Piece */
/** @typedef {import('../images/png.js').EncodedPiece} EncodedPiece */
/** @typedef {{piece: Piece, resolve: (encoded: EncodedPiece) => void, reject: (error: Error) => void}} Job */

export class PngThreads {
  /** @type {Job[]} */
  #queue = [];
  /** @type {Set<Thread>} */
  #started = new Set();
  /** @type {Thread[]} */
  #idle = [];
  /** @type {Thread[]} */
  #all = [];
  #isBusy = false;
  #isEnded = false;

  /** @param {number} bytes of the whole image */
  constructor(bytes) {
    const count = Math.min(MAX_THREADS, Math.floor(bytes / BYTES_EACH), spareCores());
    /** How many pieces keep all busy while one is written. */
    this.ahead = 2 * (count + 1);
    this.library = loadModule('pako');
    this.library.catch(() => {}); // reported by encode
    for (let i = 0; i < count; i++) this.#start();
  }

  /**
   * Encode one piece.
   * @param {Piece} piece it is copied where it goes to another thread
   * @returns {Promise<EncodedPiece>} rejects if the library cannot be had, and after `end`
   */
  encode(piece) {
    return new Promise((resolve, reject) => {
      this.#queue.push({ piece, resolve, reject });
      this.#next();
    });
  }

  /** Stop at once. */
  end() {
    this.#isEnded = true;
    for (const thread of this.#all) thread.end();
    this.#next();
  }

  /** A thread that does not start is not missed. */
  async #start() {
    try {
      const worker = new Worker(new URL('./png-worker.js', import.meta.url), { type: 'module', name: 'png' });
      const thread = new Thread(worker);
      this.#all.push(thread);
      await thread.call('prepare');
      this.#started.add(thread);
      this.#idle.push(thread);
      this.#next();
    } catch {
      // The page's security policy forbids it, it lies on another site, or it was ended.
    }
  }

  #next() {
    if (this.#isEnded) {
      const reason = new DOMException('The PNG was given up.', 'AbortError');
      for (const { reject } of this.#queue.splice(0)) reject(reason);
    }
    while (this.#queue.length && this.#idle.length) {
      this.#send(/** @type {Thread} */ (this.#idle.pop()), /** @type {Job} */ (this.#queue.shift()));
    }
    if (!this.#isBusy) this.#work();
  }

  /** Let a thread do a job; one that fails leaves it to the others. */
  async #send(thread, job) {
    const rgba = job.piece.rgba.slice();
    try {
      const answer = thread.call('encode', { ...job.piece, rgba }, { transfer: [rgba.buffer] });
      job.resolve(await within(answer, ANSWER_LIMIT, 'A thread did not encode its rows'));
      this.#idle.push(thread);
    } catch {
      thread.end();
      this.#started.delete(thread);
      this.#queue.unshift(job);
    }
    this.#next();
  }

  /** Do the jobs here while there is no other thread. */
  async #work() {
    this.#isBusy = true;
    while (this.#queue.length && !this.#started.size) {
      const { piece, resolve, reject } = /** @type {Job} */ (this.#queue.shift());
      try {
        const pako = await this.library;
        await new Promise((proceed) => setTimeout(proceed)); // messages come in, such as that one has started
        resolve(encodePiece(pako, piece));
      } catch (error) {
        reject(error);
      }
    }
    this.#isBusy = false;
  }
}

/** How many threads beside this one can run at once; none in Node, which has no `Worker`. */
const spareCores = () => (typeof Worker === 'undefined' ? 0 : navigator.hardwareConcurrency - 1);
