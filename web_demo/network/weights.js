/** A model's weights: as they are stored, and as numbers. Without TensorFlow.js. */

/**
 * @typedef {object} WeightSpec what a stored weight is; its values lie in `weightData` in the same order
 * @property {string} name
 * @property {number[]} shape
 * @property {'float32' | 'int32' | 'bool' | 'string' | 'complex64'} dtype
 * @property {{dtype: 'float16' | 'uint8' | 'uint16', scale?: number, min?: number}} [quantization]
 */

const BYTES = { float32: 4, int32: 4, float16: 2, uint16: 2, uint8: 1, bool: 1 };
/** @param {WeightSpec} spec */
const storedType = ({ dtype, quantization }) => quantization?.dtype ?? dtype;
/** @param {WeightSpec} spec @returns {number} that its values take; NaN for what is no number */
export const byteLength = (spec) => spec.shape.reduce((n, d) => n * d, 1) * BYTES[storedType(spec)];

/**
 * @param {Pick<import('./model.js').ModelArtifacts, 'weightSpecs' | 'weightData'>} artifacts
 * @returns {Map<string, {shape: number[], dtype: string, quantization?: WeightSpec['quantization'],
 *   data: () => ArrayBuffer}>} by name, as stored
 */
export function storedWeights({ weightSpecs, weightData }) {
  let end = 0;
  /** @type {Array<[string, any]>} */
  const entries = weightSpecs.map((spec) => {
    const start = end;
    end += byteLength(spec);
    const data = () => weightData.slice(start, start + byteLength(spec));
    const { name, shape, quantization } = spec;
    return [name, { shape, dtype: storedType(spec), quantization, data }];
  });
  return new Map(entries);
}

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

/** @param {number} value @returns {number} the bits of the nearest half float; of two as near, the even one */
export function toHalf(value) {
  const size = Math.abs(value);
  const sign = value < 0 ? 0x8000 : 0;
  if (size >= 65520) return sign | 0x7c00;
  const exponent = Math.max(-14, Math.floor(Math.log2(size))); // below that, all have the same distance
  const steps = size * 2 ** (10 - exponent);
  const whole = Math.floor(steps);
  const isUp = steps - whole > 0.5 || (steps - whole === 0.5 && whole % 2 === 1);
  return sign | ((exponent + 14) * 1024 + whole + Number(isUp));
}
