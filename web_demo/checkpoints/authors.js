/**
 * Networks under the names and in the layout of the authors' PyTorch code, as `span_keras/checkpoints/authors.py` writes
 * them for spandrel, chaiNNer and PyTorch.
 *
 * These expect `sk`, `conv` and `eval_conv` of every Conv3XC, the variant `official`, six blocks, and an input range of 255
 * with the mean of DIV2K, or a tensor `no_norm` for no normalisation at all. Where only the range differs, `conv_1` takes
 * it in: padding follows normalisation, so the function stays the same.
 */
import { BLOCKS, DIV2K_MEAN } from '../constants.js';
import { ModelError, readConfig, weightTable } from '../network/model.js';
import { readWeights } from '../network/weights.js';
import { expandKernel } from './reparam.js';

/** @typedef {{shape: number[], values: Float32Array}} Tensor */

/** Input range of the authors' code. */
const RANGE = 255;
/** Convolutions that are no Conv3XC. */
const PLAIN_LAYERS = ['conv_cat', 'upsampler'];
/** The authors' names in a Conv3XC, in their order: which of `Expanded`, rows and columns of taps, inputs and outputs. */
const PARTS = (c, d) => [
  { part: 'sk', weight: 'skip', bias: 'skipBias', shape: [1, 1, c, d] },
  { part: 'conv.0', weight: 'expand', bias: 'expandBias', shape: [1, 1, c, 2 * c] },
  { part: 'conv.1', weight: 'conv', bias: 'convBias', shape: [3, 3, 2 * c, 2 * d] },
  { part: 'conv.2', weight: 'project', bias: 'projectBias', shape: [1, 1, 2 * d, d] },
];

/**
 * The tensors of a network under the authors' names.
 * @param {import('../network/model.js').ModelArtifacts} artifacts
 * @returns {Map<string, Tensor>} kernels as (outputs, inputs, height, width), the upsampler's channels colour by colour
 * @throws {ModelError} the authors' code computes no such network
 */
export function stateDict(artifacts) {
  const config = readConfig(artifacts);
  const normalizes = config.rgbMean.some(Boolean);
  requireAuthors(config);
  const weights = readWeights(artifacts);
  const gain = config.imgRange / (normalizes ? RANGE : 1);
  const state = new Map();
  const put = (name, kernel, bias, shape) => {
    state.set(`${name}.weight`, toTorch(kernel, shape));
    state.set(`${name}.bias`, { shape: [bias.length], values: bias });
  };
  for (const { layer, shape } of weightTable(config).filter(({ weight }) => weight === 'kernel')) {
    const [, , c, d] = shape;
    let kernel = /** @type {Float32Array} */ (weights.get(`${layer}/kernel`));
    let bias = /** @type {Float32Array} */ (weights.get(`${layer}/bias`));
    if (layer === 'conv_1') kernel = kernel.map((value) => value * gain);
    if (layer === 'upsampler') [kernel, bias] = [kernel, bias].map((values) => toChannelMajor(values, d));
    const module = layer.replace(/^(block_\d+)_(c\d)$/, '$1.$2_r');
    if (PLAIN_LAYERS.includes(layer)) {
      put(layer === 'upsampler' ? 'upsampler.0' : layer, kernel, bias, shape);
      continue;
    }
    const expanded = expandKernel(kernel, bias);
    for (const one of PARTS(c, d)) put(`${module}.${one.part}`, expanded[one.weight], expanded[one.bias], one.shape);
    put(`${module}.eval_conv`, kernel, bias, shape);
  }
  if (!normalizes) state.set('no_norm', { shape: [1], values: new Float32Array(1) });
  return state;
}

/** @param {import('../network/model.js').SpanConfig} config */
function requireAuthors({ variant, blocks, rgbMean }) {
  const refuse = (reason) => new ModelError(`${reason} Save it in the format of TensorFlow.js.`);
  if (variant !== 'official') {
    throw refuse(
      'This network computes LeakyReLU and tanh, but the PyTorch tools for SPAN compute SiLU and sigmoid - 0.5 with its weights.',
    );
  }
  if (blocks !== BLOCKS) {
    throw refuse(`This network has ${blocks} blocks, but the PyTorch tools for SPAN expect ${BLOCKS}.`);
  }
  if (!rgbMean.some(Boolean)) return;
  if (rgbMean.length !== 3 || rgbMean.some((mean, i) => Math.abs(mean - DIV2K_MEAN[i]) > 1e-6)) {
    const found = rgbMean.map((mean) => Number(mean.toPrecision(6))).join(', ');
    throw refuse(
      `This network subtracts the mean ${found}, but the PyTorch tools for SPAN subtract ${DIV2K_MEAN.join(', ')} or nothing.`,
    );
  }
}

/** (height, width, inputs, outputs) -> PyTorch's (outputs, inputs, height, width). @returns {Tensor} */
function toTorch(kernel, [height, width, inputs, outputs]) {
  const values = new Float32Array(kernel.length);
  let to = 0;
  for (let o = 0; o < outputs; o++) {
    for (let i = 0; i < inputs; i++) {
      for (let at = 0; at < height * width; at++) values[to++] = kernel[(at * inputs + i) * outputs + o];
    }
  }
  return { shape: [outputs, inputs, height, width], values };
}

/** TensorFlow's pixel shuffle has the colours of a sub-pixel side by side, PyTorch's the sub-pixels of a colour. */
function toChannelMajor(values, filters) {
  const subpixels = filters / 3;
  return values.map((_, at) => {
    const channel = at % filters;
    return values[at - channel + (channel % subpixels) * 3 + Math.floor(channel / subpixels)];
  });
}
