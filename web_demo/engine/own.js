/** Our own WebGPU kernels: the first form of the backend `webgpu`, before TensorFlow.js's. */
import { recallChoice, rememberChoice } from '../storage/kernels.js';
import { GpuNetwork } from './webgpu/network.js';
import { tune } from './webgpu/tune.js';

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
    known = await recallChoice(keyOf(gpu, config));
    const usual = sets.find(({ name }) => name === known?.usual);
    return usual ? [usual, ...sets.filter((set) => set !== usual)] : sets;
  };
  const network = await GpuNetwork.start(artifacts, config, { device, choose }).catch((error) => {
    if (device.precision !== 'float16') throw error;
    return GpuNetwork.start(artifacts, config, { device: { ...device, precision: 'float32' }, choose });
  });
  network.milliseconds = known?.milliseconds;
  const small = network.sets.find(({ name }) => name === known?.small);
  if (small && network.programs.usual?.set !== small) {
    network.makeProgram(small).then(
      (program) => (network.programs.small = program),
      () => {}, // the other one does for small tiles too
    );
  }
  return network;
}

/**
 * Measure the kernels of a network where that was not done before, and remember the result. A software device has
 * nothing to choose.
 * @param {GpuNetwork} network that has nothing to do
 * @param {SpanConfig} config
 * @returns {Promise<boolean>} whether something was measured
 */
export async function settle(network, config) {
  if (network.milliseconds !== undefined || network.gpu.software || measuring.has(network)) return false;
  measuring.add(network);
  const choice = await tune(network).catch(() => null); // a device that was lost tells whoever works with it
  measuring.delete(network);
  network.milliseconds = choice?.milliseconds;
  if (choice) await rememberChoice(keyOf(network.gpu, config), choice);
  return choice !== null;
}

/** @type {WeakSet<GpuNetwork>} */
const measuring = new WeakSet();

const keyOf = ({ name, matrix }, { channels, scale, variant }) =>
  `${name}, ${channels} channels, ×${scale}, ${variant}${matrix ? ', matrices' : ''}`;
