/**
 * One training step of the fused network: gradients of MAE + w · perceptual, AdamW, the average of the weights, and a
 * guard against bad steps; the twin of `span_keras/training/step.py`.
 */

import { CLIP_NORM, GUARD_START, GUARD_WINDOW, MAX_SKIPPED, RESTORE_AFTER, SPIKE_FACTOR } from '../../constants.js';
import { TrainingError } from '../errors.js';
import { rateAt } from '../settings.js';
import { Network } from './layers-model.js';
import { AdamW, WeightAverage, floats } from './optimizer.js';

/** @typedef {import('./patches.js').PatchSource} PatchSource */

/**
 * @typedef {object} StepResult
 * @property {number} mae
 * @property {number} perceptual not weighted; 0 without a perceptual loss
 * @property {number} norm of the gradient, before clipping
 * @property {number} rate
 * @property {boolean} skipped the step was not taken: its gradient was not finite or its loss leapt
 * @property {boolean} restored ten in a row were skipped: the averaged weights took over
 */

export class Trainer {
  /**
   * @param {Tf} tf
   * @param {object} options
   * @param {import('./layers-model.js').NetworkConfig} options.config
   * @param {import('../settings.js').Settings} options.settings
   * @param {Float32Array} options.parameters
   * @param {{get: PatchSource['get']}} options.source batches
   * @param {import('./vgg-loss.js').PerceptualLoss | null} [options.perceptual]
   * @param {import('./store.js').TrainingState | null} [options.state] where to go on
   */
  constructor(tf, { config, settings, parameters, source, perceptual = null, state = null }) {
    this.tf = tf;
    this.settings = settings;
    this.source = source;
    this.perceptual = perceptual;
    this.network = new Network(tf, config, parameters);
    const options = { weightDecay: settings.weightDecay, clipNorm: CLIP_NORM };
    this.optimizer = new AdamW(tf, this.network.decayMask(), options, state ?? undefined);
    this.average = new WeightAverage(tf, state?.average ?? parameters);
    this.step = state?.step ?? 0;
    this.skipped = state?.skipped ?? 0;
    this.streak = state?.streak ?? 0;
    this.recentLosses = [...(state?.recentLosses ?? [])];
  }

  get epoch() {
    return Math.floor(this.step / this.settings.stepsPerEpoch);
  }

  get totalSteps() {
    return this.settings.epochs * this.settings.stepsPerEpoch;
  }

  /**
   * @returns {Promise<StepResult>}
   * @throws {TrainingError} too many steps in a row were skipped
   */
  async trainStep() {
    const { tf } = this;
    const rate = rateAt(this.settings, this.epoch);
    const [gradient, measured] = tf.tidy(() => this.differentiate(this.source.get(this.step)));
    try {
      const [mae, perceptual, norm] = await measured.data();
      const loss = mae + this.settings.vggWeight * perceptual;
      const skipped = !Number.isFinite(loss + norm) || this.isSpike(loss);
      this.step++;
      if (!skipped) this.update(loss, gradient, norm, rate);
      const restored = skipped && this.skip();
      return { mae, perceptual, norm, rate, skipped, restored };
    } finally {
      tf.dispose([gradient, measured]);
    }
  }

  /** Flat gradient, and `[mae, perceptual, gradient norm]`; call it inside `tf.tidy`. */
  differentiate({ lr, hr, lrShape, hrShape }) {
    const { tf, network, perceptual, settings } = this;
    const input = tf.tensor4d(lr, lrShape);
    const target = tf.tensor4d(hr, hrShape);
    const weighted = perceptual && settings.vggWeight > 0;
    const targetFeatures = weighted ? perceptual.features(target) : null;
    let parts;
    const { grads } = tf.variableGrads(() => {
      const output = network.apply(input);
      const mae = tf.mean(tf.abs(tf.sub(output, target)));
      const distance = weighted ? perceptual.distance(perceptual.features(output), targetFeatures) : tf.scalar(0);
      parts = [mae, distance].map((part) => tf.keep(part));
      return /** @type {tf.Scalar} */ (weighted ? tf.add(mae, tf.mul(distance, settings.vggWeight)) : mae);
    }, network.variables);
    const gradient = tf.concat(network.variables.map(({ name }) => tf.reshape(grads[name], [-1])));
    const measured = tf.stack([...parts, tf.sqrt(tf.sum(tf.square(gradient)))]);
    tf.dispose(parts);
    return [gradient, measured];
  }

  isSpike(loss) {
    const known = [...this.recentLosses].sort((a, b) => a - b);
    return known.length >= GUARD_START && loss > SPIKE_FACTOR * known[(known.length - 1) >> 1];
  }

  update(loss, gradient, norm, rate) {
    this.streak = 0;
    this.recentLosses = [...this.recentLosses, loss].slice(-GUARD_WINDOW);
    this.network.assign(this.optimizer.update(this.network.flat, gradient, norm, rate));
    this.average.update(this.network.flat, this.optimizer.updates);
  }

  /**
   * @returns {boolean} whether the averaged weights took over
   * @throws {TrainingError} too many steps in a row were skipped
   */
  skip() {
    this.skipped++;
    this.streak++;
    const restored = this.streak % RESTORE_AFTER === 0;
    if (restored) {
      this.network.assign(this.average.flat.clone());
      this.optimizer.forgetMomentum();
    }
    if (this.streak >= MAX_SKIPPED) {
      throw new TrainingError(
        `Training was stopped at step ${this.step}: for ${this.streak} steps in a row the loss or gradient was ` +
          'not a finite number, or the loss leapt, even with the averaged weights. Lower the learning rate, choose ' +
          'other photographs, or start from other weights.',
      );
    }
    return restored;
  }

  /** Run `work`, such as a measurement of quality, with the averaged weights in the network. */
  withAverage(work) {
    return this.network.withWeights(this.average.flat, work);
  }

  /**
   * Take the weights, their average, the optimizer and the counters off the GPU.
   * @returns {Promise<Omit<import('./store.js').TrainingState, 'config' | 'origin' | 'settings' | 'history'>>}
   */
  async snapshot() {
    const [parameters, average, optimizer] = await Promise.all([
      floats(this.network.flat),
      floats(this.average.flat),
      this.optimizer.state(),
    ]);
    const { step, skipped, streak, recentLosses } = this;
    return {
      step,
      skipped,
      streak,
      recentLosses,
      parameters,
      average,
      ...optimizer,
    };
  }

  dispose() {
    this.network.dispose();
    this.optimizer.dispose();
    this.average.dispose();
  }
}
