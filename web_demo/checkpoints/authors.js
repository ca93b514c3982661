/**
 * Networks under the names and in the layout of the authors' PyTorch code, as `span_keras/checkpoints/authors.py` writes
 * them for spandrel, chaiNNer and PyTorch.
 *
 * These expect `sk`, `conv` and `eval_conv` of every Conv3XC, the variant `official`, six blocks, and an input range of 255
 * with the mean of DIV2K, or a tensor `no_norm` for no normalisation at all. Where only the range differs, `conv_1` takes
 * it in: padding follows normalisation, so the function stays the same.
 */
import { BLOCKS, DIV2K_MEAN } from '../constants.js';
import { ModelError, PLAIN_LAYERS, readConfig, weightTable } from '../network/model.js';
import { readWeights } from '../network/weights.js';
import { expandKernel, expandedShapes } from './reparam.js';

/** @typedef {{shape: number[], values: Float32Array}} Tensor */

/** Input range of the authors' code. */
const RANGE = 255;
/** Submodules of the authors' Conv3XC by the convolution of our training form. */
const PARTS = { skip: 'sk', expand: 'conv.0', conv: 'conv.1', project: 'conv.2' };

/**
 * The authors' name of a convolution.
 * @param {string} layer our name of its layer
 * @param {string} [part] which of the training form's convolutions; else the fused one, or the only one
 * @returns {string} without `.weight` or `.bias`
 */
export function moduleOf(layer, part) {
  if (PLAIN_LAYERS.includes(layer)) return layer === 'upsampler' ? 'upsampler.0' : layer;
  return `${layer.replace(/^(block_\d+)_(c\d)$/, '$1.$2_r')}.${part ? PARTS[part] : 'eval_conv'}`;
}

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
    if (!PLAIN_LAYERS.includes(layer)) {
      const expanded = expandKernel(kernel, bias);
      for (const [part, partShape] of Object.entries(expandedShapes(c, d))) {
        put(moduleOf(layer, part), expanded[part], expanded[`${part}Bias`], partShape);
      }
    }
    put(moduleOf(layer), kernel, bias, shape);
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
