/** A network on our own WebGPU kernels, with the same face as `Network` of network/network.js. */
import { BackendLost } from '../../network/lost.js';
import { Arena } from './arena.js';
import { checkProgram } from './check.js';
import { openDevice } from './device.js';
import { Program } from './program.js';
import { Runner, STATUS_BYTES } from './runner.js';
import { PLAIN, SETS, fitting, matrixSets } from './sets.js';
import { STATUS } from './shaders/epilogue.js';
import { quadsOf } from './shaders/source.js';
import { TileBuffers } from './tile-buffers.js';
import { keptOf } from './tile.js';
import { convolutionsOf } from './weights.js';

/** @typedef {import('../../network/model.js').ModelArtifacts} ModelArtifacts */
/** @typedef {import('../../network/model.js').SpanConfig} SpanConfig */
/** @typedef {import('./sets.js').KernelSet} KernelSet */
/** @typedef {import('./shaders/epilogue.js').Output} Output */
/** @typedef {import('./tile.js').Tile} Tile */

/**
 * @typedef {object} Place where finished pixels go
 * @property {Uint8ClampedArray<ArrayBuffer>} data RGBA
 * @property {number} offset in bytes of the first pixel
 * @property {number} stride bytes from a row to the next
 */

/** Tiles of at most so many pixels count as small: their time is the latency of workgroups. */
const SMALL = 128 * 128;
/** Milliseconds of a tile of 256×256 up to which tiles of four times the size are taken. */
const QUICK = 20;
/** `GPUMapMode.READ` */
const READ = 1;

export class GpuNetwork {
  /** Tiles that may be under way at once: while one is computed, the next is uploaded and the last read. */
  depth = 3;
  /** Tiles that were computed and read. */
  runs = 0;
  /** Of a usual tile, if they were measured. @type {number | undefined} */
  milliseconds;
  /** Tiles that were begun and are not read yet. */
  #underWay = 0;
  /** Whether the buffers of tiles go when none is under way. */
  #resting = false;

  /**
   * Start a network: open a device, compile a set of kernels, and check what it computes.
   * @param {ModelArtifacts} artifacts
   * @param {SpanConfig} config
   * @param {object} [options]
   * @param {(sets: KernelSet[], gpu: import('./device.js').Gpu) => Promise<KernelSet[]>} [options.choose] orders those
   *   that fit by preference
   * @param {KernelSet[]} [options.sets] by default those that are good on GPUs like this one
   * @param {Parameters<typeof openDevice>[0]} [options.device]
   * @returns {Promise<GpuNetwork>}
   * @throws {Error} no device, or none of the sets is right on it; a reason for each
   */
  static async start(artifacts, config, { choose = async (sets) => sets, sets, device } = {}) {
    const gpu = await openDevice(device);
    const offered = sets ?? [...(gpu.matrix ? matrixSets(gpu.matrix) : []), ...SETS];
    const network = new GpuNetwork(gpu, artifacts, config, fitting(offered, config, gpu.device.limits));
    try {
      // A software device compiles the others for seconds, and gains nothing.
      const wanted = gpu.software && !sets ? [] : await choose(network.sets, gpu);
      await Promise.race([network.#take([...wanted, PLAIN]), gpu.lost]);
      return network;
    } catch (error) {
      network.dispose();
      throw error;
    }
  }

  /**
   * @param {import('./device.js').Gpu} gpu
   * @param {ModelArtifacts} artifacts
   * @param {SpanConfig} config
   * @param {KernelSet[]} sets that fit the device
   */
  constructor(gpu, artifacts, config, sets) {
    this.gpu = gpu;
    this.lost = gpu.lost;
    this.artifacts = artifacts;
    this.config = config;
    this.sets = sets;
    this.arena = new Arena(gpu.device);
    this.convolutions = convolutionsOf(artifacts, config);
    this.buffers = new TileBuffers(this.arena);
    this.runner = new Runner(this.arena, config);
    /** In use, for tiles of the usual size and small ones. @type {{usual?: Program, small?: Program}} */
    this.programs = {};
  }

  /** Take the first set that is right. */
  async #take(sets) {
    const reasons = [];
    for (const set of sets) {
      try {
        this.programs = { usual: await this.makeProgram(set) };
        return;
      } catch (error) {
        reasons.push(`${set.name}: ${error.message}`);
      }
    }
    throw new Error(reasons.join('; ') || 'no set of kernels fits this device');
  }

  /**
   * Compile a set and check it against the golden tile and, at an odd size, against plain JavaScript.
   * @param {KernelSet} set
   * @returns {Promise<Program>}
   * @throws {Error} it does not compile or computes something else
   */
  async makeProgram(set) {
    const program = new Program(this.arena, this.convolutions, this.config, set);
    try {
      const compiled = Promise.all([program.prepare('bytes', 'floats'), program.prepare('bytes', 'bytes')]);
      await checkProgram(this, program, compiled);
      return program;
    } catch (error) {
      this.dropProgram(program);
      throw error;
    }
  }

  /** @param {Program} program that is not used any more */
  dropProgram(program) {
    this.runner.forget(program);
    program.dispose();
  }

  /** @returns {Program} for tiles of so many pixels */
  programFor(pixels) {
    const { usual, small } = this.programs;
    return /** @type {Program} */ ((pixels <= SMALL && small) || usual);
  }

  /** Side of tiles that suit the device: larger ones waste less on the halo, if they are done within a blink. */
  get tile() {
    const bytes = quadsOf(this.config.channels) * 16;
    const side = /** @type {number} */ (this.milliseconds) <= QUICK ? 512 : 256;
    return Math.min(side, Math.floor(Math.sqrt(this.gpu.device.limits.maxStorageBufferBindingSize / bytes)));
  }

  /** One line for a report. @returns {string} */
  get description() {
    const { usual, small } = this.programs;
    const names = [usual, small].map((program) => program?.set.name).filter(Boolean);
    const time = this.milliseconds ? `, ${this.milliseconds.toPrecision(3)} ms for 256×256` : '';
    return `${this.gpu.name}: ${[...new Set(names)].join(' and ')}${time}`;
  }

  /** What is allocated on the device now. @returns {{tensors: number, bytes: number}} */
  get memory() {
    return { tensors: this.arena.count, bytes: this.arena.bytes };
  }

  /** The most bytes since `forgetPeak`. */
  get peak() {
    return { bytes: this.arena.peak, gpuBytes: this.arena.peak };
  }

  forgetPeak() {
    this.arena.peak = this.arena.bytes;
  }

  /**
   * @param {{data: ArrayLike<number>, height: number, width: number, stride?: number}} pixels RGB first in every pixel,
   *   0..255, or 0..1 in a Float32Array; `stride` is values per pixel: 4 for RGBA
   * @param {Program} [program]
   * @returns {Promise<Float32Array>} (height · scale, width · scale, 3), RGB around [0, 1], not clipped
   * @throws {BackendLost} as `enlarge`
   */
  async compute(pixels, program = this.programFor(pixels.width * pixels.height)) {
    const source = pixels.data instanceof Float32Array ? 'floats' : 'bytes';
    await program.prepare(source, 'floats');
    const values = source === 'floats' ? this.#normalised(pixels) : asRgba(pixels);
    const { width, height } = pixels;
    let out = new Float32Array();
    const use = (bytes) => (out = new Float32Array(bytes.slice().buffer));
    await this.#finish(this.#run(program, { kind: source, values }, 'floats', { width, height }, { use }));
    return out;
  }

  /**
   * Enlarge a tile to finished pixels.
   * @param {{data: Uint8Array | Uint8ClampedArray}} pixels RGBA
   * @param {Tile} tile
   * @param {object} [options]
   * @param {Place} [options.into] by default memory of its own
   * @param {Program} [options.program]
   * @param {number} [options.blocks] fewer than the network has
   * @returns {Promise<Uint8ClampedArray<ArrayBuffer>>} of `into`: RGBA of the part that is kept, opaque
   * @throws {BackendLost} the GPU failed, left pixels out, or computed what is not finite
   */
  async enlarge({ data }, tile, { into, program = this.programFor(tile.width * tile.height), blocks } = {}) {
    const { left, top, right, bottom } = keptOf(tile, this.config.scale);
    const across = (right - left) * 4;
    const place = into ?? { data: new Uint8ClampedArray(across * (bottom - top)), offset: 0, stride: across };
    const use = (bytes) => storeRows(bytes, across, place);
    await this.#finish(this.#run(program, { kind: 'bytes', values: data }, 'bytes', tile, { blocks, use }));
    return place.data;
  }

  /**
   * Put a tile into the queue without reading the result: for measuring.
   * @param {Tile} tile
   * @param {Program} [program]
   */
  enqueue(tile, program = this.programFor(tile.width * tile.height)) {
    const kind = /** @type {const} */ ('bytes');
    const source = this.buffers.storage('input', tile.width * tile.height * 4);
    const target = this.buffers.storage(kind, this.#bytesOf(kind, tile));
    this.runner.submit(program, { kind, resource: source }, { kind, resource: target }, tile);
  }

  /** Free the buffers of tiles once none is under way; the next tile creates them anew. */
  rest() {
    this.#resting = true;
    if (!this.#underWay) this.#freeTiles();
  }

  /** Free everything and end the device, if it is our own; work under way is given up. */
  dispose() {
    this.arena.dispose();
    if (this.gpu.owned) this.gpu.device.destroy();
  }

  /** Wait for a tile that was begun. @param {Promise<void>} tile */
  async #finish(tile) {
    this.#underWay++;
    this.#resting = false;
    try {
      await tile;
    } finally {
      this.#underWay--;
      if (this.#resting && !this.#underWay) this.#freeTiles();
    }
  }

  /**
   * Run a tile.
   * @param {Program} program
   * @param {{kind: import('./shaders/first.js').Input, values: Float32Array | Uint8Array | Uint8ClampedArray}} source
   * @param {Output} output
   * @param {Tile} tile
   * @param {{use: (bytes: Uint8Array) => void, blocks?: number}} options `use` can read the part that is kept, until it
   *   returns
   */
  async #run(program, { kind, values }, output, tile, { blocks, use }) {
    const { device } = this.gpu;
    this.runs++;
    const bytes = this.#bytesOf(output, tile);
    device.pushErrorScope('validation');
    device.pushErrorScope('out-of-memory');
    const readable = this.buffers.takeReadable(bytes + STATUS_BYTES);
    const source = this.buffers.storage('input', values.byteLength);
    device.queue.writeBuffer(source, 0, /** @type {Float32Array<ArrayBuffer>} */ (values));
    const target = this.buffers.storage(output, bytes);
    this.runner.submit(program, { kind, resource: source }, { kind: output, resource: target }, tile, {
      blocks,
      after: (encoder, status) => {
        encoder.copyBufferToBuffer(target, 0, readable, 0, bytes);
        encoder.copyBufferToBuffer(status, 0, readable, bytes, STATUS_BYTES);
      },
    });
    const failures = [device.popErrorScope(), device.popErrorScope()];
    const mapping = readable.mapAsync(READ, 0, bytes + STATUS_BYTES);
    mapping.catch(() => {}); // it fails when the scopes do
    const failure = (await Promise.all(failures)).find(Boolean);
    if (failure) {
      this.arena.free(readable);
      throw new BackendLost(`WebGPU failed: ${failure.message}`);
    }
    await Promise.race([mapping, this.lost]);
    try {
      const mapped = readable.getMappedRange(0, bytes + STATUS_BYTES);
      checkStatus(new Uint32Array(mapped, bytes, 1)[0]);
      use(new Uint8Array(mapped, 0, bytes));
    } finally {
      readable.unmap();
      this.buffers.giveBack(readable);
    }
  }

  #freeTiles() {
    this.buffers.free();
    this.runner.rest();
  }

  /** @param {Output} output @param {Tile} tile @returns {number} of the part that is kept */
  #bytesOf(output, tile) {
    const { left, top, right, bottom } = keptOf(tile, this.config.scale);
    return (right - left) * (bottom - top) * (output === 'bytes' ? 4 : 12);
  }

  #normalised({ data, height, width, stride = 4 }) {
    const { imgRange, rgbMean } = this.config;
    return Float32Array.from({ length: height * width * 3 }, (_, i) => {
      return (data[Math.floor(i / 3) * stride + (i % 3)] - rgbMean[i % 3]) * imgRange;
    });
  }
}

/** @param {number} status of a pass @throws {BackendLost} its pixels cannot be used */
export function checkStatus(status) {
  if (status & STATUS.notFinite) throw new BackendLost('WebGPU returned values that are not numbers');
  if (status !== STATUS.done) throw new BackendLost('WebGPU did not compute all pixels of a tile');
}

/** Copy rows of so many bytes. @param {Uint8Array} bytes @param {number} across @param {Place} place */
function storeRows(bytes, across, { data, offset, stride }) {
  if (stride === across) {
    data.set(bytes, offset);
    return;
  }
  for (let from = 0, to = offset; from < bytes.length; from += across, to += stride) {
    data.set(bytes.subarray(from, from + across), to);
  }
}

/** @returns {Uint8Array | Uint8ClampedArray} */
function asRgba({ data, height, width, stride = 4 }) {
  if (stride === 4 && ArrayBuffer.isView(data)) return /** @type {any} */ (data);
  const rgba = new Uint8Array(height * width * 4).fill(255);
  for (let i = 0; i < height * width; i++) {
    for (let c = 0; c < 3; c++) rgba[4 * i + c] = data[stride * i + c];
  }
  return rgba;
}
