/** What the user can set: defaults, limits and the sentences about values outside of them. */

import { BLOCKS, CHANNELS, DEFAULTS as RECIPE, MIN_PATCH_SIZE } from '../constants.js';

/**
 * @typedef {object} Settings
 * @property {number} epochs
 * @property {number} stepsPerEpoch
 * @property {number} batch patches per step
 * @property {number} patch side of an LR patch in pixels
 * @property {number} rate initial learning rate
 * @property {number[]} halveAt epochs after which the rate is halved
 * @property {number} weightDecay
 * @property {number} vggWeight weight of the perceptual part of the loss
 * @property {number} seed
 */

/**
 * @typedef {object} Field
 * @property {keyof Settings} key
 * @property {string} label
 * @property {number | number[]} value by default
 * @property {number} [min]
 * @property {number} [max]
 * @property {boolean} [whole] whether it is a whole number
 * @property {boolean} [list] whether it is a list of whole numbers
 * @property {string} [unit]
 */

/** @type {Field[]} in the order of the form; the defaults are those of `span-train` */
export const FIELDS = [
  { key: 'epochs', label: 'Epochs', value: RECIPE.epochs, min: 1, max: 100000, whole: true },
  { key: 'stepsPerEpoch', label: 'Steps per epoch', value: RECIPE.steps_per_epoch, min: 1, max: 100000, whole: true },
  { key: 'batch', label: 'Batch size', value: RECIPE.batch_size, min: 1, max: 64, whole: true, unit: 'patches' },
  {
    key: 'patch',
    label: 'Patch',
    value: RECIPE.patch_size,
    min: MIN_PATCH_SIZE,
    max: 256,
    whole: true,
    unit: 'LR pixels',
  },
  { key: 'rate', label: 'Learning rate', value: RECIPE.learning_rate, min: 1e-8, max: 0.1 },
  { key: 'weightDecay', label: 'Weight decay', value: RECIPE.weight_decay, min: 0, max: 1 },
  { key: 'halveAt', label: 'Halve the rate at epochs', value: RECIPE.rate_epochs, list: true },
  { key: 'vggWeight', label: 'VGG weight', value: RECIPE.vgg_weight, min: 0, max: 10 },
  { key: 'seed', label: 'Seed', value: RECIPE.seed, min: 0, max: 4294967295, whole: true },
];

export const DEFAULTS = /** @type {Settings} */ (Object.fromEntries(FIELDS.map(({ key, value }) => [key, value])));

/**
 * How much to train, as people choose it: settings, and the network where it begins from scratch.
 * @type {Record<'quick' | 'usual' | 'long', {label: string, hint: string, hours: number, settings: Partial<Settings>,
 *   network: {scale: number, channels: number, blocks: number}}>} `hours`: the page begins with a size that takes no more
 */
export const SIZES = {
  quick: {
    label: 'Quick',
    hint: 'A small ×2 network: minutes, also without a GPU.',
    hours: Infinity,
    settings: { epochs: 20, stepsPerEpoch: 100, patch: 32, rate: 1e-3, halveAt: [10, 15, 18], vggWeight: 0 },
    network: { scale: 2, channels: 16, blocks: 2 },
  },
  usual: {
    label: 'Usual',
    hint: 'Shows what the network can do: an hour or so on a GPU.',
    hours: 2,
    settings: { epochs: 100, stepsPerEpoch: 100, rate: 2e-4, halveAt: [50, 70, 85, 95] },
    network: { scale: 2, channels: 28, blocks: 6 },
  },
  long: {
    label: 'Long',
    hint: 'The recipe of span-train: hours on a GPU.',
    hours: 12,
    settings: {},
    network: { scale: 4, channels: CHANNELS, blocks: BLOCKS },
  },
};

/** LR pixels in a batch: beyond, the activations of 48 channels do not fit into the memory of usual GPUs. */
const MAX_BATCH_PIXELS = 4 * 256 * 256;

/**
 * @param {Record<string, string | number | number[]>} values as typed
 * @returns {{settings: Settings, problems: Record<string, string>}} a sentence per wrong field
 */
export function validate(values) {
  const settings = /** @type {any} */ ({});
  /** @type {Record<string, string>} */
  const problems = {};
  for (const field of FIELDS) {
    /** @type {any} */
    const parsed = field.list ? parseList(values[field.key]) : parseNumber(values[field.key]);
    const problem = field.list ? listProblem(field, parsed) : numberProblem(field, parsed, values[field.key]);
    if (problem) problems[field.key] = problem;
    else settings[field.key] = parsed;
  }
  const { patch, batch } = settings;
  if (patch ** 2 * batch > MAX_BATCH_PIXELS) {
    const largest = Math.floor(MAX_BATCH_PIXELS / patch ** 2);
    problems.batch = `${batch} patches of ${patch} pixels do not fit into usual graphics memory; with this patch take ${largest} or fewer.`;
  }
  return { settings, problems };
}

const parseNumber = (value) => (String(value ?? '').trim() === '' ? NaN : Number(value));

const parseList = (value) =>
  (Array.isArray(value) ? value : String(value ?? '').split(/[\s,;]+/)).filter((part) => part !== '').map(Number);

/** @param {Field} field @param {number} value @returns {string} empty if there is none */
function numberProblem({ label, min = -Infinity, max = Infinity, whole }, value, typed) {
  const range = `from ${min} to ${max}`;
  if (!Number.isFinite(value)) return `${label} must be a number ${range}, found “${typed ?? ''}”.`;
  if (whole && !Number.isInteger(value)) return `${label} must be a whole number ${range}, found ${value}.`;
  return value < min || value > max ? `${label} must be ${range}, found ${value}.` : '';
}

function listProblem({ label }, values) {
  const ascending = values.every(
    (value, i) => Number.isInteger(value) && value > (values[i - 1] ?? 0) && value <= 100000,
  );
  return ascending
    ? ''
    : `“${label}” must be whole numbers in ascending order, such as 200, 300; leave it empty for a constant rate.`;
}

/** Learning rate at an epoch, counted from 0: halved when each epoch of `halveAt` has been reached. */
export function rateAt({ rate, halveAt }, epoch) {
  return rate * 0.5 ** halveAt.filter((boundary) => epoch >= boundary).length;
}
