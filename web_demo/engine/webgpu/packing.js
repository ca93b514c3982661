/** The order of weights that the kernels of `shaders/` read: quads of output channels, padded with zeros. */
import { toHalf } from '../../network/weights.js';
import { quadsOf, sliceQuads } from './shaders/source.js';

/** @typedef {import('./shaders/source.js').Division} Division */
/**
 * @typedef {object} Convolution weights of one convolution, as `weights.js` makes them
 * @property {Float32Array} kernel (3, 3, inputs, outputs)
 * @property {Float32Array} bias (outputs)
 * @property {number} inputs
 * @property {number} outputs
 * @property {Float32Array[]} [merged] kernels (inputs, outputs) of further inputs, in the order of the bindings
 */

/**
 * @param {Convolution} convolution
 * @param {Division} division of its output channels
 * @returns {Float32Array}
 */
export function packBias({ bias }, division) {
  const packed = new Float32Array(division.slices * sliceQuads(division) * 4);
  packed.set(bias);
  return packed;
}

/**
 * @param {Convolution} convolution
 * @param {import('./shaders/source.js').Kernel} kernel that will read them
 * @returns {Float32Array | Uint16Array} the latter are halves
 */
export function packKernel(convolution, { order, division, block = 0 }) {
  if (order === 'matrix') return packMatrix(convolution, division, block);
  return { pixels: packPixels, direct: packDirect, winograd: packWinograd }[order](convolution, division);
}

/** (slice, tap, colour, channel) */
function packPixels({ kernel, outputs }, division) {
  return join(division, 27, outputs, (row) => kernel.subarray(row * outputs, (row + 1) * outputs));
}

/**
 * (slice, quad of inputs, tap, channel of the quad, output); then (slice, input, channel, output) of those merged.
 * @param {Convolution} convolution
 * @param {Division} division
 */
function packDirect({ kernel, inputs, outputs, merged = [] }, division) {
  const quads = quadsOf(inputs);
  const rowOf = (values, input, tap, channels) => {
    const from = (tap * channels + input) * outputs;
    return input < channels ? values.subarray(from, from + outputs) : null;
  };
  const main = join(division, quads * 36, outputs, (row) => {
    const [quad, tap, lane] = [Math.floor(row / 36), Math.floor(row / 4) % 9, row % 4];
    return rowOf(kernel, quad * 4 + lane, tap, inputs);
  });
  const extra = join(division, merged.length * quads * 4, outputs, (row) => {
    return rowOf(merged[Math.floor(row / (4 * quads))], row % (4 * quads), 0, inputs);
  });
  return concat(main, extra);
}

/** (slice, quad of inputs, position, channel of the quad, output) */
function packWinograd({ kernel, inputs, outputs }, division) {
  const transformed = transform(kernel, inputs, outputs);
  return join(division, quadsOf(inputs) * 64, outputs, (row) => {
    const [quad, position, lane] = [Math.floor(row / 64), Math.floor(row / 4) % 16, row % 4];
    const input = quad * 4 + lane;
    const from = (position * inputs + input) * outputs;
    return input < inputs ? transformed.subarray(from, from + outputs) : null;
  });
}

/**
 * (slice, block of inputs, column, row, block of outputs, input, output); then (slice, input, block of inputs, block of
 * outputs, input of the block, output) of those merged.
 * @param {Convolution} convolution
 * @param {Division} division
 * @param {number} block channels
 */
function packMatrix({ kernel, inputs, outputs, merged = [] }, division, block) {
  const inBlocks = Math.ceil(inputs / block);
  const width = sliceQuads(division) * 4;
  const packed = new Uint16Array(division.slices * width * inBlocks * block * (9 + merged.length));
  let at = 0;
  /** The blocks of a slice's outputs for a block of inputs, from the values of one tap. */
  const put = (values, slice, k) => {
    for (let first = slice * width; first < (slice + 1) * width; first += block) {
      for (let input = k * block; input < (k + 1) * block; input++) {
        for (let output = first; output < first + block; output++) {
          const exists = input < inputs && output < outputs;
          packed[at++] = exists ? toHalf(values[input * outputs + output]) : 0;
        }
      }
    }
  };
  const tap = (row, column) => kernel.subarray((row * 3 + column) * inputs * outputs);
  for (let slice = 0; slice < division.slices; slice++) {
    for (let k = 0; k < inBlocks; k++) {
      for (let i = 0; i < 9; i++) put(tap(i % 3, Math.floor(i / 3)), slice, k);
    }
  }
  for (let slice = 0; slice < division.slices; slice++) {
    for (const values of merged) {
      for (let k = 0; k < inBlocks; k++) put(values, slice, k);
    }
  }
  return packed;
}

/** G of F(2×2, 3×3). */
const G = [
  [1, 0, 0],
  [0.5, 0.5, 0.5],
  [0.5, -0.5, 0.5],
  [0, 0, 1],
];

/** G · kernel · Gᵀ of every pair of channels: (16, inputs, outputs). */
function transform(kernel, inputs, outputs) {
  const pairs = inputs * outputs;
  const transformed = new Float32Array(16 * pairs);
  for (let position = 0; position < 16; position++) {
    const factors = Array.from({ length: 9 }, (_, tap) => {
      return G[position >> 2][Math.floor(tap / 3)] * G[position & 3][tap % 3];
    });
    for (let pair = 0; pair < pairs; pair++) {
      let sum = 0;
      for (let tap = 0; tap < 9; tap++) sum += factors[tap] * kernel[tap * pairs + pair];
      transformed[position * pairs + pair] = sum;
    }
  }
  return transformed;
}

/**
 * Lay out rows of output channels, each slice's part of all of them after another's.
 * @param {Division} division
 * @param {number} rows
 * @param {number} outputs
 * @param {(row: number) => Float32Array | null} rowAt null is a row of zeros
 */
function join(division, rows, outputs, rowAt) {
  const width = sliceQuads(division) * 4;
  const packed = new Float32Array(division.slices * rows * width);
  for (let row = 0; row < rows; row++) {
    const values = rowAt(row);
    if (!values) continue;
    for (let slice = 0; slice < division.slices; slice++) {
      const part = values.subarray(slice * width, Math.min(outputs, (slice + 1) * width));
      packed.set(part, (slice * rows + row) * width);
    }
  }
  return packed;
}

function concat(a, b) {
  const both = new Float32Array(a.length + b.length);
  both.set(a);
  both.set(b, a.length);
  return both;
}
