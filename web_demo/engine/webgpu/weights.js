/** A model's weights in the form that the kernels compute with: decoded, composed, and ordered by pixels at the end. */
import { readWeights } from '../../network/weights.js';

/** @typedef {import('./packing.js').Convolution} Convolution */
/** @typedef {import('../../network/model.js').SpanConfig} SpanConfig */

/**
 * Read the convolutions of a network, in forward order.
 * @param {import('../../network/model.js').ModelArtifacts} artifacts
 * @param {SpanConfig} config
 * @returns {{first: Convolution, blocks: Convolution[][], merge: Convolution, last: Convolution}} `blocks` holds three
 *   convolutions each; `merge` is `conv_cat` with `conv_2` inside; `last` computes pixels
 */
export function convolutionsOf(artifacts, config) {
  const weights = readWeights(artifacts);
  const { channels, scale } = config;
  const read = (name, inputs, outputs) => ({
    kernel: /** @type {Float32Array} */ (weights.get(`${name}/kernel`)),
    bias: /** @type {Float32Array} */ (weights.get(`${name}/bias`)),
    inputs,
    outputs,
  });
  const blocks = Array.from({ length: config.blocks }, (_, i) =>
    [1, 2, 3].map((j) => read(`block_${i + 1}_c${j}`, channels, channels)),
  );
  return {
    first: read('conv_1', 3, channels),
    blocks,
    merge: compose(read('conv_2', channels, channels), read('conv_cat', 4 * channels, channels)),
    last: toPixels(read('upsampler', channels, 3 * scale * scale)),
  };
}

/**
 * `conv_cat(concat(head, conv_2(features), first, activated))` as one 3×3 convolution of the features and a 1×1 of each
 * of the others. It is exact, borders included: the 1×1 is linear and pads nothing.
 * @param {Convolution} tail `conv_2`
 * @param {Convolution} cat `conv_cat`, (1, 1, 4 · channels, channels)
 * @returns {Convolution}
 */
export function compose(tail, cat) {
  const c = cat.outputs;
  const part = (i) => cat.kernel.subarray(i * c * c, (i + 1) * c * c);
  const [head, own, first, activated] = [0, 1, 2, 3].map(part);
  /** The row's product with `own`, in float64. */
  const product = (values, from, out) => {
    for (let q = 0; q < c; q++) {
      const value = values[from + q];
      for (let o = 0; o < c; o++) out[o] += value * own[q * c + o];
    }
    return out;
  };
  const kernel = new Float32Array(9 * c * c);
  for (let row = 0; row < 9 * c; row++) kernel.set(product(tail.kernel, row * c, new Float64Array(c)), row * c);
  const bias = Float32Array.from(product(tail.bias, 0, Float64Array.from(cat.bias)));
  return { kernel, bias, inputs: c, outputs: c, merged: [head, first, activated] };
}

/**
 * Give every pixel of the enlarged pixel a quad of its own: red, green, blue, and 1, which stays 1 unless a value that
 * is not a number came in.
 * @param {Convolution} upsampler its channels are (row, column, colour)
 * @returns {Convolution}
 */
export function toPixels({ kernel, bias, inputs, outputs }) {
  const pixels = outputs / 3;
  const spread = (values, rows, fourth) => {
    const out = new Float32Array(rows * pixels * 4);
    for (let i = 0; i < rows * pixels; i++) out.set([...values.subarray(3 * i, 3 * i + 3), fourth], 4 * i);
    return out;
  };
  return { kernel: spread(kernel, 9 * inputs, 0), bias: spread(bias, 1, 1), inputs, outputs: pixels * 4 };
}
