/** Buffers that tiles go into and come out through: they grow to the largest tile, and stay until they are freed. */

/** @typedef {'input' | import('./shaders/epilogue.js').Output} Name */

export class TileBuffers {
  /** What passes read and write. @type {Map<Name, GPUBuffer>} */
  #storage = new Map();
  /** What no tile is read through now. @type {GPUBuffer[]} */
  #readable = [];

  /** @param {import('./arena.js').Arena} arena */
  constructor(arena) {
    this.arena = arena;
  }

  /** @param {Name} name @param {number} bytes @returns {GPUBuffer} that holds as many */
  storage(name, bytes) {
    let buffer = this.#storage.get(name);
    if (!buffer || buffer.size < bytes) {
      if (buffer) this.arena.free(buffer);
      buffer = this.arena.storage(bytes);
      this.#storage.set(name, buffer);
    }
    return buffer;
  }

  /** @param {number} bytes @returns {GPUBuffer} to read as many through; `giveBack` or `drop` it */
  takeReadable(bytes) {
    const at = this.#readable.findIndex(({ size }) => size >= bytes);
    if (at >= 0) return this.#readable.splice(at, 1)[0];
    const small = this.#readable.pop();
    if (small) this.arena.free(small);
    return this.arena.readable(bytes);
  }

  /** @param {GPUBuffer} readable that is not mapped any more */
  giveBack(readable) {
    this.#readable.push(readable);
  }

  /** @param {GPUBuffer} readable that may still be mapped */
  drop(readable) {
    this.arena.free(readable);
  }

  /** Free what no tile is read through. */
  free() {
    for (const buffer of [...this.#readable, ...this.#storage.values()]) this.arena.free(buffer);
    this.#readable = [];
    this.#storage.clear();
  }
}
