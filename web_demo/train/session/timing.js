/** How long a step of a training would take here: told before it begins. */

import { readConfig } from '../../network/model.js';
import { weightCount } from './layers-model.js';
import { Trainer } from './step.js';
import { PerceptualLoss } from './vgg-loss.js';

/** Side of the LR patch that is timed. */
const PATCH = 16;

/**
 * Time a step with one small patch, and reckon that of the real batch from it by the number of pixels. On a GPU, where a
 * step is mostly made of starting its kernels, the real one is faster than that.
 * @param {Tf} tf
 * @param {import('./start.js').StartRequest} request
 * @param {import('./layers-model.js').NetworkConfig} [stored] of the stored training, if it is to go on
 * @returns {Promise<number>} milliseconds
 */
export async function timeStep(tf, { origin, settings, perceptualUrl }, stored) {
  const config =
    origin.kind === 'stored' ? stored : origin.kind === 'model' ? readConfig(origin.artifacts) : origin.config;
  if (!config) throw new Error('There is no stored training to time.');
  const { batch, patch, vggWeight } = /** @type {import('../settings.js').Settings} */ (/** @type {any} */ (settings));
  const perceptual = vggWeight > 0 ? await PerceptualLoss.load(tf, perceptualUrl) : null;
  const side = PATCH * config.scale;
  const grey = (size) => new Float32Array(size * size * 3).fill(0.5);
  const data = { lr: grey(PATCH), hr: grey(side), lrShape: [1, PATCH, PATCH, 3], hrShape: [1, side, side, 3] };
  const trainer = new Trainer(tf, {
    config,
    settings: /** @type {any} */ (settings),
    parameters: new Float32Array(weightCount(config)),
    source: { get: () => data },
    perceptual,
  });
  try {
    await trainer.trainStep(); // shaders compile
    const begin = performance.now();
    await trainer.trainStep();
    return ((performance.now() - begin) * batch * patch ** 2) / PATCH ** 2;
  } finally {
    trainer.dispose();
    perceptual?.dispose();
  }
}
