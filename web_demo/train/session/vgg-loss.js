/**
 * The perceptual loss: distances between the features of a lightweight VGG, as `span_keras/training/losses.py` computes them.
 * The features come from the layers model that `span-export --perceptual` writes.
 */

import { fetchModel } from '../../network/model.js';
import { applyLayers } from './layers-model.js';

export class PerceptualLoss {
  /**
   * @param {Tf} tf
   * @param {tf.LayersModel} model (N, H, W, 3) in [0, 1] -> one or more feature maps
   */
  constructor(tf, model) {
    this.tf = tf;
    this.model = model;
  }

  /**
   * @param {Tf} tf
   * @param {string | URL} url of the features' `model.json`
   * @returns {Promise<PerceptualLoss | null>} `null` if there is no such file; some servers answer with a page then
   */
  static async load(tf, url) {
    const answer = await fetch(url, { method: 'HEAD' }).catch(() => null);
    if (!answer?.ok || answer.headers.get('content-type')?.includes('html')) return null;
    const model = await tf.loadLayersModel(tf.io.fromMemory(await fetchModel(url)));
    return new PerceptualLoss(tf, model);
  }

  /** @returns {tf.Tensor[]} feature maps of images in [0, 1]; differentiable */
  features(images) {
    return applyLayers(this.tf, this.model, images);
  }

  /** @returns {tf.Scalar} mean absolute difference of each feature map, averaged over the maps */
  distance(features, targets) {
    const parts = features.map((feature, i) => this.tf.mean(this.tf.abs(this.tf.sub(feature, targets[i]))));
    return this.tf.div(this.tf.addN(parts), parts.length);
  }

  dispose() {
    this.model.dispose();
  }
}
