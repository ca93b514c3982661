/**
 * From named tensors to a network, as `span_keras/checkpoints/detect.py` reads them: our own names, or those of the
 * authors' PyTorch code, in the training form or fused.
 */
import { ModelError, PLAIN_LAYERS, readConfig } from '../network/model.js';
import { moduleOf } from './authors.js';
import { expandedShapes, fuse } from './reparam.js';
import { findNormalization } from './trial.js';

/** @typedef {import('../network/model.js').ModelArtifacts} ModelArtifacts */
/** @typedef {import('./safetensors.js').Tensor} Tensor */
/** @typedef {{shape: number[], values: Float32Array}} Weight */

/** Names that only SPAN has in the authors' code, behind any prefix. */
const MARKS = /^(|.*\.)(?:conv_1\.(?:sk|eval_conv|conv\.0)|block_1\.c1_r\.(?:sk|eval_conv|conv\.0)|conv_cat)\.weight$/;
const PARAMETERS = { kernel: 'weight', bias: 'bias' };

/**
 * Build the network that a file's tensors make up.
 * @param {{tensors: Map<string, Tensor>, stated: Record<string, string>}} contents
 * @param {string} name of the file, for messages
 * @returns {ModelArtifacts}
 * @throws {ModelError} they are none, or nobody can tell its input's range
 */
export function detect({ tensors, stated }, name) {
  if (stated.format?.startsWith('span-run-')) {
    throw new ModelError(`${name} is the state of a training, not weights; choose best.safetensors beside it.`);
  }
  const isOurs = [...tensors.keys()].some((key) => /\/(skip_)?kernel$/.test(key));
  const config = configOf(stated.span);
  const source = isOurs ? ourNames(tensors) : authorsNames(tensors, name);
  const layers = new Map(
    [...source.layers].map((layer) => [layer, convolutionOf((key) => source.weight(layer, key), `${name}: ${layer}`)]),
  );
  const last = layers.get('upsampler');
  if (!isOurs && last) layers.set('upsampler', toBlockMajor(last));
  const variant = config.variant ?? (isOurs ? 'span' : 'official');
  const weights = [...layers].flatMap(([layer, { kernel, bias }]) => [
    ...(kernel ? [{ name: `${layer}/kernel`, ...kernel }] : []),
    ...(bias ? [{ name: `${layer}/bias`, ...bias }] : []),
  ]);
  const artifacts = toArtifacts(weights, variant);
  const read = readConfig(artifacts);
  const known = {
    imgRange: source.hasNoNorm ? 1 : config.img_range,
    rgbMean: source.hasNoNorm ? [0, 0, 0] : config.rgb_mean,
  };
  const normalization = normalizationOf(findNormalization(artifacts, read, known, name));
  return toArtifacts([...weights, ...normalization], variant);
}

function configOf(text) {
  try {
    return JSON.parse(text ?? '{}') ?? {};
  } catch {
    return {};
  }
}

/** @param {Map<string, Tensor>} tensors */
function ourNames(tensors) {
  const layers = new Set([...tensors.keys()].filter((key) => !/^(normalize|pixel_shuffle)\//.test(key)).map(layerOf));
  return { layers, weight: (layer, key) => weightOf(tensors.get(`${layer}/${key}`)), hasNoNorm: false };
}

const layerOf = (key) => key.slice(0, key.indexOf('/'));
const weightOf = (tensor) => tensor && { shape: tensor.shape, values: tensor.values() };

/** @param {Map<string, Tensor>} tensors @param {string} name of the file */
function authorsNames(tensors, name) {
  const prefix = prefixOf([...tensors.keys()], name);
  const find = (key) => tensors.get(prefix + key);
  const inner = [...tensors.keys()].filter((key) => key.startsWith(prefix)).map((key) => key.slice(prefix.length));
  const blocks = inner.flatMap((key) => /^(block_\d+)\.c(\d)_r\./.exec(key)?.slice(1, 3).join('_c') ?? []);
  const layers = new Set(['conv_1', ...blocks, 'conv_2', 'conv_cat', 'upsampler']);
  const weight = (layer, key) => {
    const [, part, kind] = /** @type {string[]} */ (/^(?:(.+)_)?(kernel|bias)$/.exec(key));
    if (part && PLAIN_LAYERS.includes(layer)) return undefined;
    return toKernel(weightOf(find(`${moduleOf(layer, part)}.${PARAMETERS[kind]}`)));
  };
  return { layers, weight, hasNoNorm: Boolean(find('no_norm')) };
}

/** Averaged weights come before raw ones. */
function prefixOf(keys, name) {
  const prefixes = [...new Set(keys.flatMap((key) => MARKS.exec(key)?.[1] ?? []))];
  if (!prefixes.length) {
    const some = keys.slice(0, 3).join(', ');
    throw new ModelError(
      `${name} is not SPAN: expected tensors such as conv_1.sk.weight or conv_1/kernel, found ${some || 'none'}.`,
    );
  }
  const averaged = prefixes.filter((prefix) => /(^|[._-])ema([._-]|$)|EMA/.test(prefix));
  const best = averaged.length ? averaged : prefixes;
  if (best.length === 1) return best[0];
  throw new ModelError(`${name} holds several SPAN networks (${best.join(', ')}); save the one that is meant alone.`);
}

/** PyTorch's (outputs, inputs, height, width) -> (height, width, inputs, outputs). @param {Weight | undefined} weight */
function toKernel(weight) {
  if (weight?.shape.length !== 4) return weight;
  const [outputs, inputs, height, width] = weight.shape;
  const values = new Float32Array(weight.values.length);
  let from = 0;
  for (let o = 0; o < outputs; o++) {
    for (let i = 0; i < inputs; i++) {
      for (let at = 0; at < height * width; at++) values[(at * inputs + i) * outputs + o] = weight.values[from++];
    }
  }
  return { shape: [height, width, inputs, outputs], values };
}

/**
 * Return a layer's kernel and bias, fused if it is in the training form. Where both forms are there, the fused one may be
 * stale: the authors refresh it only when they begin to evaluate.
 * @param {(key: string) => Weight | undefined} weight
 * @param {string} name for messages
 * @returns {{kernel?: Weight, bias?: Weight}}
 */
function convolutionOf(weight, name) {
  const skip = weight('skip_kernel');
  if (!skip) return { kernel: weight('kernel'), bias: weight('bias') };
  const [, , c, d] = skip.shape;
  const valuesOf = (key, shape) => {
    const found = weight(key);
    if (found && found.shape.join('×') === shape.join('×')) return found.values;
    const problem = found ? `has shape ${found.shape.join('×')}` : 'is missing';
    throw new ModelError(`${name} is not what SPAN has: its ${key} ${problem}, expected ${shape.join('×')}.`);
  };
  const values = Object.entries(expandedShapes(c, d)).flatMap(([part, shape]) => [
    [part, valuesOf(`${part}_kernel`, shape)],
    [`${part}Bias`, valuesOf(`${part}_bias`, shape.slice(3))],
  ]);
  const made = fuse(Object.fromEntries(values));
  return { kernel: { shape: [3, 3, c, d], values: made.kernel }, bias: { shape: [d], values: made.bias } };
}

/** @param {{kernel?: Weight, bias?: Weight}} layer PyTorch's pixel shuffle has its colours outermost, TensorFlow's innermost. */
function toBlockMajor({ kernel, bias }) {
  const filters = bias?.values.length ?? 0;
  const colors = [3, 1, 4].find((count) => Number.isInteger(Math.sqrt(filters / count))) ?? 1;
  const subpixels = filters / colors;
  const turn = (weight) => weight && { ...weight, values: weight.values.map((_, at) => weight.values[place(at)]) };
  const place = (at) => {
    const channel = at % filters;
    return at - channel + (channel % colors) * subpixels + Math.floor(channel / colors);
  };
  return { kernel: turn(kernel), bias: turn(bias) };
}

/**
 * The network as a model.json holds it. Of its layers the page looks at one, which tells the variant.
 * @returns {ModelArtifacts}
 */
function toArtifacts(weights, variant) {
  const isOfficial = variant === 'official';
  const sigmoid = { class_name: 'Activation', config: { name: 'block_1_sigmoid', activation: 'sigmoid' } };
  return { modelTopology: { config: { layers: isOfficial ? [sigmoid] : [] } }, ...pack(weights) };
}

function pack(weights) {
  const weightSpecs = weights.map(({ name, shape }) => ({ name, shape, dtype: /** @type {const} */ ('float32') }));
  const values = new Float32Array(weights.reduce((sum, weight) => sum + weight.values.length, 0));
  let at = 0;
  for (const weight of weights) {
    values.set(weight.values, at);
    at += weight.values.length;
  }
  return { weightSpecs, weightData: values.buffer };
}

/** A frozen batch normalisation carries range and mean. */
function normalizationOf({ imgRange, rgbMean }) {
  const shape = [rgbMean.length];
  return [
    { name: 'normalize/moving_mean', shape, values: rgbMean },
    { name: 'normalize/moving_variance', shape, values: rgbMean.map(() => imgRange ** -2) },
  ];
}
