import { BETA_1, BETA_2, EMA_DECAY, EMA_DELAY, EPSILON } from '../../constants.js';

/**
 * AdamW as `span_keras/training/step.py` and `keras.optimizers.AdamW` compute it: decoupled weight decay before the
 * update, epsilon outside of the bias correction, gradients clipped by their global norm. All weights are one flat
 * tensor: a dozen kernels a step, not a dozen per layer.
 *
 * Source: "Decoupled Weight Decay Regularization", Loshchilov & Hutter, ICLR 2019; Keras 3's `adam.py`.
 */
export class AdamW {
  /**
   * @param {Tf} tf
   * @param {Float32Array} decayMask 1 where weight decay applies
   * @param {{weightDecay?: number, clipNorm?: number}} options
   *   `clipNorm` is Keras's `global_clipnorm`
   * @param {{momentum: Float32Array, velocity: Float32Array, updates: number}} [state] from `state()`
   */
  constructor(tf, decayMask, { weightDecay = 0, clipNorm = Infinity } = {}, state) {
    this.tf = tf;
    this.weightDecay = weightDecay;
    this.clipNorm = clipNorm;
    this.updates = state?.updates ?? 0;
    this.decayMask = tf.tensor1d(decayMask);
    this.momentum = state ? tf.tensor1d(state.momentum) : tf.zerosLike(this.decayMask);
    this.velocity = state ? tf.tensor1d(state.velocity) : tf.zerosLike(this.decayMask);
  }

  /**
   * @param {tf.Tensor1D} weights
   * @param {tf.Tensor1D} gradient
   * @param {number} norm the gradient's Euclidean norm
   * @param {number} rate learning rate
   * @returns {tf.Tensor1D} the new weights
   */
  update(weights, gradient, norm, rate) {
    const { tf } = this;
    this.updates++;
    const alpha = (rate * Math.sqrt(1 - BETA_2 ** this.updates)) / (1 - BETA_1 ** this.updates);
    const [updated, momentum, velocity] = tf.tidy(() => {
      const { add, sub, mul, div, sqrt, square } = tf;
      const g = norm > this.clipNorm ? mul(gradient, this.clipNorm / norm) : gradient;
      const m = add(this.momentum, mul(sub(g, this.momentum), 1 - BETA_1));
      const v = add(this.velocity, mul(sub(square(g), this.velocity), 1 - BETA_2));
      const decayed = this.weightDecay
        ? sub(weights, mul(mul(weights, this.decayMask), this.weightDecay * rate))
        : weights;
      return /** @type {tf.Tensor1D[]} */ ([sub(decayed, div(mul(m, alpha), add(sqrt(v), EPSILON))), m, v]);
    });
    tf.dispose([this.momentum, this.velocity]);
    this.momentum = momentum;
    this.velocity = velocity;
    return updated;
  }

  /** Start the first moment anew: it is stale once the weights are replaced. */
  forgetMomentum() {
    this.momentum.dispose();
    this.momentum = this.tf.zerosLike(this.velocity);
  }

  /** What `new AdamW(..., state)` goes on from. */
  async state() {
    const [momentum, velocity] = await Promise.all([floats(this.momentum), floats(this.velocity)]);
    return { momentum, velocity, updates: this.updates };
  }

  dispose() {
    this.tf.dispose([this.decayMask, this.momentum, this.velocity]);
  }
}

/**
 * Read a tensor's values into memory of their own: a backend may give out what it computes with.
 * @param {tf.Tensor} tensor float32
 * @returns {Promise<Float32Array>}
 */
export async function floats(tensor) {
  return /** @type {Float32Array} */ (await tensor.data()).slice();
}

/** The exponential moving average of the weights: what is shown, measured and saved, while the latest ones train on. */
export class WeightAverage {
  /**
   * @param {Tf} tf
   * @param {Float32Array} start
   */
  constructor(tf, start) {
    this.tf = tf;
    /** @type {tf.Tensor1D} */
    this.flat = tf.tensor1d(start);
  }

  /**
   * @param {tf.Tensor1D} weights after an update
   * @param {number} updates so many were made; the first ones count for more, so that the start is soon forgotten
   */
  update(weights, updates) {
    const { tf, flat } = this;
    const follow = Math.max(1 - EMA_DECAY, (EMA_DELAY - 1) / (EMA_DELAY + updates));
    this.flat = tf.tidy(() => tf.add(flat, tf.mul(tf.sub(weights, flat), follow)));
    flat.dispose();
  }

  dispose() {
    this.flat.dispose();
  }
}
