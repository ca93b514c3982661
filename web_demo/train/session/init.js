/**
 * A start from which SPAN learns: layer-sequential scaling on synthetic images, as `span_keras/network/init.py` does it.
 *
 * Every SPAB multiplies its features by sym(o3). If o3 is tiny the block passes almost nothing on and gets almost no
 * gradient; if it is large, activations grow from block to block. So every convolution's output is given a chosen
 * standard deviation, one layer after the other in forward order.
 *
 * Source: "All you need is a good init" (LSUV), Mishkin & Matas, ICLR 2016.
 */

import {
  ATTENTION_STD,
  FEATURE_STD,
  NOISE_MEAN,
  NOISE_MIX,
  NOISE_SLOPE,
  NOISE_STD,
  OUTPUT_STD,
  REPCONV_GAIN,
} from '../../constants.js';
import { PLAIN_LAYERS, weightTable } from '../../network/model.js';
import { buildModel, weightCount } from './layers-model.js';
import { normalStream, uniformStream } from '../../network/random.js';

/**
 * Weights of a new network.
 * @param {Tf} tf
 * @param {import('./layers-model.js').NetworkConfig} config
 * @param {number} seed
 * @returns {Promise<Float32Array>} in the order of `weightTable`
 */
export async function initialise(tf, config, seed) {
  const uniform = uniformStream(seed, 1);
  const parameters = new Float32Array(weightCount(config));
  for (const { layer, weight, shape, offset } of weightTable(config)) {
    if (weight === 'bias') continue;
    parameters.set(
      PLAIN_LAYERS.includes(layer) ? glorot(shape, uniform) : conv3xc(shape[2], shape[3], uniform),
      offset,
    );
  }
  const model = buildModel(tf, config);
  const images = tf.tensor4d(naturalNoise(4, 32, seed), [4, 32, 32, 3]);
  const outputs = new Map();
  try {
    for (const layer of model.layers) {
      const inputs = layer.inboundNodes[0].inboundLayers.map(({ name }) => outputs.get(name));
      if (!inputs.length) outputs.set(layer.name, images);
      else outputs.set(layer.name, await scaledOutput(tf, layer, inputs, config, parameters));
    }
  } finally {
    model.dispose();
    tf.dispose([...outputs.values()]);
  }
  return parameters;
}

/** Give a layer its weights, scaled where it is a Conv3XC (in `parameters` too), and run it. */
async function scaledOutput(tf, layer, inputs, config, parameters) {
  const own = weightTable(config).filter((entry) => entry.layer === layer.name);
  tf.tidy(() => {
    const values = own.map(({ shape, size, offset }) => tf.tensor(parameters.subarray(offset, offset + size), shape));
    if (own.length) layer.setWeights(values);
  });
  const output = tf.tidy(() => layer.apply(inputs.length === 1 ? inputs[0] : inputs));
  const target = targetDeviation(layer.name, config.variant);
  if (!own.length || !target) return output;
  const variance = tf.tidy(() => tf.moments(output).variance);
  const factor = target / Math.sqrt((await variance.data())[0]);
  const [kernel, bias] = own; // the bias is zero, so scaling the kernel scales the output
  for (let i = kernel.offset; i < kernel.offset + kernel.size; i++) parameters[i] *= factor;
  if (layer.name === 'upsampler') parameters.fill(0.5, bias.offset, bias.offset + bias.size);
  const scaled = tf.tidy(() => tf.mul(output, factor));
  tf.dispose([output, variance]);
  return scaled;
}

function targetDeviation(name, variant) {
  if (name === 'upsampler') return OUTPUT_STD;
  if (name === 'conv_cat') return null;
  return name.endsWith('_c3') ? ATTENTION_STD[variant] : FEATURE_STD;
}

/** Keras's default kernel initialiser, for what is no Conv3XC. */
function glorot(shape, uniform) {
  const [h, w, c, d] = shape;
  const limit = Math.sqrt(6 / (h * w * (c + d)));
  return Float32Array.from({ length: h * w * c * d }, () => (2 * uniform() - 1) * limit);
}

/** The 3×3 kernel (3, 3, c, d) of a random Conv3XC: 1×1, 3×3 and 1×1 composed, plus the 1×1 skip. */
function conv3xc(c, d, uniform) {
  const random = (fanIn, fanOut) =>
    Float64Array.from({ length: fanIn * fanOut }, () => (2 * uniform() - 1) / Math.sqrt(fanIn));
  const wideC = REPCONV_GAIN * c;
  const wideD = REPCONV_GAIN * d;
  const skip = random(c, d);
  const expand = random(c, wideC);
  const middle = random(9 * wideC, wideD);
  const project = random(wideD, d);
  const kernel = new Float32Array(9 * c * d);
  for (let tap = 0; tap < 9; tap++) {
    const inner = multiply(expand, middle.subarray(tap * wideC * wideD, (tap + 1) * wideC * wideD), c, wideC, wideD);
    const outer = multiply(inner, project, c, wideD, d);
    for (let i = 0; i < c * d; i++) kernel[tap * c * d + i] = outer[i] + (tap === 4 ? skip[i] : 0);
  }
  return kernel;
}

/** (n, k) @ (k, m) */
function multiply(a, b, n, k, m) {
  const out = new Float64Array(n * m);
  for (let i = 0; i < n; i++) {
    for (let j = 0; j < k; j++) {
      const factor = a[i * k + j];
      for (let l = 0; l < m; l++) out[i * m + l] += factor * b[j * m + l];
    }
  }
  return out;
}

/**
 * Noise images with the second-order statistics of photographs.
 * @returns {Float32Array} (count, size, size, 3) in [0, 1], mean about 0.45, standard deviation about 0.27
 */
export function naturalNoise(count, size, seed) {
  const normal = normalStream(uniformStream(seed, 2));
  const images = new Float32Array(count * size * size * 3);
  for (let n = 0; n < count; n++) {
    const pink = [0, 1, 2].map(() => pinkNoise(size, normal));
    const all = pink.reduce((sum, plane) => sum + plane.reduce((s, x) => s + x * x, 0), 0);
    const gain = NOISE_STD / Math.sqrt(all / (3 * size * size));
    for (let i = 0; i < size * size; i++) {
      for (let c = 0; c < 3; c++) {
        const value = NOISE_MEAN + gain * pink.reduce((sum, plane, k) => sum + NOISE_MIX[c][k] * plane[i], 0);
        images[(n * size * size + i) * 3 + c] = Math.min(Math.max(value, 0), 1);
      }
    }
  }
  return images;
}

/** (size, size) noise with amplitude f^NOISE_SLOPE: an inverse DFT, real part. */
function pinkNoise(size, normal) {
  const real = new Float64Array(size * size);
  const imaginary = new Float64Array(size * size);
  const frequency = (k) => (k <= size / 2 ? k : k - size) / size;
  for (let y = 0; y < size; y++) {
    for (let x = 0; x < size; x++) {
      const f = Math.hypot(frequency(y), frequency(x)) || 1 / size;
      real[y * size + x] = normal() * f ** NOISE_SLOPE;
      imaginary[y * size + x] = normal() * f ** NOISE_SLOPE;
    }
  }
  const cos = Float64Array.from({ length: size }, (_, k) => Math.cos((2 * Math.PI * k) / size));
  const sin = Float64Array.from({ length: size }, (_, k) => Math.sin((2 * Math.PI * k) / size));
  const rowsReal = new Float64Array(size * size);
  const rowsImaginary = new Float64Array(size * size);
  for (let y = 0; y < size; y++) {
    for (let x = 0; x < size; x++) {
      for (let k = 0; k < size; k++) {
        const [c, s] = [cos[(k * x) % size], sin[(k * x) % size]];
        rowsReal[y * size + x] += real[y * size + k] * c - imaginary[y * size + k] * s;
        rowsImaginary[y * size + x] += real[y * size + k] * s + imaginary[y * size + k] * c;
      }
    }
  }
  const noise = new Float64Array(size * size);
  for (let y = 0; y < size; y++) {
    for (let x = 0; x < size; x++) {
      for (let k = 0; k < size; k++) {
        const j = (k * y) % size;
        noise[y * size + x] += rowsReal[k * size + x] * cos[j] - rowsImaginary[k * size + x] * sin[j];
      }
    }
  }
  return noise;
}
