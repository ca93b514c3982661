/** A model's weights as numbers, without TensorFlow.js. */
import { storedWeights } from './model.js';

/**
 * Decode every weight that is a list of numbers, as `tf.io.decodeWeights` does.
 * @param {Pick<import('./model.js').ModelArtifacts, 'weightSpecs' | 'weightData'>} artifacts
 * @returns {Map<string, Float32Array>} by name
 */
export function readWeights(artifacts) {
  const weights = [...storedWeights(artifacts)];
  return new Map(weights.map(([name, { dtype, quantization, data }]) => [name, DECODERS[dtype](data(), quantization)]));
}

const affine = (values, { scale = 1, min = 0 } = {}) => Float32Array.from(values, (value) => value * scale + min);

const DECODERS = {
  float32: (data) => new Float32Array(data),
  int32: (data) => Float32Array.from(new Int32Array(data)),
  bool: (data) => Float32Array.from(new Uint8Array(data)),
  float16: (data) => Float32Array.from(new Uint16Array(data), fromHalf),
  uint16: (data, quantization) => affine(new Uint16Array(data), quantization),
  uint8: (data, quantization) => affine(new Uint8Array(data), quantization),
};

/** @param {number} bits @returns {number} the value of an IEEE 754 half float */
export function fromHalf(bits) {
  const sign = bits >> 15 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return exponent ? sign * (1 + fraction / 1024) * 2 ** (exponent - 15) : sign * fraction * 2 ** -24;
}
