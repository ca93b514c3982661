/** Starting a backend that can train. */

import { LABELS, startBackend, stopBackend } from '../../engine/backend.js';
import { gpuProblem } from '../../engine/hardware.js';
import { loadTf } from '../../engine/tf.js';
import { TrainingError } from '../errors.js';
import { registerGradients } from './wasm-gradients.js';
import { useConvolutions } from './webgpu-convolutions.js';

/** @typedef {import('../../engine/backend.js').BackendName} BackendName */

/** @type {BackendName[]} fastest first; software in place of a GPU comes last of all, if nobody asks for it */
const TRAINING_CHAIN = ['webgpu', 'webgl', 'wasm', 'cpu'];

/**
 * Start the first backend that really computes gradients.
 * @param {string | undefined} preferred tried first
 * @param {Set<string>} lostBackends those whose GPU was lost: they start afresh and are taken out; one that is lost later
 *   is put in
 * @param {(message: string) => void} log receives why another backend is used
 * @returns {Promise<{tf: Tf, name: BackendName, lost: Promise<never>}>} `lost` rejects when the GPU goes away
 * @throws {TrainingError} none can train
 */
export async function startTrainable(preferred, lostBackends, log) {
  const isTrainable = (name) => TRAINING_CHAIN.includes(name);
  const order = [...new Set([preferred, ...TRAINING_CHAIN])].filter(isTrainable);
  const reasons = [];
  const tf = await loadTf(['layers']);
  for (const name of /** @type {BackendName[]} */ (order)) {
    try {
      const isGpu = name === 'webgpu' || name === 'webgl';
      const problem = isGpu && name !== preferred ? await gpuProblem(name) : '';
      if (problem) throw new Error(problem);
      if (lostBackends.delete(name)) stopBackend(tf, name);
      const { lost } = await startBackend(name);
      if (name === 'wasm') registerGradients(tf);
      lost.catch(() => lostBackends.add(name));
      await Promise.race([checkGradient(tf), lost]);
      if (name === 'webgpu' && !(await Promise.race([useConvolutions(tf), lost]))) {
        log('Our convolutions compute wrong values on this GPU; training uses those of TensorFlow.js.');
      }
      if (reasons.length) log(`${reasons.join(' ')} Training uses ${LABELS[name]}.`);
      return { tf, name, lost };
    } catch (error) {
      stopBackend(tf, name); // the next training tries it afresh
      reasons.push(`${LABELS[name]}: ${error.message}.`);
    }
  }
  throw new TrainingError(`No backend of this browser can train. ${reasons.join(' ')}`);
}

/** A backend counts only if the gradient of a small convolution is right on it. */
async function checkGradient(tf) {
  const gradient = tf.tidy(() => {
    const image = tf.ones([1, 3, 3, 1]);
    return tf.grad((kernel) => tf.sum(tf.conv2d(image, kernel, 1, 'same')))(tf.ones([3, 3, 1, 1]));
  });
  const values = [...(await gradient.data())];
  gradient.dispose();
  if (values.join() !== '4,6,4,6,9,6,4,6,4') throw new Error('computes wrong gradients');
}
