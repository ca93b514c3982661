/** Measures which sets of kernels are fastest on this device, for tiles of the usual size and small ones. */
import { DeviceLost } from '../../network/lost.js';

/** Sides of the tiles that are measured, in pixels of the input. */
export const SIDES = { usual: 256, small: 64 };
/** Milliseconds of work before a measurement counts: adapters that idle run slowly. */
const WARM = 250;
/** Milliseconds that one batch of tiles takes at least, and how many times the way to the GPU and back. */
const LENGTH = 33;
const TRIPS = 4;
/** Batches that are long enough; the fastest counts. */
const BATCHES = 3;
/** Milliseconds after which a measurement ends with what it has, and after which all of them together do. */
const LIMIT = 2000;
const TOTAL_LIMIT = 30_000;

/** @typedef {import('./network.js').GpuNetwork} GpuNetwork */
/** @typedef {import('./program.js').Program} Program */
/** @typedef {import('./sets.js').KernelSet} KernelSet */
/** @typedef {keyof typeof SIDES} Size */

/** Measuring a network's sets, as often interrupted by other work as there is any. */
export class Tuning {
  /** Compiled and right; null for a set that is not. @type {Map<KernelSet, Program | null>} */
  #programs = new Map();
  /** Milliseconds of a tile. @type {Record<Size, Map<Program, number>>} */
  #times = { usual: new Map(), small: new Map() };
  /** Sizes at which the first set was measured twice. @type {Set<Size>} */
  #repeated = new Set();
  /** Milliseconds so far. */
  #spent = 0;

  /** @param {GpuNetwork} network */
  constructor(network) {
    this.network = network;
  }

  /**
   * Measure what was not measured yet, until other work comes or the time is over.
   * @returns {Promise<boolean>} whether that was all
   * @throws {import('../../network/lost.js').DeviceLost} the device went away
   */
  async go() {
    const { network } = this;
    const { runs } = network;
    const isAlone = () => network.runs === runs && !network.isRetired;
    const started = performance.now();
    const isLate = () => this.#spent + performance.now() - started > TOTAL_LIMIT;
    if (isLate()) return true;
    try {
      for await (const isMeasured of this.#steps(isAlone)) {
        if (!isMeasured || !isAlone()) return false;
        if (isLate()) break;
      }
      return true;
    } finally {
      this.#spent += performance.now() - started;
      network.rest();
    }
  }

  /**
   * Let the network use the fastest sets, and free the others.
   * @returns {import('../../storage/kernels.js').Choice | null} null if none was measured
   */
  choose() {
    const { network } = this;
    const [usual, small] = [fastest(this.#times.usual), fastest(this.#times.small)];
    if (usual) network.programs = { usual, small: small ?? usual };
    for (const program of this.#programs.values()) this.#drop(program);
    if (!usual) return null;
    const milliseconds = /** @type {number} */ (this.#times.usual.get(usual));
    return { usual: usual.set.name, small: (small ?? usual).set.name, milliseconds };
  }

  /** Compile, then measure; yields after each step whether it was done. @param {() => boolean} isAlone */
  async *#steps(isAlone) {
    for (const set of this.network.sets) {
      if (this.#programs.has(set)) continue;
      this.#programs.set(set, await this.#programOf(set));
      yield true;
    }
    for (const size of /** @type {Size[]} */ (['usual', 'small'])) {
      for (const [set, program] of this.#programs) {
        if (program && !this.#times[size].has(program)) yield this.#measure(set, program, size, isAlone);
      }
      const [first] = this.#times[size].keys();
      if (!first || this.#repeated.has(size)) continue;
      yield this.#measure(first.set, first, size, isAlone); // it may have found the adapter idle, and slow
      this.#repeated.add(size);
    }
  }

  /** @param {KernelSet} set @returns {Promise<Program | null>} */
  async #programOf(set) {
    const inUse = Object.values(this.network.programs).find((program) => program.set === set);
    return inUse ?? (await this.network.makeProgram(set).catch(unlessLost));
  }

  /** Whether a program was measured, or cannot be. */
  async #measure(set, program, size, isAlone) {
    const time = await timeOf(this.network, program, SIDES[size], isAlone).catch(unlessLost);
    if (time === undefined) return false;
    if (time !== null) {
      this.#times[size].set(program, Math.min(time, this.#times[size].get(program) ?? Infinity));
      return true;
    }
    this.#programs.set(set, null);
    for (const times of Object.values(this.#times)) times.delete(program);
    this.#drop(program);
    return true;
  }

  /** Free a program that is not in use. */
  #drop(program) {
    if (program && !Object.values(this.network.programs).includes(program)) this.network.dropProgram(program);
  }
}

/**
 * Time a program on tiles that follow each other at once. The way to the GPU and back is taken off: Firefox looks every
 * 100 ms whether work is done.
 * @param {GpuNetwork} network
 * @param {Program} program
 * @param {number} side
 * @param {() => boolean} [isAlone] whether nobody else has work for the GPU
 * @returns {Promise<number | undefined>} milliseconds a tile; nothing if somebody had
 * @throws {import('../../network/lost.js').BackendLost} the GPU failed
 */
export async function timeOf(network, program, side, isAlone = () => true) {
  const started = performance.now();
  const work = async (count) => {
    const from = performance.now();
    await network.repeat(count, { width: side, height: side }, program);
    return performance.now() - from;
  };
  await work(1);
  const trip = Math.min(await work(0), await work(0));
  const enough = Math.max(LENGTH, TRIPS * trip);
  let best = Infinity;
  for (let count = 1, batches = 0; isAlone();) {
    const time = await work(count);
    const spent = performance.now() - started;
    const isEnough = time >= enough;
    if (isEnough || spent >= LIMIT) best = Math.min(best, (time - trip) / count);
    if (isEnough) batches++;
    else count *= 2;
    if (spent >= LIMIT || (spent >= WARM && batches >= BATCHES)) return best;
  }
  return undefined;
}

/** @param {Map<Program, number>} times @returns {Program | undefined} */
const fastest = (times) => [...times.keys()].sort((a, b) => Number(times.get(a)) - Number(times.get(b)))[0];

/** A set that fails is out of the question; a device that is gone ends everything. @returns {null} */
function unlessLost(error) {
  if (error instanceof DeviceLost) throw error;
  return null;
}
