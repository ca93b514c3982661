/** How long a step of a training would take here: told before it begins. */

import { DEFAULTS, SIZES } from '../settings.js';
import { defaultConfig, weightCount } from './layers-model.js';
import { Trainer } from './step.js';
import { startTrainable } from './training-backend.js';

/** Side of the LR patch that is timed before a training. */
const PATCH = 16;

/**
 * Time a step with one small patch, and reckon that of the real batch from it by the number of pixels. On a GPU, where a
 * step is mostly made of starting its kernels, the real one is faster than that.
 * @param {Tf} tf
 * @param {import('./layers-model.js').NetworkConfig} config
 * @param {import('../settings.js').Settings} settings
 * @param {import('./vgg-loss.js').PerceptualLoss | null} perceptual
 * @param {number} [patch] side of the LR patch that is timed
 * @returns {Promise<number>} milliseconds
 */
export async function timeStep(tf, config, settings, perceptual, patch = PATCH) {
  const side = patch * config.scale;
  const grey = (size) => new Float32Array(size * size * 3).fill(0.5);
  const data = { lr: grey(patch), hr: grey(side), lrShape: [1, patch, patch, 3], hrShape: [1, side, side, 3] };
  const trainer = new Trainer(tf, {
    config,
    settings,
    parameters: new Float32Array(weightCount(config)),
    source: { get: () => data },
    perceptual,
  });
  try {
    await trainer.trainStep(); // shaders compile
    const begin = performance.now();
    await trainer.trainStep();
    return ((performance.now() - begin) * settings.batch * settings.patch ** 2) / patch ** 2;
  } finally {
    trainer.dispose();
  }
}

/**
 * @typedef {object} Fit
 * @property {keyof typeof SIZES} size the largest that this device trains in the time it is meant to take
 * @property {import('../../engine/backend.js').BackendName} backend
 * @property {{size: keyof typeof SIZES, milliseconds: number} | null} beyond the next one, which takes too long
 */

/**
 * Time a step of each size, from the smallest on, until one takes too long.
 * @param {string | undefined} preferred backend, tried first
 * @returns {Promise<Fit>}
 */
export async function fitSize(preferred) {
  const { tf, name: backend } = await startTrainable(preferred, new Set(), () => {});
  /** @type {keyof typeof SIZES} */
  let fits = 'quick';
  for (const size of /** @type {const} */ (['usual', 'long'])) {
    const { network, hours } = SIZES[size];
    const settings = { ...DEFAULTS, ...SIZES[size].settings };
    // A patch of the real size: a GPU would seem too slow by a small one.
    const step = await timeStep(tf, defaultConfig(network), settings, null, settings.patch);
    const milliseconds = step * settings.epochs * settings.stepsPerEpoch;
    if (milliseconds > hours * 3600_000) return { size: fits, backend, beyond: { size, milliseconds } };
    fits = size;
  }
  return { size: fits, backend, beyond: null };
}
