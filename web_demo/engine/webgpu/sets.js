/** The sets of kernels that a network may run on, and which of them a device can hold. */
import { directConvolution } from './shaders/direct.js';
import { firstConvolution } from './shaders/first.js';
import { PLANES } from './shaders/layout.js';
import { layoutFor, matrixConvolution } from './shaders/matrix.js';
import { plainConvolution } from './shaders/plain.js';
import { winogradConvolution } from './shaders/winograd.js';

/** @typedef {import('./shaders/layout.js').Layout} Layout */
/** @typedef {import('./shaders/source.js').Kernel} Kernel */

/**
 * @typedef {object} KernelSet
 * @property {string} name as people read it
 * @property {(options: any) => Kernel} convolution
 * @property {(options: any) => Kernel} merge the same for the one that merges
 * @property {Layout} layout of activations
 * @property {number} [bound] largest error of a value around [0, 1], where that is not the model's own
 */

const DIRECT = { pixels: 4, across: 8, down: 8, quads: [3, 4, 2, 1] };
const DIRECT_SMALL = { pixels: 4, across: 8, down: 4, quads: [3, 4, 2, 1] };
const MANY = [6, 5, 4, 3, 2, 1];

const shaped = (generate, shape) => (options) => generate({ shape, ...options });
const set = (name, convolution, merge = convolution) => ({ name, convolution, merge, layout: PLANES });

/**
 * In f32. The first that fits is taken where nothing was measured: it was good on every size. The next is faster on
 * tiles of 256×256 and more, the third on small ones; those after them fit WebGPU's default limits.
 * @type {KernelSet[]}
 */
export const SETS = [
  set(
    'Winograd 16×8',
    shaped(winogradConvolution, { across: 8, down: 4, units: 4, quads: MANY }),
    shaped(directConvolution, DIRECT),
  ),
  set(
    'Winograd 16×16',
    shaped(winogradConvolution, { across: 8, down: 8, units: 8, quads: MANY }),
    shaped(directConvolution, DIRECT),
  ),
  set(
    'Winograd 8×8',
    shaped(winogradConvolution, { across: 4, down: 4, units: 4, quads: [3, 4, 2, 1] }),
    shaped(directConvolution, DIRECT_SMALL),
  ),
  set('direct 32×8', shaped(directConvolution, DIRECT)),
  set('direct 32×4', shaped(directConvolution, DIRECT_SMALL)),
];

/** Slow on a GPU, but quick to compile and without limits: for software devices, and where no other set is right. */
export const PLAIN = set('plain', plainConvolution);

/** Half a level of 255: what is lost by factors in f16 is seen nowhere. */
const HALF_LEVEL = 0.5 / 255;

/**
 * The sets that compute with factors in f16 on an adapter's matrix units. The first was best on tiles of 256×256 and
 * more, the second on small ones.
 * @param {import('./shaders/matrix.js').Matrix} matrix
 * @returns {KernelSet[]}
 */
export function matrixSets(matrix) {
  return MATRIX_SHAPES.map((shape) => {
    const convolution = (options) => matrixConvolution({ matrix, shape, ...options });
    const name = `matrices ${matrix.pixels * shape.across}×${shape.rows * shape.down}`;
    return { name, convolution, merge: convolution, layout: layoutFor(matrix, shape), bound: HALF_LEVEL };
  });
}

/** @type {import('./shaders/matrix.js').MatrixShape[]} */
const MATRIX_SHAPES = [
  { rows: 4, across: 1, down: 1 },
  { rows: 2, across: 1, down: 1 },
];

/**
 * Generate a set's kernels for a network.
 * @param {KernelSet} set
 * @param {import('../../network/model.js').SpanConfig} config
 * @returns {{first: (source: import('./shaders/first.js').Input) => Kernel, activate: Kernel, attend: Kernel,
 *   merge: Kernel, last: (target: import('./shaders/epilogue.js').Output) => Kernel}}
 */
export function kernelsOf({ convolution, merge, layout }, { channels, variant, scale, imgRange, rgbMean }) {
  const inner = { inputs: channels, outputs: channels, variant };
  return {
    first: (source) => firstConvolution({ source, channels, imgRange, rgbMean, layout }),
    activate: convolution({ ...inner, ending: 'activate' }),
    attend: convolution({ ...inner, ending: 'attend' }),
    merge: merge({ ...inner, ending: 'merge' }),
    last: (target) => convolution({ ...inner, ending: target, outputs: 4 * scale * scale, scale }),
  };
}

/**
 * The sets that a device can hold for a network.
 * @param {KernelSet[]} sets
 * @param {import('../../network/model.js').SpanConfig} config
 * @param {{maxComputeWorkgroupStorageSize: number}} limits of the device
 * @returns {KernelSet[]}
 */
export function fitting(sets, config, limits) {
  return sets.filter((candidate) => {
    const { first, activate, merge, last } = kernelsOf(candidate, config);
    const kernels = [first('bytes'), activate, merge, last('bytes')];
    return kernels.every(({ shared }) => shared <= limits.maxComputeWorkgroupStorageSize);
  });
}
