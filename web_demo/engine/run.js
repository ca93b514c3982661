/** Running a network on a backend so that a failure is noticed: GPUs may say nothing and return garbage. */
import { within } from '../limit.js';
import { answerOf } from '../network/lost.js';
import { BackendLost, DeviceLost, LABELS } from './backend.js';

/** Side of the image with which backends are compared. */
export const PROBE = 48;
/** Milliseconds within which a backend worth having has compiled its shaders, and within which it enlarges the image. */
const COMPILE_LIMIT = 20_000;
const PROBE_LIMIT = 1000;

/**
 * @typedef {object} Running
 * @property {Tf} tf
 * @property {import('./backend.js').BackendName} backend the active one
 * @property {import('../network/network.js').Network | import('./webgpu/network.js').GpuNetwork} network
 * @property {Promise<never>} lost rejects with a `BackendLost` if the GPU goes away
 */

/**
 * Run a network once.
 * @param {Running} running
 * @param {Parameters<import('../network/network.js').Network['compute']>[0]} pixels
 * @returns {Promise<Float32Array>} RGB of the enlarged pixels, around [0, 1]
 * @throws {BackendLost} the backend failed; a `DeviceLost` if its device went away
 */
export async function run({ tf, backend, network, lost }, pixels) {
  if ('enlarge' in network) return network.compute(pixels); // our own kernels see to themselves
  const compute = () => network.compute(pixels);
  const values = await (backend === 'webgpu' ? answerOf(watched(tf.backend().device, compute), lost) : compute());
  if (backend === 'webgl' && tf.backend().gpgpu.gl.isContextLost()) {
    throw new DeviceLost(`${LABELS.webgl} was lost: the graphics context went away`);
  }
  // A GPU out of memory may say nothing and return garbage.
  if (values.some(Number.isNaN)) throw new BackendLost(`${LABELS[backend]} returned values that are not numbers`);
  return values;
}

/** What is computed, if the device of TensorFlow.js's WebGPU tells of no failure meanwhile. */
async function watched(device, compute) {
  device.pushErrorScope('validation');
  device.pushErrorScope('out-of-memory');
  const values = await compute();
  const failure = (await device.popErrorScope()) ?? (await device.popErrorScope());
  if (failure) throw new BackendLost(`${LABELS.webgpu} failed: ${failure.message}`);
  return values;
}

/**
 * Time a network on a small image, shaders compiled.
 * @param {Running} running
 * @returns {Promise<number>} milliseconds
 * @throws {BackendLost} as `run`
 * @throws {DOMException} a `TimeoutError`: it takes too long. A backend that keeps the thread busy is waited for.
 */
export async function timeOf(running) {
  const probe = { data: new Uint8Array(PROBE * PROBE * 4), width: PROBE, height: PROBE };
  const late = 'it did not enlarge a small image';
  await within(run(running, probe), COMPILE_LIMIT, late);
  const started = performance.now();
  await within(run(running, probe), PROBE_LIMIT, late);
  return performance.now() - started;
}
