/** The upscaler itself: a model on a backend that proved itself, fed tile by tile. Runs inside `../worker.js`. */
import { allocate, toBytes } from '../images/pixels.js';
import { planTiles } from '../images/tiling.js';
import { within } from '../limit.js';
import { ModelError, decodeGolden, readConfig } from '../network/model.js';
import { createNetwork, goldenError } from '../network/network.js';
import { Ahead } from './ahead.js';
import { CHAIN, DeviceLost, LABELS, isExhaustion, startBackend, stopBackend } from './backend.js';
import { decodeWhole } from './decode.js';
import { gpuProblem } from './hardware.js';
import { PngEncoder } from './png.js';
import { computeRegion } from './region.js';
import { timeOf } from './run.js';
import { loadTf } from './tf.js';

/** Tile sides by backend: large enough to waste little on the halo, small enough to show progress. */
const TILES = { webgpu: 256, webgl: 256, wasm: 256, cpu: 96 };
/** In which order backends are tried where none is asked for: what starts within a second first. */
const READY_CHAIN = /** @type {BackendName[]} */ (['wasm', 'webgpu', 'webgl', 'cpu']);
/** What may be faster, and takes seconds to show it. */
const GPUS = /** @type {const} */ (['webgpu', 'webgl']);
/**
 * Milliseconds of WebGPU's probe with which WebGL is not even tried: it then shows little but the way to the GPU and
 * back.
 */
const ENOUGH = 15;
/** Milliseconds within which a backend has done the self-check: a software GPU on a busy machine takes half of them. */
const CHECK_LIMIT = 90_000;
/**
 * Bytes on the GPU above which freed memory is given back, for every image smaller than the tile brings new shapes. A
 * full tile of the largest preset takes 0.7 GB and must stay below, or every tile would allocate afresh.
 */
const POOL = 2 ** 30;

/** @typedef {import('../images/decode.js').Pixels} Pixels */
/** @typedef {import('../images/pixels.js').Levels} Levels */
/** @typedef {import('../network/model.js').ModelArtifacts} ModelArtifacts */
/** @typedef {import('../network/model.js').SpanConfig} SpanConfig */
/** @typedef {import('../network/network.js').Network} Network */
/** @typedef {import('./webgpu/network.js').GpuNetwork} GpuNetwork */
/** @typedef {import('./backend.js').BackendName} BackendName */

/**
 * @typedef {object} Status
 * @property {BackendName} backend the one in use
 * @property {number} tile side of its tiles in pixels of the input
 * @property {Array<{backend: BackendName, reason: string}>} demoted backends that were tried and are not used, and why
 * @property {Partial<Record<BackendName, number>>} measured milliseconds of the probe by backend, where some were compared
 * @property {string} [kernels] of our own on WebGPU: adapter, kernel sets and, once measured, their time; for reports
 * @property {string} [notice] what just changed, as a sentence
 * @property {BackendName} [faster] one that proved faster and is used as soon as the calls under way are done
 */

/**
 * @typedef {object} Options
 * @property {AbortSignal} [signal] stops before the next tile
 * @property {boolean} [tta] average over eight orientations, which takes eight times as long
 * @property {number} [width] in pixels, to which the result is reduced if it is wider
 * @property {(progress: {done: number, total: number}) => void} [onProgress] tiles
 * @property {(tile: {x, y, width, height, colorSpace, icc, data: Uint8ClampedArray}) => void | Promise<void>} [onTile]
 * @property {(size: {width, height, alpha: boolean, colorSpace: PredefinedColorSpace}) => void} [onSize] of all tiles
 *   together, at the start
 */

/**
 * Begin to load the libraries of the backend that `load` will try first, while the model is on its way.
 * @param {{backend?: BackendName | 'auto', first?: BackendName}} options as for `load`
 */
export function loadAhead({ backend = 'auto', first = READY_CHAIN[0] }) {
  const next = backend === 'auto' ? first : backend;
  if (next !== 'webgpu') loadTf([next]).catch(() => {}); // our own kernels need none; `load` tells what is missing
}

export class Engine {
  /** @type {Status['demoted']} */
  demoted = [];
  /** @type {Record<string, number>} milliseconds of the probe by backend */
  measured = {};
  /** @type {Network | GpuNetwork} null while no backend runs it */
  network;
  /** Why our own kernels do not run this model on WebGPU; empty while they may. */
  #refused = '';
  // What `load` sets: the model, and the backend that runs it.
  /** @type {ModelArtifacts} */
  artifacts;
  /** @type {SpanConfig} */
  config;
  /** @type {BackendName} */
  backend;
  /** @type {Tf} */
  tf;
  /** @type {Promise<never>} rejects if the GPU goes away */
  lost;

  /**
   * @param {(status: Status) => void} onStatus called whenever another backend or tile is taken
   * @param {{own?: boolean}} [options] `own`: whether our own kernels may run on WebGPU, before TensorFlow.js's
   */
  constructor(onStatus = () => {}, { own = true } = {}) {
    this.onStatus = onStatus;
    this.own = own;
  }

  /**
   * Take a model into use.
   * @param {ModelArtifacts} artifacts
   * @param {{backend?: BackendName | 'auto', first?: BackendName, tile?: number}} [options] `backend`: where to begin in
   *   the chain; with 'auto' `first` is tried first, then what starts soon, which is also timed
   */
  async load(artifacts, { backend = 'auto', first, tile } = {}) {
    this.#take(artifacts, tile);
    const isAuto = backend === 'auto';
    const chain = isAuto
      ? [...new Set(first ? [first, ...READY_CHAIN] : READY_CHAIN)]
      : CHAIN.slice(CHAIN.indexOf(backend));
    await this.#startFirst(chain);
    // Plain JavaScript would take seconds, and so would a GPU that has not been compared.
    if (this.backend === 'wasm' || (isAuto && this.backend === first && first !== 'cpu')) await this.#time();
    this.#rest();
    return { config: this.config, status: this.status };
  }

  /**
   * Take a model into use on a GPU that is faster than what another engine runs it on.
   * @param {ModelArtifacts} artifacts
   * @param {{than: Status['measured'], tile?: number}} options `than`: what the other engine measured
   * @returns {Promise<{config: SpanConfig, status: Status, isFaster: boolean}>} if not faster, nothing is in use, and
   *   `status.demoted` says why
   */
  async rival(artifacts, { than, tile }) {
    this.#take(artifacts, tile);
    this.measured = { ...than };
    await this.#startFastest();
    this.#rest();
    return { config: this.config, status: this.status, isFaster: this.network !== null };
  }

  #take(artifacts, tile) {
    this.release();
    this.artifacts = artifacts;
    this.config = readConfig(artifacts);
    this.golden = this.config.golden && decodeGolden(this.config.golden);
    this.requestedTile = tile;
    this.demoted = [];
    this.#refused = '';
    this.measured = {};
  }

  /** @returns {Status} */
  get status() {
    const { backend, tile, demoted, measured, network } = this;
    const kernels = isOwn(network) ? { kernels: network.description } : {};
    return { backend, tile, demoted: [...demoted], measured: { ...measured }, ...kernels };
  }

  /** @returns {{tensors: number, bytes: number}} what is allocated on the backend now */
  get memory() {
    if (isOwn(this.network)) return this.network.memory;
    if (!this.tf) return { tensors: 0, bytes: 0 };
    const { numTensors, numBytes } = this.tf.memory();
    return { tensors: numTensors, bytes: numBytes };
  }

  /**
   * Upscale to a PNG file.
   * @param {Blob | ImageBitmap | ImageData | Pixels} source
   * @param {Options & {write?: (bytes: Uint8Array) => Promise<void>}} [options] `write` receives the file instead of `blob`
   * @returns {Promise<{width, height, blob: Blob | null, milliseconds: number, tiles: number, notes: string[]}>}
   */
  async upscale(source, { onSize, width, write, ...options } = {}) {
    const { image, size, reduced } = await this.#begin(source, { deep: true, onSize, width });
    const { alpha, icc } = image;
    const bits = image.data instanceof Uint16Array ? 16 : 8;
    const chunks = 'metadata' in image ? await metadataOf(image, size) : [];
    const encoder = new PngEncoder(size.width, size.height, { alpha, icc, bits, chunks, write });
    try {
      const work = await this.#tiles(image, { ...options, onBand: (band) => encoder.rows(reduced(band)) });
      return { ...size, ...work, notes: image.notes ?? [], blob: await encoder.finish() };
    } catch (error) {
      encoder.abort();
      throw error;
    }
  }

  /**
   * Upscale to pixels in memory.
   * @param {Blob | ImageBitmap | ImageData | Pixels} source
   * @param {Options} [options]
   * @returns {Promise<{width, height, data: Uint8ClampedArray, milliseconds: number, tiles: number, notes: string[]}>} RGBA
   */
  async pixels(source, { onSize, width, ...options } = {}) {
    const { image, size, reduced } = await this.#begin(source, { deep: false, onSize, width });
    const data = /** @type {Uint8ClampedArray<ArrayBuffer>} */ (allocate(size.width * size.height * 4));
    let filled = 0;
    const onBand = (band) => {
      const rows = reduced(band);
      data.set(rows, filled);
      filled += rows.length;
    };
    return { ...size, ...(await this.#tiles(image, { ...options, onBand })), notes: image.notes ?? [], data };
  }

  /**
   * Decode an image, tell its size, and prepare the reduction of its result.
   * @param {Blob | ImageBitmap | ImageData | Pixels} source
   * @param {Pick<Options, 'onSize' | 'width'> & {deep: boolean}} options `deep`: see `decodeWhole`
   */
  async #begin(source, { deep, onSize, width }) {
    const image = 'alpha' in source ? source : await decodeWhole(source, { deep });
    const whole = this.#sizeOf(image);
    onSize?.(whole);
    return { image, ...(await reduction(whole, width)) };
  }

  /** @param {Pixels} image */
  #sizeOf({ width, height, alpha, colorSpace }) {
    const { scale } = this.config;
    return { width: width * scale, height: height * scale, alpha, colorSpace: colorSpace ?? 'srgb' };
  }

  /**
   * Compute tile after tile.
   * @param {Pixels} image
   * @param {Options & {onBand: (rgba: Levels) => void | Promise<void>}} options `onBand` gets every finished row
   *   of tiles
   */
  async #tiles(image, { signal, tta, onProgress, onTile, onBand }) {
    if (!this.network) await this.#startFirst(CHAIN); // all had failed, perhaps on a larger image
    const { scale, halo } = this.config;
    const { width, colorSpace } = this.#sizeOf(image);
    const icc = image.colorSpace === null ? image.icc : undefined;
    const started = performance.now();
    const { rows, columns, count } = planTiles(image.width, image.height, this.tile, halo);
    let done = 0;
    const regions = rows.flatMap((row) => columns.map((column) => ({ row, column })));
    const start = (region) => computeRegion(this, image, region.column, region.row, { signal, tta });
    const ahead = new Ahead(regions, start, () => (isOwn(this.network) ? this.network.depth : 1));
    try {
      for (const row of rows) {
        const height = (row.to - row.from) * scale;
        const band = allocate(width * height * 4, image.data);
        for (const column of columns) {
          const data = await this.#region(image, column, row, ahead, { signal, tta });
          const x = column.from * scale;
          const across = (column.to - column.from) * scale;
          for (let y = 0; y < height; y++) {
            band.set(data.subarray(y * across * 4, (y + 1) * across * 4), (y * width + x) * 4);
          }
          await onTile?.({ x, y: row.from * scale, width: across, height, colorSpace, icc, data: toBytes(data) });
          onProgress?.({ done: ++done, total: count });
        }
        await onBand(band);
      }
    } finally {
      this.#rest();
    }
    this.#settle();
    return { milliseconds: performance.now() - started, tiles: count };
  }

  /** Between two images, the GPU's memory is for others. */
  #rest() {
    if (isOwn(this.network)) this.network.rest();
  }

  /** Free the network and what it has in flight; the engine can load another model. */
  release() {
    try {
      this.network?.dispose();
    } catch {
      // Tensors of a lost GPU are gone already.
    }
    this.network = /** @type {any} */ (null);
  }

  /** The finished RGBA of one region of the image; on a lost or exhausted backend, again with less. */
  async #region(image, column, row, ahead, options) {
    const { tile } = this;
    let work = ahead.take();
    for (let attempt = 0; ; attempt++) {
      try {
        return await Promise.race([work, this.lost]);
      } catch (error) {
        options.signal?.throwIfAborted(); // its reason is anyone's wording, and must not pass for an exhausted GPU
        if (!isExhaustion(error)) throw error;
        ahead.restart();
        await this.#retreat(error, attempt, tile);
        work = computeRegion(this, image, column, row, options);
      }
    }
  }

  /**
   * After a failure: a fresh backend with the same tile if the device went away, else or next with half of it, then the
   * next backend. `first` is the tile with which the region was begun.
   */
  async #retreat(error, attempt, first) {
    const { tf, backend, tile, config } = this;
    const same = attempt === 0 && error instanceof DeviceLost;
    const next = same ? tile : tile >> 1;
    this.release();
    stopBackend(tf, backend);
    const reason = sentence(error);
    if (tile === first && next > 2 * config.halo) {
      if (await this.#try(backend)) {
        this.tile = next;
        return this.onStatus({
          ...this.status,
          notice: `${reason}; ${same ? 'started again' : 'going on with smaller tiles'}`,
        });
      }
    } else {
      this.demoted.push({ backend, reason });
    }
    await this.#startFirst(CHAIN.slice(CHAIN.indexOf(backend) + 1));
    this.onStatus({ ...this.status, notice: `${reason}; going on with ${LABELS[this.backend]}` });
  }

  async #startFirst(names) {
    for (const name of names) {
      if (await this.#try(name)) return;
    }
    const reasons = this.demoted.map(({ backend, reason }) => `${LABELS[backend]}: ${reason}`).join('; ');
    throw new ModelError(`No backend can run this model here (${reasons}).`);
  }

  /** Time the probe, for whoever wants to know beforehand how long an image takes. */
  async #time() {
    const time = await Promise.race([timeOf(this), this.lost]).catch(() => undefined);
    if (time !== undefined) this.measured[this.backend] = time;
  }

  /** Start the GPU backend that is faster than all that was measured, if one is; stop the others. */
  async #startFastest() {
    for (const name of GPUS) {
      const problem = await gpuProblem(name);
      if (problem) {
        this.demoted.push({ backend: name, reason: problem });
        continue;
      }
      await this.#try(name, async () => {
        this.measured[name] = await Promise.race([timeOf(this), this.lost]);
      });
      if (this.measured[name] <= ENOUGH) break;
    }
    const measured = /** @type {BackendName[]} */ (Object.keys(this.measured));
    const [fastest] = [...measured].sort((a, b) => this.measured[a] - this.measured[b]);
    for (const name of measured.filter((one) => one !== fastest)) {
      const times = `${Math.round(this.measured[name])} ms against ${Math.round(this.measured[fastest])} ms`;
      this.demoted.push({ backend: name, reason: `slower here than ${LABELS[fastest]} (${times})` });
      if (this.backend === name) this.release();
      if (this.tf) stopBackend(this.tf, name);
    }
    // The last one tried may have been slower, or failed, and with it went the network.
    if (GPUS.some((name) => name === fastest) && !this.network) await this.#try(fastest);
  }

  /** Whether a backend starts and survives `trial`. One that does not is stopped, so that it holds nothing. */
  async #try(name, trial = async () => {}) {
    try {
      await this.#start(name);
      await trial();
      return true;
    } catch (error) {
      this.demoted.push({ backend: name, reason: sentence(error) });
      this.release();
      if (this.backend === name) stopBackend(this.tf, name);
      return false;
    }
  }

  async #start(name) {
    this.release();
    if (name === 'webgpu' && this.own && !this.#refused && (await this.#startOwn())) return;
    const { tf, lost } = await startBackend(name, { pool: POOL });
    Object.assign(this, { tf, lost, backend: name });
    this.network = createNetwork(tf, this.artifacts, this.config);
    await within(Promise.race([this.#check(), lost]), CHECK_LIMIT, 'it did not answer');
    this.tile = this.#tileFor(TILES[name]);
    const reason = `our own kernels do not run here: ${this.#refused}`;
    if (name !== 'webgpu' || !this.#refused || this.demoted.some((known) => known.reason === reason)) return;
    this.demoted.push({ backend: name, reason });
  }

  /** Whether our own kernels run the network on WebGPU. */
  async #startOwn() {
    try {
      const { startOwn } = await import('./own.js'); // few visits need these modules to become ready
      const network = await within(startOwn(this.artifacts, this.config), CHECK_LIMIT, 'it did not answer');
      Object.assign(this, { network, lost: network.lost, backend: 'webgpu' });
      this.tile = this.#tileFor(network.tile);
      return true;
    } catch (error) {
      this.#refused = sentence(error);
      return false;
    }
  }

  /** Side of the tiles: what was asked for, else what suits the backend. */
  #tileFor(usual) {
    return Math.max(Math.floor(this.requestedTile ?? usual), 2 * this.config.halo + 8);
  }

  /** Between two images, our own kernels may be measured. */
  async #settle() {
    const { network, tile } = this;
    if (!isOwn(network)) return;
    const { settle } = await import('./own.js');
    if (!(await settle(network, this.config))) return;
    network.rest();
    if (network === this.network && tile === this.tile) this.tile = this.#tileFor(network.tile);
  }

  /** The model's self-check: a backend that computes something else is of no use, however fast. */
  async #check() {
    if (!this.golden) return;
    const network = /** @type {Network} */ (this.network);
    const error = await goldenError((...given) => network.evaluate(...given), this.golden);
    if (error <= this.golden.tolerance) return;
    throw new Error(`it computed the self-check wrongly (off by ${error.toPrecision(2)})`);
  }
}

/** What the file of an image says, as chunks of the PNG of its result. */
async function metadataOf({ metadata }, { width, height }) {
  const [{ scaledMetadata }, { pngMetadata }] = await Promise.all([
    import('../metadata/metadata.js'),
    import('../metadata/write.js'),
  ]);
  return pngMetadata(scaledMetadata(metadata, width, height));
}

/**
 * @template {{width: number, height: number}} Size
 * @param {Size} whole
 * @param {number} [width] that was asked for
 * @returns {Promise<{size: Size, reduced: (band: Levels) => Levels}>} the size of the result, and
 *   what makes its rows of the next rows of the whole
 */
async function reduction(whole, width = Infinity) {
  if (width >= whole.width) return { size: whole, reduced: (band) => band };
  const { Reducer } = await import('../images/reduce.js');
  const reducer = new Reducer(whole, width);
  return { size: { ...whole, width, height: reducer.height }, reduced: (band) => reducer.push(band) };
}

/**
 * @param {Network | GpuNetwork | null} network
 * @returns {network is GpuNetwork} whether our own kernels run it
 */
const isOwn = (network) => network !== null && 'enlarge' in network;

const sentence = (error) => String(error?.message ?? error).replace(/\.$/, '');
