/**
 * Re-parameterisation in both directions, as `span_keras/network/reparam.py` does it: four convolutions to one, and one back
 * to four.
 */

import { uniformStream } from '../network/random.js';

/**
 * @typedef {object} Expanded the weights of a training form's convolution, kernels with inputs before outputs
 * @property {Float32Array} skip (c, d)
 * @property {Float32Array} skipBias (d)
 * @property {Float32Array} expand (c, 2c)
 * @property {Float32Array} expandBias (2c)
 * @property {Float32Array} conv (3, 3, 2c, 2d)
 * @property {Float32Array} convBias (2d)
 * @property {Float32Array} project (2d, d)
 * @property {Float32Array} projectBias (d)
 */

/**
 * Compose them into the one 3×3 convolution that they are, in float64.
 * @param {Expanded} weights
 * @returns {{kernel: Float32Array, bias: Float32Array}} (3, 3, c, d) and (d)
 */
export function fuse({ skip, skipBias, expand, expandBias, conv, convBias, project, projectBias }) {
  const d = skipBias.length;
  const c = skip.length / d;
  const [wide, hidden] = [expandBias.length, convBias.length];
  const kernel = new Float64Array(9 * c * d);
  const bias = Float64Array.from(projectBias, (value, i) => value + skipBias[i]);
  addProduct(bias, convBias, project, 1, hidden, d);
  for (let tap = 0; tap < 9; tap++) {
    const inner = new Float64Array(wide * d); // conv · project at this tap
    addProduct(inner, conv.subarray(tap * wide * hidden, (tap + 1) * wide * hidden), project, wide, hidden, d);
    addProduct(kernel.subarray(tap * c * d, (tap + 1) * c * d), expand, inner, c, wide, d);
    // Zero padding comes before the first 1×1, so padded pixels carry its bias too: all nine taps see it.
    addProduct(bias, expandBias, inner, 1, wide, d);
  }
  skip.forEach((value, i) => (kernel[4 * c * d + i] += value)); // in the middle
  return { kernel: Float32Array.from(kernel), bias: Float32Array.from(bias) };
}

/** out (n, d) += a (n, m) · b (m, d) */
function addProduct(out, a, b, n, m, d) {
  for (let i = 0; i < n; i++) {
    for (let k = 0; k < m; k++) {
      const factor = a[i * m + k];
      for (let j = 0; j < d; j++) out[i * d + j] += factor * b[k * d + j];
    }
  }
}

/**
 * Shapes of the kernels of a training form's convolution from c to d channels; a bias has its kernel's outputs.
 * @param {number} c
 * @param {number} d
 * @returns {Record<'skip' | 'expand' | 'conv' | 'project', number[]>} in the order in which they compute
 */
export const expandedShapes = (c, d) => ({
  skip: [1, 1, c, d],
  expand: [1, 1, c, 2 * c],
  conv: [3, 3, 2 * c, 2 * d],
  project: [1, 1, 2 * d, d],
});

/**
 * A trainable form that computes exactly the given 3×3 convolution, up to float32's rounding.
 *
 * Half of the hidden channels carry the kernel unchanged. The other half is random behind a projection of zeros, so every
 * weight can learn.
 * @param {Float32Array} kernel (3, 3, c, d)
 * @param {Float32Array} bias (d)
 * @returns {Expanded}
 */
export function expandKernel(kernel, bias) {
  const d = bias.length;
  const c = kernel.length / (9 * d);
  const uniform = uniformStream(0);
  const random = (fanIn, fanOut) =>
    Float32Array.from({ length: fanIn * fanOut }, () => (2 * uniform() - 1) / Math.sqrt(fanIn));
  const skip = random(c, d);
  const first = random(c, 2 * c);
  const conv = random(9 * 2 * c, 2 * d);
  const project = new Float32Array(2 * d * d);
  for (let i = 0; i < c; i++) for (let j = 0; j < c; j++) first[i * 2 * c + j] = Number(i === j);
  for (let tap = 0; tap < 9; tap++) {
    for (let i = 0; i < 2 * c; i++) {
      for (let j = 0; j < d; j++) {
        const inMiddle = tap === 4 ? skip[i * d + j] : 0; // the skip adds it again
        conv[(tap * 2 * c + i) * 2 * d + j] = i < c ? kernel[(tap * c + i) * d + j] - inMiddle : 0;
      }
    }
  }
  for (let j = 0; j < d; j++) project[j * d + j] = 1;
  return {
    skip,
    skipBias: new Float32Array(d),
    expand: first,
    expandBias: new Float32Array(2 * c),
    conv,
    convBias: new Float32Array(2 * d),
    project,
    projectBias: Float32Array.from(bias),
  };
}
