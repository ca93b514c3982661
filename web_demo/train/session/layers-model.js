/**
 * The fused SPAN network as a TF.js layers model: the twin of `build_deploy` in `span_keras/network/model.py`.
 * It trains in this form, and what it saves is what `span-export` writes.
 */

import { BLOCKS, CHANNELS, DIV2K_MEAN, LEAKY_SLOPE } from '../../constants.js';
import { weightTable } from '../../network/model.js';

/** @typedef {import('../../network/model.js').SpanConfig} SpanConfig */
/** @typedef {Omit<SpanConfig, 'halo' | 'golden'>} NetworkConfig what the weights are for */

/** @returns {NetworkConfig} */
export const defaultConfig = (overrides = {}) => ({
  scale: 4,
  channels: CHANNELS,
  blocks: BLOCKS,
  variant: 'span',
  imgRange: 1,
  rgbMean: DIV2K_MEAN,
  ...overrides,
});

const normalizes = (config) => config.imgRange !== 1 || config.rgbMean.some((mean) => mean !== 0);

/** Number of trainable weights. */
export const weightCount = (config) => weightTable(config).reduce((sum, { size }) => sum + size, 0);

/**
 * Build the model. Weights are zeros except the fixed ones (normalisation, pixel shuffle).
 * @param {Tf} tf
 * @param {NetworkConfig} config
 * @returns {tf.LayersModel} (N, H, W, 3) RGB in [0, 1] -> (N, H·scale, W·scale, 3), not clipped
 */
export function buildModel(tf, config) {
  /** @type {any} its `apply` gives a symbolic tensor for a symbolic tensor, which its own type does not say */
  const { layers } = tf;
  const zeros = { kernelInitializer: 'zeros' };
  const conv = (name, filters, kernelSize = 3) =>
    layers.conv2d({ name, filters, kernelSize, padding: 'same', ...zeros });
  const official = config.variant === 'official';
  const act = (name) =>
    official ? layers.activation({ name, activation: 'swish' }) : layers.leakyReLU({ name, alpha: LEAKY_SLOPE });

  const spab = (x, name) => {
    const activated = act(`${name}_act1`).apply(conv(`${name}_c1`, config.channels).apply(x));
    let y = act(`${name}_act2`).apply(conv(`${name}_c2`, config.channels).apply(activated));
    y = conv(`${name}_c3`, config.channels).apply(y);
    const attention = official
      ? layers
          .rescaling({ name: `${name}_sym`, scale: 1, offset: -0.5 })
          .apply(layers.activation({ name: `${name}_sigmoid`, activation: 'sigmoid' }).apply(y))
      : layers.activation({ name: `${name}_sym`, activation: 'tanh' }).apply(y);
    y = layers.add({ name: `${name}_add` }).apply([y, x]);
    return [layers.multiply({ name: `${name}_attend` }).apply([y, attention]), activated];
  };

  const input = tf.input({ name: 'input', shape: [null, null, 3] });
  /** @type {any} */
  let x = input;
  // TF.js's Rescaling takes scalars only; a frozen batch normalisation carries the mean per channel.
  const normalize = layers.batchNormalization({
    name: 'normalize',
    epsilon: 0,
    center: false,
    scale: false,
    trainable: false,
  });
  if (normalizes(config)) x = normalize.apply(x);
  const head = conv('conv_1', config.channels).apply(x);
  let features = head;
  let first, activated;
  for (let i = 1; i <= config.blocks; i++) {
    [features, activated] = spab(features, `block_${i}`);
    first ??= features;
  }
  const tail = conv('conv_2', config.channels).apply(features);
  // The last block contributes the *activated* output of its first convolution.
  x = layers.concatenate({ name: 'concatenate' }).apply([head, tail, first, activated]);
  x = conv('conv_cat', config.channels, 1).apply(x);
  x = conv('upsampler', 3 * config.scale ** 2).apply(x);
  const shuffle = layers.conv2dTranspose({
    name: 'pixel_shuffle',
    filters: 3,
    kernelSize: config.scale,
    strides: config.scale,
    useBias: false,
    trainable: false,
    ...zeros,
  });
  const model = tf.model({ inputs: input, outputs: shuffle.apply(x), name: `span_x${config.scale}` });
  tf.tidy(() => {
    shuffle.setWeights([tf.tensor(shuffleKernel(config.scale), shuffleShape(config.scale))]);
    if (normalizes(config)) normalize.setWeights([tf.tensor1d(config.rgbMean), tf.fill([3], config.imgRange ** -2)]);
  });
  return model;
}

/**
 * What `model.apply` computes, differentiable: TF.js has no gradient of a batch normalisation without gamma, the form in
 * which models carry their fixed input normalisation.
 * @returns {tf.Tensor[]} the model's outputs
 */
export function applyLayers(tf, model, images) {
  const results = new Map();
  for (const layer of model.layers) {
    const inputs = layer.inboundNodes[0].inboundLayers.map(({ name }) => results.get(name));
    results.set(layer.name, applyLayer(tf, layer, inputs, images));
  }
  return model.outputLayers.map(({ name }) => results.get(name));
}

function applyLayer(tf, layer, inputs, images) {
  if (!inputs.length) return images;
  if (layer.getClassName() === 'BatchNormalization') {
    const [mean, variance] = layer.getWeights();
    return tf.div(tf.sub(inputs[0], mean), tf.sqrt(variance));
  }
  if (layer.getClassName() === 'Conv2D') {
    // The layer's own way computes the gradients of input and filter even where only one is asked for.
    const [kernel, bias] = layer.getWeights();
    return tf.add(tf.conv2d(inputs[0], kernel, layer.strides, layer.padding), bias);
  }
  if (layer.name === 'pixel_shuffle') return pixelShuffle(tf, inputs[0], layer.strides[0]);
  return layer.apply(inputs.length === 1 ? inputs[0] : inputs);
}

/** What the fixed transposed convolution computes, by moving values alone: (N, H, W, 3·s·s) -> (N, H·s, W·s, 3). */
function pixelShuffle(tf, x, scale) {
  const [count, height, width] = x.shape;
  const rows = tf.transpose(tf.reshape(x, [count * height, width, scale, scale * 3]), [0, 2, 1, 3]);
  return tf.reshape(rows, [count, height * scale, width * scale, 3]);
}

const shuffleShape = (scale) => [scale, scale, 3, 3 * scale ** 2];

/** The fixed Conv2DTranspose kernel that is a block-major pixel shuffle: a reshaped identity matrix. */
function shuffleKernel(scale) {
  const size = 3 * scale ** 2;
  const kernel = new Float32Array(size * size);
  for (let i = 0; i < size; i++) kernel[i * size + i] = 1;
  return kernel;
}

/**
 * All trainable weights of a loaded model as one array in the order of `weightTable`.
 * @param {Tf} tf
 * @param {import('../../network/model.js').ModelArtifacts} artifacts quantised or not
 * @param {NetworkConfig} config of `readConfig`, which has checked the weights
 * @returns {Promise<Float32Array>}
 */
export async function readParameters(tf, artifacts, config) {
  const tensors = tf.io.decodeWeights(artifacts.weightData, artifacts.weightSpecs);
  const parameters = new Float32Array(weightCount(config));
  try {
    for (const { layer, weight, offset } of weightTable(config)) {
      parameters.set(await tensors[`${layer}/${weight}`].data(), offset);
    }
  } finally {
    tf.dispose(tensors);
  }
  return parameters;
}

/** A model together with its trainable weights as variables and as one flat tensor. */
export class Network {
  /**
   * @param {Tf} tf
   * @param {NetworkConfig} config
   * @param {Float32Array} parameters see `weightTable`
   */
  constructor(tf, config, parameters) {
    this.tf = tf;
    this.config = config;
    this.table = weightTable(config);
    this.model = buildModel(tf, config);
    const layers = new Map(this.model.layers.map((layer) => [layer.name, layer]));
    /** @type {tf.Variable[]} in the order of `weightTable` */
    this.variables = this.table.map(({ layer, weight }) => /** @type {any} */ (layers.get(layer))[weight].read());
    /** The variables' values, one after the other. */
    this.flat = tf.tensor1d(parameters);
    this.fill(this.flat);
  }

  /** Take ownership of a flat tensor as the new weights. */
  assign(flat) {
    this.fill(flat);
    this.flat.dispose();
    this.flat = flat;
  }

  /**
   * Run `work` with other weights in the variables; the network's own come back afterwards.
   * @template T
   * @param {tf.Tensor1D} flat
   * @param {(network: Network) => Promise<T>} work
   * @returns {Promise<T>}
   */
  async withWeights(flat, work) {
    this.fill(flat);
    try {
      return await work(this);
    } finally {
      // A lost GPU ends the training, and the network with it, while `work` still waits.
      if (!this.flat.isDisposed) this.fill(this.flat);
    }
  }

  fill(flat) {
    const { tf } = this;
    tf.tidy(() => {
      this.table.forEach(({ offset, size, shape }, i) =>
        this.variables[i].assign(tf.reshape(tf.slice(flat, offset, size), shape)),
      );
    });
  }

  /** 1 where weight decay applies: kernels, not biases. */
  decayMask() {
    const mask = new Float32Array(weightCount(this.config));
    for (const { weight, offset, size } of this.table) if (weight === 'kernel') mask.fill(1, offset, offset + size);
    return mask;
  }

  /** (N, H, W, 3) -> (N, H·scale, W·scale, 3); differentiable. */
  apply(images) {
    return applyLayers(this.tf, this.model, images)[0];
  }

  dispose() {
    this.model.dispose();
    this.flat.dispose();
  }
}

/**
 * The model as TF.js holds it in memory; `tf.loadLayersModel(tf.io.fromMemory(artifacts))` reads it.
 * @param {Tf} tf
 * @param {NetworkConfig} config
 * @param {Float32Array} parameters
 * @param {object} span becomes `userDefinedMetadata.span`
 * @returns {import('../../network/model.js').ModelArtifacts}
 */
export function toArtifacts(tf, config, parameters, span) {
  const model = buildModel(tf, config);
  const { config: topology, keras_version } = /** @type {any} */ (model.toJSON(null, false));
  model.dispose();
  /** @type {Array<{name: string, shape: number[], data: ArrayLike<number>}>} */
  const entries = weightTable(config).map(({ layer, weight, shape, size, offset }) => ({
    name: `${layer}/${weight}`,
    shape,
    data: parameters.subarray(offset, offset + size),
  }));
  entries.push({ name: 'pixel_shuffle/kernel', shape: shuffleShape(config.scale), data: shuffleKernel(config.scale) });
  if (normalizes(config)) {
    entries.push({ name: 'normalize/moving_mean', shape: [3], data: config.rgbMean });
    entries.push({ name: 'normalize/moving_variance', shape: [3], data: new Array(3).fill(config.imgRange ** -2) });
  }
  return {
    modelTopology: {
      keras_version,
      backend: 'tensorflow',
      model_config: { class_name: 'Functional', config: topology },
    },
    weightSpecs: entries.map(({ name, shape }) => ({ name, shape, dtype: 'float32' })),
    weightData: Float32Array.from(entries.flatMap(({ data }) => Array.from(data))).buffer,
    userDefinedMetadata: { span },
  };
}

/**
 * The two files of a model in TF.js layers format.
 * @param {import('../../network/model.js').ModelArtifacts} artifacts
 * @param {string} name without extension; the JSON refers to `NAME.bin`
 * @returns {File[]} `NAME.json` and `NAME.bin`
 */
export function toFiles({ modelTopology, weightSpecs, weightData, userDefinedMetadata }, name) {
  const json = JSON.stringify({
    format: 'layers-model',
    generatedBy: userDefinedMetadata?.span.generator,
    convertedBy: null,
    modelTopology,
    weightsManifest: [{ paths: [`${name}.bin`], weights: weightSpecs }],
    userDefinedMetadata,
  });
  return [
    new File([json], `${name}.json`, { type: 'application/json' }),
    new File([weightData], `${name}.bin`, { type: 'application/octet-stream' }),
  ];
}
