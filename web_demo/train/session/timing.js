/** How long a step of a training would take here: told before it begins. */

import { weightCount } from './layers-model.js';
import { Trainer } from './step.js';

/** Side of the LR patch that is timed. */
const PATCH = 16;

/**
 * Time a step with one small patch, and reckon that of the real batch from it by the number of pixels. On a GPU, where a
 * step is mostly made of starting its kernels, the real one is faster than that.
 * @param {Tf} tf
 * @param {import('./layers-model.js').NetworkConfig} config
 * @param {import('../settings.js').Settings} settings
 * @param {import('./vgg-loss.js').PerceptualLoss | null} perceptual
 * @returns {Promise<number>} milliseconds
 */
export async function timeStep(tf, config, settings, perceptual) {
  const side = PATCH * config.scale;
  const grey = (size) => new Float32Array(size * size * 3).fill(0.5);
  const data = { lr: grey(PATCH), hr: grey(side), lrShape: [1, PATCH, PATCH, 3], hrShape: [1, side, side, 3] };
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
    return ((performance.now() - begin) * settings.batch * settings.patch ** 2) / PATCH ** 2;
  } finally {
    trainer.dispose();
  }
}
