/** A model on the backend that is best for it here, or on the next one when that fails. */
import { reasonOf } from '../errors.js';
import { within } from '../limit.js';
import { ModelError, decodeGolden, readConfig } from '../network/model.js';
import { createNetwork, goldenError } from '../network/network.js';
import { CHAIN, DeviceLost, LABELS, isExhaustion, startBackend, stopBackend } from './backend.js';
import { gpuProblem } from './hardware.js';
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

/** @typedef {import('../network/model.js').ModelArtifacts} ModelArtifacts */
/** @typedef {import('../network/model.js').SpanConfig} SpanConfig */
/** @typedef {import('../network/network.js').Network} Network */
/** @typedef {import('./webgpu/network.js').GpuNetwork} GpuNetwork */
/** @typedef {import('./backend.js').BackendName} BackendName */
/** @typedef {import('./webgpu/device.js').Precision} Precision */

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
 * Begin to load the libraries of the backend that `load` will try first, while the model is on its way.
 * @param {{backend?: BackendName | 'auto', first?: BackendName}} options as for `load`
 */
export function loadAhead({ backend = 'auto', first = READY_CHAIN[0] }) {
  const next = backend === 'auto' ? first : backend;
  if (next !== 'webgpu') loadTf([next]).catch(() => {}); // our own kernels need none; `load` tells what is missing
}

export class RunningModel {
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
  /** @type {Precision | undefined} */
  precision;

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
   * @param {object} [options]
   * @param {BackendName | 'auto'} [options.backend] where to begin in the chain; with 'auto' `first` is tried first, then
   *   what starts soon, which is also timed
   * @param {BackendName} [options.first]
   * @param {number} [options.tile]
   * @param {Precision} [options.precision] the lowest that our own kernels may have
   */
  async load(artifacts, { backend = 'auto', first, tile, precision } = {}) {
    this.#take(artifacts, { tile, precision });
    const isAuto = backend === 'auto';
    const chain = isAuto
      ? [...new Set(first ? [first, ...READY_CHAIN] : READY_CHAIN)]
      : CHAIN.slice(CHAIN.indexOf(backend));
    await this.#startFirst(chain);
    // Plain JavaScript would take seconds, and so would a GPU that has not been compared.
    if (this.backend === 'wasm' || (isAuto && this.backend === first && first !== 'cpu')) await this.#time();
    this.rest();
    return { config: this.config, status: this.status };
  }

  /**
   * Take a model into use on a GPU that is faster than what another engine runs it on.
   * @param {ModelArtifacts} artifacts
   * @param {{than: Status['measured'], tile?: number, precision?: Precision}} options `than`: what the other engine
   *   measured
   * @returns {Promise<{config: SpanConfig, status: Status, isFaster: boolean}>} if not faster, nothing is in use, and
   *   `status.demoted` says why
   */
  async rival(artifacts, { than, tile, precision }) {
    this.#take(artifacts, { tile, precision });
    this.measured = { ...than };
    await this.#startFastest();
    this.rest();
    return { config: this.config, status: this.status, isFaster: this.network !== null };
  }

  #take(artifacts, { tile, precision }) {
    this.release();
    this.artifacts = artifacts;
    this.config = readConfig(artifacts);
    this.golden = this.config.golden && decodeGolden(this.config.golden);
    this.requestedTile = tile;
    this.precision = precision;
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

  /** Between two images, the GPU's memory is for others. */
  rest() {
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

  /** Start a backend where none runs: all had failed, perhaps on a larger image. */
  async ready() {
    if (!this.network) await this.#startFirst(CHAIN);
  }

  /**
   * Go on after a failure: on a fresh backend with the same tile if the device went away, else or next with half of it,
   * then on the next backend.
   * @param {any} error
   * @param {number} attempt how often the same region had failed before
   * @param {number} side of the tile with which the region was begun
   * @throws {any} the error, if less would not help; a `ModelError`, if no backend is left
   */
  async recover(error, attempt, side) {
    if (!isExhaustion(error)) throw error;
    const { tf, backend, tile, config } = this;
    const same = attempt === 0 && error instanceof DeviceLost;
    const next = same ? tile : tile >> 1;
    this.release();
    stopBackend(tf, backend);
    const reason = reasonOf(error);
    if (tile === side && next > 2 * config.halo) {
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
      this.demoted.push({ backend: name, reason: reasonOf(error) });
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
      const { artifacts, config, precision } = this;
      const network = await within(startOwn(artifacts, config, { precision }), CHECK_LIMIT, 'it did not answer');
      Object.assign(this, { network, lost: network.lost, backend: 'webgpu' });
      this.tile = this.#tileFor(network.tile);
      return true;
    } catch (error) {
      this.#refused = reasonOf(error);
      return false;
    }
  }

  /** Side of the tiles: what was asked for, else what suits the backend. */
  #tileFor(usual) {
    return Math.max(Math.floor(this.requestedTile ?? usual), 2 * this.config.halo + 8);
  }

  /** Between two images, our own kernels may be measured. */
  async settle() {
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

/**
 * @param {Network | GpuNetwork | null} network
 * @returns {network is GpuNetwork} whether our own kernels run it
 */
const isOwn = (network) => network !== null && 'enlarge' in network;
