/** Buffers of a device, counted. */

/** In place of `GPUBufferUsage`, which is there only where WebGPU is. */
const USAGE = { MAP_READ: 1, COPY_SRC: 4, COPY_DST: 8, UNIFORM: 64, STORAGE: 128 };

export class Arena {
  /** @type {Set<GPUBuffer>} */
  #buffers = new Set();
  /** Bytes of all buffers. */
  bytes = 0;
  /** The most bytes since `peak` was last set. */
  peak = 0;

  /** @param {GPUDevice} device */
  constructor(device) {
    this.device = device;
  }

  /** @returns {number} */
  get count() {
    return this.#buffers.size;
  }

  /** @param {number} size in bytes @returns {GPUBuffer} for kernels, which may be written and read by copying */
  storage(size) {
    return this.#create(size, USAGE.STORAGE | USAGE.COPY_SRC | USAGE.COPY_DST);
  }

  /** @param {number} size in bytes @returns {GPUBuffer} */
  uniform(size) {
    return this.#create(size, USAGE.UNIFORM | USAGE.COPY_DST);
  }

  /** @param {number} size in bytes @returns {GPUBuffer} which JavaScript can read */
  readable(size) {
    return this.#create(size, USAGE.MAP_READ | USAGE.COPY_DST);
  }

  /** @param {Float32Array | Uint16Array} values @returns {GPUBuffer} for kernels, with these values */
  upload(values) {
    const buffer = this.storage(values.byteLength);
    this.device.queue.writeBuffer(buffer, 0, /** @type {Float32Array<ArrayBuffer>} */ (values));
    return buffer;
  }

  /** @param {GPUBuffer} buffer of this arena; work that was submitted may still use it */
  free(buffer) {
    if (!this.#buffers.delete(buffer)) return;
    this.bytes -= buffer.size;
    buffer.destroy();
  }

  dispose() {
    for (const buffer of this.#buffers) this.free(buffer);
  }

  #create(size, usage) {
    const buffer = this.device.createBuffer({ size: Math.ceil(size / 16) * 16, usage });
    this.#buffers.add(buffer);
    this.bytes += buffer.size;
    this.peak = Math.max(this.peak, this.bytes);
    return buffer;
  }
}
