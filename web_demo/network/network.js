/**
 * SPAN's forward pass, written for speed: activations ride on the convolutions, the input is normalised while it is
 * copied, and on WebGPU the rest of a block is one kernel. `createNetwork(..., { plain: true })` is the reference.
 */
import { LEAKY_SLOPE } from '../constants.js';
import { channelsOf, isGrey, planesToRgb, toRgb } from './channels.js';

/**
 * Put a model's weights on the active backend, which `startBackend` has started.
 * @param {Tf} tf
 * @param {import('./model.js').ModelArtifacts} artifacts
 * @param {import('./model.js').SpanConfig} config
 * @param {{plain?: boolean}} [options] `plain` uses stock kernels only
 * @returns {Network}
 */
export function createNetwork(tf, artifacts, config, { plain = false } = {}) {
  const tensors = tf.io.decodeWeights(artifacts.weightData, artifacts.weightSpecs);
  for (const name of ['normalize/moving_mean', 'normalize/moving_variance', 'pixel_shuffle/kernel']) {
    tensors[name]?.dispose();
    delete tensors[name];
  }
  const backend = plain ? null : tf.getBackend();
  return new Network(tf, tensors, config, { fused: backend === 'webgpu', scalarKernels: backend === 'wasm' });
}

export class Network {
  /** Tiles that may be under way at once. */
  depth = 1;
  /** The most bytes that tensors, and a GPU where the backend tells, took in any run since `forgetPeak`. */
  peak = { bytes: 0, gpuBytes: 0 };

  /**
   * @param {Tf} tf
   * @param {Record<string, any>} tensors weights by name
   * @param {import('./model.js').SpanConfig} config
   * @param {{fused: boolean, scalarKernels: boolean}} kernels whether our WebGPU kernels can be used; whether the
   *   backend computes `tanh` and `depthToSpace` one value at a time (WebAssembly), but sigmoid and transpose fast
   */
  constructor(tf, tensors, config, { fused, scalarKernels }) {
    this.tf = tf;
    this.tensors = tensors;
    this.config = config;
    this.fused = fused;
    this.scalarKernels = scalarKernels;
    /**
     * Tensors of unfinished `compute` calls: a lost GPU may never answer, so that they cannot free them themselves.
     * @type {Set<tf.Tensor[]>}
     */
    this.inFlight = new Set();
    const { imgRange, rgbMean } = config;
    /** Level 0..255 -> normalised value, per colour. */
    this.levels = rgbMean.map((mean) =>
      Float32Array.from({ length: 256 }, (_, level) => (level / 255 - mean) * imgRange),
    );
  }

  /**
   * Normalised network input from pixels.
   * @param {{data: ArrayLike<number>, height: number, width: number, stride?: number}} pixels RGB first in every
   *   pixel, 0..255, or 0..1 in a Float32Array; `stride` is values per pixel: 4 for RGBA
   * @param {number} [plane] the one to take, by a network for grey; luma by default
   * @returns {tf.Tensor4D} (1, h, w, inChannels)
   */
  input({ data, height, width, stride = 4 }, plane) {
    const { imgRange, rgbMean, inChannels = 3 } = this.config;
    if (inChannels !== 3) {
      const normalize = (value, channel) => (value - rgbMean[channel]) * imgRange;
      const values = channelsOf({ data, stride }, inChannels, normalize, plane);
      return this.tf.tensor4d(values, [1, height, width, inChannels]);
    }
    const values = new Float32Array(height * width * 3);
    if (data instanceof Float32Array) {
      for (let from = 0, to = 0; to < values.length; from += stride) {
        for (let color = 0; color < 3; color++) values[to++] = (data[from + color] - rgbMean[color]) * imgRange;
      }
    } else {
      const [red, green, blue] = this.levels;
      for (let from = 0, to = 0; to < values.length; from += stride) {
        values[to++] = red[data[from]];
        values[to++] = green[data[from + 1]];
        values[to++] = blue[data[from + 2]];
      }
    }
    return this.tf.tensor4d(values, [1, height, width, 3]);
  }

  /**
   * @param {tf.Tensor4D} x (1, h, w, inChannels), normalised
   * @returns {tf.Tensor4D} (1, h·scale, w·scale, outChannels), around [0, 1], not clipped
   */
  run(x) {
    const { tf, config } = this;
    return tf.tidy(() => {
      const head = this.conv('conv_1', x);
      let features = head;
      let first, activated;
      for (let i = 1; i <= config.blocks; i++) {
        activated = this.conv(`block_${i}_c1`, features, true);
        const y = this.conv(`block_${i}_c3`, this.conv(`block_${i}_c2`, activated, true));
        features = this.attend(y, features);
        first ??= features;
      }
      const tail = this.conv('conv_2', features);
      const merged = this.conv('conv_cat', tf.concat([head, tail, first, activated], 3));
      const y = this.shuffle(this.conv('upsampler', merged));
      this.#notePeak(); // `tidy` frees what lies between input and output only now
      return y;
    });
  }

  /** Begin anew with `peak`. */
  forgetPeak() {
    this.peak = { bytes: 0, gpuBytes: 0 };
  }

  #notePeak() {
    const { numBytes, numBytesInGPUAllocated, numBytesAllocatedInGPU } = this.tf.memory(); // WebGL's word, WebGPU's word
    const { bytes, gpuBytes } = this.peak;
    this.peak = {
      bytes: Math.max(bytes, numBytes),
      gpuBytes: Math.max(gpuBytes, numBytesInGPUAllocated ?? numBytesAllocatedInGPU ?? 0),
    };
  }

  /** Pixel shuffle: (1, h, w, s·s·c) -> (1, h·s, w·s, c). @param {tf.Tensor4D} x @returns {tf.Tensor4D} */
  shuffle(x) {
    const { tf, config } = this;
    const { scale, outChannels = 3 } = config;
    if (scale === 1) return tf.clone(x);
    if (!this.scalarKernels) return tf.depthToSpace(x, scale, 'NHWC');
    const [, height, width] = x.shape;
    const rows = tf.transpose(tf.reshape(x, [height, width, scale, scale * outChannels]), [0, 2, 1, 3]);
    return tf.reshape(rows, [1, height * scale, width * scale, outChannels]);
  }

  /** 3×3 or 1×1 convolution, zero padding, with the variant's activation if `activate`. */
  conv(name, x, activate = false) {
    const { tf, tensors, config } = this;
    const leaky = activate && config.variant === 'span';
    const y = tf.fused.conv2d({
      x,
      filter: tensors[`${name}/kernel`],
      strides: 1,
      pad: 'same',
      bias: tensors[`${name}/bias`],
      activation: leaky ? 'leakyrelu' : 'linear',
      leakyreluAlpha: leaky ? LEAKY_SLOPE : undefined,
    });
    if (!activate || leaky) return y;
    return this.fused ? tf.engine().runKernel('SpanSilu', { y }) : tf.mul(y, tf.sigmoid(y));
  }

  /** The parameter-free attention: `(y + x) · sym(y)`. */
  attend(y, x) {
    const { tf, config } = this;
    if (this.fused) return tf.engine().runKernel('SpanAttend', { y, x }, { variant: config.variant });
    return tf.mul(tf.add(y, x), config.variant === 'span' ? this.tanh(y) : tf.sub(tf.sigmoid(y), 0.5));
  }

  tanh(y) {
    const { tf } = this;
    return this.scalarKernels ? tf.sub(tf.mul(tf.sigmoid(tf.mul(y, 2)), 2), 1) : tf.tanh(y);
  }

  /**
   * Enlarge RGB by whatever channels the network has, as `predict_channels` does in Python: a network for grey gets each
   * colour by itself, and what it makes of grey is grey in RGB.
   * @param {Parameters<Network['input']>[0] & {alpha?: boolean}} pixels as for `input`; with `alpha`, what a network for
   *   RGB and alpha makes of alpha is wanted
   * @returns {Promise<Float32Array>} RGB
   */
  async compute(pixels) {
    const { inChannels = 3, outChannels = 3 } = this.config;
    if (inChannels === 1 && outChannels === 1 && !isGrey(pixels)) {
      const planes = [];
      for (const plane of [0, 1, 2]) planes.push(await this.evaluate(pixels, plane));
      return planesToRgb(planes);
    }
    return toRgb(await this.evaluate(pixels), outChannels, pixels.alpha);
  }

  /**
   * @param {Parameters<Network['input']>[0]} pixels as for `input`, like `plane`
   * @param {number} [plane]
   * @returns {Promise<Float32Array>} what `run` makes of them
   */
  async evaluate(pixels, plane) {
    const { tf, inFlight } = this;
    /** @type {tf.Tensor[]} */
    const mine = [];
    inFlight.add(mine);
    try {
      const x = this.input(pixels, plane);
      mine.push(x);
      const y = this.run(x);
      mine.push(y);
      x.dispose();
      return /** @type {Float32Array} */ (await y.data());
    } finally {
      inFlight.delete(mine);
      tf.dispose(mine);
    }
  }

  dispose() {
    this.tf.dispose([...Object.values(this.tensors), ...this.inFlight]);
    this.tensors = {};
    this.inFlight.clear();
  }
}

/**
 * Run a golden tile.
 * @param {Network['evaluate']} evaluate
 * @param {ReturnType<typeof import('./model.js').decodeGolden>} golden
 * @returns {Promise<number>} largest absolute difference from the expected output; NaN if any value is NaN
 */
export async function goldenError(evaluate, golden) {
  const { input: data, height, width } = golden;
  const stride = data.length / (height * width);
  const values = await evaluate({ data, height, width, stride }, stride === 1 ? 0 : undefined);
  return values.reduce((worst, value, i) => {
    const error = Math.abs(value - golden.output[i]);
    return error <= worst ? worst : error; // NaN is not <= anything, so it stays
  }, 0);
}
