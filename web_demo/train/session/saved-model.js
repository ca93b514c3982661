/** From a training's state to the model that the page saves and upscales with. */

import { loadTf } from '../../engine/tf.js';
import { haloOf } from '../../network/model.js';
import { toArtifacts } from './layers-model.js';
import { makeGolden } from './self-check.js';

/**
 * Make a model of the averaged weights, with fresh metadata and self-check.
 * @param {import('./store.js').TrainingState} state
 * @param {boolean} isTraining go back to the backend that is in use, for a training goes on there
 * @returns {Promise<{name: string, artifacts: import('../../network/model.js').ModelArtifacts}>} `name` is one for files
 */
export async function makeModel({ config, origin, average, settings, step }, isTraining) {
  const tf = await loadTf(['cpu', 'layers']);
  const before = tf.getBackend();
  await tf.setBackend('cpu'); // float32 on every device
  try {
    const span = {
      format: 1,
      generator: 'span-keras web_demo',
      scale: config.scale,
      channels: config.channels,
      blocks: config.blocks,
      variant: config.variant,
      img_range: config.imgRange,
      rgb_mean: config.rgbMean,
      halo: haloOf(config),
      quantization: 'none',
      source: { name: origin.source?.name ?? origin.name, sha256: origin.source?.sha256 ?? null },
      license: origin.license ?? 'Trained from scratch in the browser; the licence of the photographs applies.',
      training: { step, settings },
      golden: await makeGolden(tf, config, average),
    };
    return { name: `span-x${config.scale}-step-${step}`, artifacts: toArtifacts(tf, config, average, span) };
  } finally {
    if (isTraining) await tf.setBackend(before);
  }
}
