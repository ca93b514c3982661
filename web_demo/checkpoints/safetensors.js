/** The `.safetensors` format: named tensors behind a JSON header. Source: huggingface.co/docs/safetensors. */
import { ModelError } from '../network/model.js';
import { fromHalf } from '../network/weights.js';

/** Bytes of a header; a network's has some ten thousand. */
const MAX_HEADER = 1e7;
/** By type: bytes of a value, and how it is read. */
const TYPES = {
  F64: { bytes: 8, decode: (data) => Float32Array.from(new Float64Array(data)) },
  F32: { bytes: 4, decode: (data) => new Float32Array(data) },
  F16: { bytes: 2, decode: (data) => Float32Array.from(new Uint16Array(data), fromHalf) },
  BF16: { bytes: 2, decode: fromBfloat },
};

/** @typedef {{shape: number[], values: () => Float32Array}} Tensor */

/**
 * Read a file.
 * @param {ArrayBuffer} file
 * @param {string} name of it, for messages
 * @returns {{tensors: Map<string, Tensor>, stated: Record<string, string>}} `stated`: texts that lie beside the tensors
 * @throws {ModelError} it is no such file, or damaged
 */
export function readSafetensors(file, name) {
  const damaged = (reason) =>
    new ModelError(`${name} is no .safetensors file or is damaged (${reason}); export or download it again.`);
  const length = file.byteLength < 8 ? 0 : Number(new DataView(file).getBigUint64(0, true));
  if (length < 2 || length > Math.min(MAX_HEADER, file.byteLength - 8)) throw damaged('its header has no valid length');
  /** @type {Record<string, any>} */
  let header;
  try {
    header = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(new Uint8Array(file, 8, length)));
  } catch {
    throw damaged('its header is not JSON');
  }
  const { __metadata__: stated = {}, ...entries } = header;
  const data = file.slice(8 + length);
  const tensors = new Map();
  for (const [key, entry] of Object.entries(entries)) {
    const { dtype, shape, data_offsets: offsets } = entry ?? {};
    const isCount = (value) => Number.isSafeInteger(value) && value >= 0;
    const isWhole = Array.isArray(shape) && shape.every(isCount) && Array.isArray(offsets) && offsets.every(isCount);
    if (!isWhole) throw damaged(`${key} has no shape or place`);
    const [start, stop] = offsets;
    const type = TYPES[dtype];
    const size = shape.reduce((product, side) => product * side, 1);
    if (type && (stop > data.byteLength || stop - start !== size * type.bytes)) throw damaged(`${key} does not fit`);
    const values = () => {
      if (type) return type.decode(data.slice(start, stop));
      throw new ModelError(`${key} of ${name} is of type ${dtype}; expected ${Object.keys(TYPES).join(', ')}.`);
    };
    tensors.set(key, { shape, values });
  }
  return { tensors, stated };
}

/**
 * Write a file.
 * @param {Map<string, import('./authors.js').Tensor>} tensors
 * @param {Record<string, string>} stated texts that lie beside them
 * @returns {BlobPart[]} its bytes
 */
export function writeSafetensors(tensors, stated) {
  let end = 0;
  const entries = [...tensors].map(([name, { shape, values }]) => {
    const start = end;
    end += values.byteLength;
    return [name, { dtype: 'F32', shape, data_offsets: [start, end] }];
  });
  const header = new TextEncoder().encode(JSON.stringify({ __metadata__: stated, ...Object.fromEntries(entries) }));
  const padding = -header.length & 7; // so that the values begin where float64 may
  const length = new DataView(new ArrayBuffer(8));
  length.setBigUint64(0, BigInt(header.length + padding), true);
  const values = [...tensors.values()].map((tensor) => /** @type {Float32Array<ArrayBuffer>} */ (tensor.values));
  return [length, header, ' '.repeat(padding), ...values];
}

/** The upper half of a float. */
function fromBfloat(data) {
  const halves = new Uint16Array(data);
  return new Float32Array(Uint32Array.from(halves, (half) => half << 16).buffer);
}
