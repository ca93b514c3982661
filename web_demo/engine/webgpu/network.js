/** A network on our own WebGPU kernels, with the same face as `Network` of network/network.js. */
import { Arena } from './arena.js';
import { checkProgram } from './check.js';
import { openDevice } from './device.js';
import { Program } from './program.js';
import { readBack } from './read-back.js';
import { Runner, STATUS_BYTES } from './runner.js';
import { PLAIN, SETS, fitting, matrixSets } from './sets.js';
import { TileBuffers } from './tile-buffers.js';
import { keptOf, largestSide } from './tile.js';
import { sourceOf, storeRows } from './transfer.js';
import { convolutionsOf } from './weights.js';

/** @typedef {import('../../network/model.js').ModelArtifacts} ModelArtifacts */
/** @typedef {import('../../network/model.js').SpanConfig} SpanConfig */
/** @typedef {import('./sets.js').KernelSet} KernelSet */
/** @typedef {import('./shaders/epilogue.js').Output} Output */
/** @typedef {import('./tile.js').Tile} Tile */
/** @typedef {import('./transfer.js').Place} Place */
/** @typedef {import('./transfer.js').Values} Values */

/** Tiles of at most so many pixels count as small: their time is the latency of workgroups. */
const SMALL = 128 * 128;
/** Milliseconds of a tile of 256×256 up to which tiles of four times the size are taken. */
const QUICK = 20;

export class GpuNetwork {
  /** Tiles that may be under way at once: while one is computed, the next is uploaded and the last read. */
  depth = 3;
  /** Tiles that were begun with the programs in use. */
  runs = 0;
  /** Of a usual tile, if they were measured. @type {number | undefined} */
  milliseconds;
  /** Whether nobody needs it any more: measuring ends. */
  isRetired = false;
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
    /** @type {GpuNetwork | undefined} */
    let network;
    try {
      const offered = sets ?? [...(gpu.matrix ? matrixSets(gpu.matrix) : []), ...SETS];
      network = new GpuNetwork(gpu, artifacts, config, fitting(offered, config, gpu.device.limits));
      // A software device compiles the others for seconds, and gains nothing.
      const wanted = gpu.software && !sets ? [] : await choose(network.sets, gpu);
      await Promise.race([network.#take([...wanted, PLAIN]), gpu.lost]);
      return network;
    } catch (error) {
      network?.dispose();
      if (gpu.owned) gpu.device.destroy();
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
    const { maxStorageBufferBindingSize, maxBufferSize } = gpu.device.limits;
    /** Side of the largest tiles whose activations and finished pixels, as floats, the device can bind. */
    this.maxTile = largestSide(config, sets, Math.min(maxStorageBufferBindingSize, maxBufferSize - STATUS_BYTES));
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
    return Math.min(/** @type {number} */ (this.milliseconds) <= QUICK ? 512 : 256, this.maxTile);
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
   * @param {number} [blocks] fewer than the network has
   * @returns {Promise<Float32Array>} (height · scale, width · scale, 3), RGB around [0, 1], not clipped
   * @throws {import('../../network/lost.js').BackendLost} as `enlarge`
   */
  async compute(pixels, program = this.programFor(pixels.width * pixels.height), blocks) {
    const source = sourceOf(pixels, this.config);
    await program.prepare(source.kind, 'floats');
    const { width, height } = pixels;
    let out = new Float32Array();
    const use = (bytes) => (out = new Float32Array(bytes.slice().buffer));
    await this.#finish(this.#run(program, source, 'floats', { width, height }, { blocks, use }));
    return out;
  }

  /**
   * Enlarge a tile to finished pixels.
   * @param {{data: Uint8Array | Uint8ClampedArray | Float32Array}} pixels RGBA, 0..255, or 0..1 in a Float32Array
   * @param {Tile} tile
   * @param {object} [options]
   * @param {Place} [options.into] by default memory of its own
   * @param {Program} [options.program]
   * @param {number} [options.blocks] fewer than the network has
   * @returns {Promise<Uint8ClampedArray<ArrayBuffer>>} of `into`: RGBA of the part that is kept, opaque
   * @throws {import('../../network/lost.js').BackendLost} the GPU failed, left pixels out, or computed what is not finite
   */
  async enlarge({ data }, tile, { into, program = this.programFor(tile.width * tile.height), blocks } = {}) {
    const { left, top, right, bottom } = keptOf(tile, this.config.scale);
    const across = (right - left) * 4;
    const place = into ?? { data: new Uint8ClampedArray(across * (bottom - top)), offset: 0, stride: across };
    const use = (bytes) => storeRows(bytes, across, place);
    const source = sourceOf({ data, ...tile }, this.config);
    if (source.kind === 'floats') await program.prepare('floats', 'bytes'); // few images need it
    await this.#finish(this.#run(program, source, 'bytes', tile, { blocks, use }));
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

  /**
   * Run a tile several times, one after another, and wait for the last: for measuring.
   * @param {number} count 0 is the way to the GPU and back alone
   * @param {Tile} tile
   * @param {Program} program
   * @throws {import('../../network/lost.js').BackendLost} as `enlarge`
   */
  async repeat(count, tile, program) {
    const submit = (readable) => {
      for (let i = 0; i < count; i++) this.enqueue(tile, program);
      this.runner.copyStatus(readable);
    };
    await this.#finish(readBack(this.buffers, this.lost, 0, submit, () => {}));
  }

  /** Free the buffers of tiles once none is under way; the next tile creates them anew. */
  rest() {
    this.#resting = true;
    if (!this.#underWay) this.#freeTiles();
  }

  /** Free everything and end the device, if it is our own; work under way is given up. */
  dispose() {
    this.isRetired = true;
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
   * @param {{kind: import('./shaders/first.js').Input, values: Values}} source
   * @param {Output} output
   * @param {Tile} tile
   * @param {{use: (bytes: Uint8Array) => void, blocks?: number}} options `use` can read the part that is kept, until it
   *   returns
   */
  async #run(program, { kind, values }, output, tile, { blocks, use }) {
    const { device } = this.gpu;
    if (Object.values(this.programs).includes(program)) this.runs++;
    const bytes = this.#bytesOf(output, tile);
    const submit = (readable) => {
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
    };
    await readBack(this.buffers, this.lost, bytes, submit, use);
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
}
