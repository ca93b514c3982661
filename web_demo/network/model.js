/** Reading exported models: from an address, and what is inside them. Needs no TensorFlow.js. */
import { CHANNEL_PAIRS, LEAKY_SLOPE, MAX_SCALE, SCALES } from '../constants.js';
import { byteLength, storedWeights } from './weights.js';

/** @typedef {import('./weights.js').WeightSpec} WeightSpec */

/**
 * @typedef {object} ModelArtifacts TensorFlow.js's own form of a layers model in memory
 * @property {object} modelTopology
 * @property {WeightSpec[]} weightSpecs
 * @property {ArrayBuffer} weightData
 * @property {Record<string, any>} [userDefinedMetadata]
 */

/**
 * @typedef {object} SpanConfig
 * @property {number} scale from 1, a restorer, to `MAX_SCALE`
 * @property {number} channels
 * @property {number} blocks
 * @property {'span' | 'official'} variant
 * @property {number} imgRange the network sees `(rgb - rgbMean) * imgRange`, rgb in [0, 1]
 * @property {number[]} rgbMean one value per input channel
 * @property {number} [inChannels] 1 grey, 3 RGB, 4 RGB and alpha; 3 where it is missing, like `outChannels`
 * @property {number} [outChannels] one of `CHANNEL_PAIRS` with `inChannels`
 * @property {number} halo pixels of the input that a pixel of the result depends on, on every side: see `haloOf`
 * @property {Golden} [golden] the self-check
 */

/**
 * @typedef {object} Golden an input and what the model must make of it
 * @property {number[]} inputShape (height, width, inChannels)
 * @property {string} input levels 0..255, in base64
 * @property {number[]} outputShape (height · scale, width · scale, outChannels)
 * @property {string} output float32 values, in base64
 * @property {number} tolerance largest difference that is allowed
 */

/** Low-resolution pixels that an output pixel sees on every side. */
export const haloOf = ({ blocks }) => 3 * blocks + 3;

/** A model that cannot be used; the message says what was expected, what was found and what to do. */
export class ModelError extends Error {
  name = 'ModelError';
}

/** Milliseconds for which a server may send nothing. */
const SILENCE_LIMIT = 30_000;

/**
 * @param {string | URL} url of a `model.json`; its weights lie beside it, and what follows `?` goes for them, too
 * @param {(path: string, base: URL) => URL} [locate] where its weights lie, if elsewhere: a bundler moves files
 * @returns {Promise<ModelArtifacts>}
 * @throws {ModelError} with a sentence, if a file does not come or is something else
 */
export async function fetchModel(url, locate = besideModel) {
  const base = new URL(url, globalThis.document?.baseURI ?? globalThis.location?.href);
  const text = new TextDecoder().decode(await download(base));
  if (/^\s*<(!doctype|html|\?xml)/i.test(text)) {
    throw new ModelError(`${base} is a web page; expected the model.json that span-export writes. Check the address.`);
  }
  const json = parse(text, base.pathname.split('/').pop() || base);
  return assemble(json, async (path) => {
    const address = locate(path, base);
    const bytes = await download(address);
    const start = new TextDecoder().decode(bytes.slice(0, 64));
    if (!/^\s*<(!doctype|html)/i.test(start)) return bytes;
    throw new ModelError(
      `${address} is a web page, not weights: the server answers with one where there is no file. Put it beside the model.json.`,
    );
  });
}

/**
 * Return the address of a file that a `model.json` names. A query such as a token goes along, to the same server only.
 * @param {string} path
 * @param {URL} base the model's address
 */
export function besideModel(path, base) {
  const address = new URL(path, base);
  if (!address.search && address.origin === base.origin) address.search = base.search;
  return address;
}

/** @param {URL} address @returns {Promise<ArrayBuffer>} */
async function download(address) {
  const silence = new AbortController();
  let timer;
  const listen = () => {
    clearTimeout(timer);
    timer = setTimeout(() => silence.abort(), SILENCE_LIMIT);
  };
  listen();
  try {
    const response = await fetch(address, { signal: silence.signal });
    if (!response.ok) throw new ModelError(`${address} ${refusal(response.status)}`);
    const parts = [];
    const reader = response.body?.getReader();
    for (let part; reader && !(part = await reader.read()).done; listen()) parts.push(part.value);
    return await new Blob(parts).arrayBuffer();
  } catch (error) {
    if (error instanceof ModelError) throw error;
    const reason = silence.signal.aborted ? `sent nothing for ${SILENCE_LIMIT / 1000} s` : 'could not be reached';
    throw new ModelError(`${address} ${reason}; check the address and the connection.`);
  } finally {
    clearTimeout(timer);
  }
}

function refusal(status) {
  if (status === 404 || status === 410) return `was not found (status ${status}); check the address.`;
  if (status === 401 || status === 403) {
    return `was refused (status ${status}); check the rights and the address's token.`;
  }
  return `could not be read (status ${status}); try again later.`;
}

/**
 * @typedef {object} Listed a model that `models.json` names
 * @property {string} name
 * @property {string} url
 * @property {number} [scale]
 * @property {number} [channels]
 */

/** @returns {Promise<Listed[]>} what `models.json` beside the page lists, if there is one */
export async function modelsBeside() {
  try {
    const { models } = await (await fetch('models.json')).json();
    return models.map(({ name, title, url, scale, channels }) => ({ name: title ?? name, url, scale, channels }));
  } catch {
    return []; // some servers answer with a page where there is no file
  }
}

/** @returns {object} the content of a `model.json` */
export function parse(text, name) {
  try {
    return JSON.parse(text);
  } catch {
    throw new ModelError(`${name} is not JSON; expected the model.json that span-export writes.`);
  }
}

/** @returns {Promise<ModelArtifacts>} of what `parse` returned and the weights that `read` gives for their paths */
export async function assemble(json, read) {
  if (!isLayersModel(json)) {
    throw new ModelError('Expected a TensorFlow.js layers model (model.json with modelTopology and weightsManifest).');
  }
  const weightSpecs = json.weightsManifest.flatMap((group) => group.weights);
  const parts = await Promise.all(json.weightsManifest.flatMap((group) => group.paths).map(read));
  const weightData = await new Blob(parts).arrayBuffer();
  const expected = weightSpecs.reduce((sum, spec) => sum + byteLength(spec), 0);
  if (weightData.byteLength !== expected) {
    throw new ModelError(
      `The weights hold ${weightData.byteLength} bytes where ${expected} were expected; fetch the model again.`,
    );
  }
  /** @type {ModelArtifacts} */
  const artifacts = { modelTopology: json.modelTopology, weightSpecs, weightData };
  if (json.userDefinedMetadata) artifacts.userDefinedMetadata = json.userDefinedMetadata;
  return artifacts;
}

function isLayersModel(json) {
  const isText = (value) => typeof value === 'string';
  const isSpec = (spec) => isText(spec?.name) && Array.isArray(spec.shape) && byteLength(spec) >= 0; // NaN if not of numbers
  const are = (list, isOne) => Array.isArray(list) && list.every(isOne);
  const isGroup = (group) => are(group?.weights, isSpec) && are(group.paths, isText);
  return json?.modelTopology && are(json.weightsManifest, isGroup) && are(layersOf(json), Boolean);
}

const layersOf = ({ modelTopology }) => (modelTopology.model_config ?? modelTopology).config?.layers ?? [];

/** Convolutions that are no Conv3XC: in the training form too they are one. */
export const PLAIN_LAYERS = ['conv_cat', 'upsampler'];

/**
 * Every trainable weight in forward order.
 * @param {Pick<SpanConfig, 'scale' | 'channels' | 'blocks' | 'inChannels' | 'outChannels'>} config
 * @returns {Array<{layer: string, weight: 'kernel' | 'bias', shape: number[], size: number, offset: number}>}
 */
export function weightTable({ scale, channels: c, blocks, inChannels = 3, outChannels = 3 }) {
  /** @type {Array<[string, number[]]>} */
  const kernels = [['conv_1', [3, 3, inChannels, c]]];
  for (let i = 1; i <= blocks; i++) for (const j of [1, 2, 3]) kernels.push([`block_${i}_c${j}`, [3, 3, c, c]]);
  kernels.push(['conv_2', [3, 3, c, c]], ['conv_cat', [1, 1, 4 * c, c]]);
  kernels.push(['upsampler', [3, 3, c, outChannels * scale * scale]]);
  let offset = 0;
  const place = (layer, weight, shape) => {
    const size = shape.reduce((a, b) => a * b, 1);
    offset += size;
    return { layer, weight, shape, size, offset: offset - size };
  };
  return kernels.flatMap(([layer, shape]) => [place(layer, 'kernel', shape), place(layer, 'bias', shape.slice(3))]);
}

/**
 * Read the network's configuration off its tensors and layers, as `config_of` does in Python.
 * @param {ModelArtifacts} artifacts
 * @returns {SpanConfig}
 * @throws {ModelError} also for a weight that is missing, has another shape or is not a number
 */
export function readConfig(artifacts) {
  const weights = storedWeights(artifacts);
  const missing = ['conv_1', 'block_1_c1', 'conv_2', 'conv_cat', 'upsampler'].filter(
    (name) => !weights.has(`${name}/kernel`),
  );
  if (missing.length) {
    throw new ModelError(
      `Expected an exported SPAN network; this model has no ${missing.join(', ')}. Write one with span-export.`,
    );
  }
  const outputs = (layer) => weights.get(`${layer}/kernel`)?.shape[3] ?? 0;
  const channels = outputs('conv_1');
  const inChannels = weights.get('conv_1/kernel')?.shape[2] ?? 3;
  const { scale, outChannels } = upsampling(inChannels, outputs('upsampler'));
  const inner = [...weights.keys()].filter((name) => /^block_\d+_c\d\/kernel$/.test(name));
  const blocks = Math.ceil(inner.length / 3);
  const span = artifacts.userDefinedMetadata?.span ?? {};
  const layers = layersOf(artifacts);
  const official = layers.some((layer) => layer.config?.name === 'block_1_sigmoid');
  checkSlopes(layers);
  checkWeights(weights, { scale, channels, blocks, inChannels, outChannels });
  const normalize = readNormalization(weights, inChannels);
  return {
    scale,
    channels,
    blocks,
    variant: official ? 'official' : 'span',
    ...normalize,
    inChannels,
    outChannels,
    halo: haloOf({ blocks }),
    golden: span.golden,
  };
}

/** Scale and output channels of a network by its last convolution, as `upsampling` does in Python. */
function upsampling(inChannels, filters) {
  for (const [given, outChannels] of CHANNEL_PAIRS) {
    const scale = Math.round(Math.sqrt(filters / outChannels));
    const fits = scale >= 1 && scale <= MAX_SCALE && outChannels * scale ** 2 === filters;
    if (given === inChannels && fits) return { scale, outChannels };
  }
  throw new ModelError(
    `Expected a network that enlarges grey, RGB or RGBA 1 to ${MAX_SCALE} times, found ${inChannels} input channels and ${filters} sub-pixels.`,
  );
}

/**
 * Refuse a network that can be run but not trained.
 * @param {Pick<SpanConfig, 'scale' | 'inChannels' | 'outChannels'>} config
 * @throws {ModelError}
 */
export function requireTrainable({ scale, inChannels = 3, outChannels = 3 }) {
  if (inChannels === 3 && outChannels === 3 && SCALES.includes(scale)) return;
  throw new ModelError(
    `Expected a network from RGB to RGB that enlarges ${SCALES.join(', ')} times, found one from ${inChannels} to ${outChannels} channels of scale ${scale}; it runs, but cannot be trained.`,
  );
}

/** Only one slope is SPAN's, and `network.js` computes no other. */
function checkSlopes(layers) {
  for (const { class_name: kind, config } of layers) {
    const slope = config?.alpha ?? config?.negative_slope ?? LEAKY_SLOPE;
    if (kind === 'LeakyReLU' && !(Math.abs(slope - LEAKY_SLOPE) <= 1e-6)) {
      const found = `found ${slope} in ${config.name}`;
      throw new ModelError(
        `Expected LeakyReLU with slope ${LEAKY_SLOPE}, ${found}; use a model that span-export wrote.`,
      );
    }
  }
}

/** Each backend would fail in its own words, or paint black. */
function checkWeights(weights, config) {
  for (const { layer, weight, shape } of weightTable(config)) {
    const name = `${layer}/${weight}`;
    const here = weights.get(name)?.shape.join('×');
    const problem = here === undefined ? 'is missing' : `has shape ${here}`;
    if (here !== shape.join('×')) {
      throw new ModelError(
        `This model is not the SPAN network it seems to be: ${name} ${problem}, expected ${shape.join('×')}.`,
      );
    }
    if (!isNumeric(weights.get(name))) {
      throw new ModelError(`${name} of this model holds values that are not numbers; use another one.`);
    }
  }
}

/** Whole numbers always are. */
function isNumeric({ dtype, data }) {
  if (dtype === 'float32') return new Float32Array(data()).every(Number.isFinite);
  return dtype !== 'float16' || new Uint16Array(data()).every((bits) => (bits & 0x7c00) !== 0x7c00);
}

/** The frozen BatchNormalization at the input: mean and variance, float32 in every export. */
function readNormalization(weights, inChannels) {
  /** @type {{imgRange: number, rgbMean: number[]}} */
  const plain = { imgRange: 1, rgbMean: Array(inChannels).fill(0) };
  for (const [name, { dtype, data }] of weights) {
    if (name.startsWith('normalize/') && dtype !== 'float32') {
      const advice = 'write the model with span-export, which does not quantise it';
      throw new ModelError(`Expected ${name} in float32, found ${dtype}; ${advice}.`);
    }
    const values = () => new Float32Array(data());
    if (name === 'normalize/moving_mean') plain.rgbMean = [...values()];
    if (name === 'normalize/moving_variance') plain.imgRange = Number((values()[0] ** -0.5).toPrecision(6));
  }
  return plain;
}

/** @returns {{height, width, input: Uint8Array, output: Float32Array, tolerance: number}} a golden's arrays */
export function decodeGolden({ inputShape, input, output, tolerance }) {
  const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  return {
    height: inputShape[0],
    width: inputShape[1],
    input: bytes(input),
    output: new Float32Array(bytes(output).buffer),
    tolerance,
  };
}
