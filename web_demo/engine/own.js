/** Our own WebGPU kernels: the first form of the backend `webgpu`, before TensorFlow.js's. */
import { forgetChoice, recallChoice, rememberChoice } from '../storage/kernels.js';
import { UNNAMED } from './webgpu/device.js';
import { GpuNetwork } from './webgpu/network.js';
import { VERSION } from './webgpu/sets.js';
import { Tuning } from './webgpu/tune.js';

/** After so many days kernels are measured again: drivers change. An adapter without a name may be another one. */
const DAYS = 30;
const UNNAMED_DAYS = 1;
/** Milliseconds without work after which kernels may be measured. */
const IDLE = 1000;

/** @typedef {import('../network/model.js').ModelArtifacts} ModelArtifacts */
/** @typedef {import('../network/model.js').SpanConfig} SpanConfig */

/**
 * Start a network on the kernels that were fastest here before, or on those that are good everywhere. If the device fails
 * with factors in float16, it starts on another one without.
 * @param {ModelArtifacts} artifacts
 * @param {SpanConfig} config
 * @param {Parameters<typeof import('./webgpu/device.js').openDevice>[0]} [device]
 * @returns {Promise<GpuNetwork>}
 * @throws {Error} there is no WebGPU, no set of kernels is right on it, or the network is not from RGB to RGB
 */
export async function startOwn(artifacts, config, device = {}) {
  if (config.inChannels !== 3 || config.outChannels !== 3) throw new Error('they take networks from RGB to RGB alone');
  /** @type {import('../storage/kernels.js').Choice | undefined} */
  let known;
  const choose = async (sets, gpu) => {
    known = await recallChoice(keyOf(gpu, config), gpu.name === UNNAMED ? UNNAMED_DAYS : DAYS);
    const usual = sets.find(({ name }) => name === known?.usual);
    return usual ? [usual, ...sets.filter((set) => set !== usual)] : sets;
  };
  const network = await GpuNetwork.start(artifacts, config, { device, choose }).catch((error) => {
    if (device.precision !== 'float16') throw error;
    return GpuNetwork.start(artifacts, config, { device: { ...device, precision: 'float32' }, choose });
  });
  if (!known || network.programs.usual?.set.name !== known.usual) return network;
  network.milliseconds = known.milliseconds;
  const small = network.sets.find(({ name }) => name === known?.small);
  if (small && network.programs.usual.set !== small) {
    network.makeProgram(small).then(
      (program) => (network.programs.small = program),
      () => {}, // the other one does for small tiles too
    );
  }
  return network;
}

/**
 * Measure the kernels of a network whenever it has nothing to do, and remember the result, where that was not done
 * before. A software device has nothing to choose.
 * @param {GpuNetwork} network
 * @param {SpanConfig} config
 * @returns {Promise<boolean>} whether something was measured; a call meanwhile waits, and gets false
 */
export async function settle(network, config) {
  const underWay = settling.get(network);
  if (underWay) return underWay.then(() => false);
  const key = keyOf(network.gpu, config);
  if (network.milliseconds !== undefined || network.gpu.software || fatal.has(key)) return false;
  const work = measure(network, key);
  settling.set(network, work);
  return work;
}

/** @returns {Promise<boolean>} whether something was measured */
async function measure(network, key) {
  const tuning = new Tuning(network);
  const go = () =>
    tuning.go().catch((error) => {
      if (!network.isRetired) fatal.add(key);
      throw error;
    });
  try {
    do {
      await idle(network);
      if (network.isRetired) return false;
    } while (!(await go()));
    await Promise.race([network.lost, undefined]); // a device that failed gives no figures
  } catch {
    return false; // whoever works with the device hears that it was lost
  }
  const choice = tuning.choose();
  if (!choice) return false;
  network.milliseconds = choice.milliseconds;
  await rememberChoice(key, choice);
  return true;
}

/**
 * Forget what was fastest: it failed.
 * @param {GpuNetwork} network
 * @param {SpanConfig} config
 */
export const forget = (network, config) => forgetChoice(keyOf(network.gpu, config));

/** Measurements, under way or done. @type {WeakMap<GpuNetwork, Promise<boolean>>} */
const settling = new WeakMap();
/** Adapters and networks whose device went away while they were measured: not again in this visit. @type {Set<string>} */
const fatal = new Set();

/** Wait until a network has had nothing to do for a while. @throws {import('../network/lost.js').BackendLost} its device went away */
async function idle(network) {
  for (let runs; runs !== network.runs && !network.isRetired;) {
    ({ runs } = network);
    await Promise.race([new Promise((resolve) => setTimeout(resolve, IDLE)), network.lost]);
  }
}

const keyOf = ({ name, matrix }, { channels, blocks, scale, variant }) =>
  `kernels ${VERSION}: ${name}, ${channels} channels, ${blocks} blocks, ×${scale}, ${variant}${matrix ? ', matrices' : ''}`;
