/**
 * Convolutions and their gradients for TensorFlow.js's WebGPU backend, in place of its own, whose gradient of a filter
 * walks over all pixels in one thread per weight.
 */
import { convolution, filterGradient, total } from './webgpu-shaders.js';

/** Side of a filter that our kernels take. */
const SIZES = [1, 3];

/** Shapes (height, width, inputs, outputs, side of the filter) with which our kernels are checked. */
const TRIALS = [
  [9, 11, 4, 8, 3],
  [5, 9, 7, 3, 1],
];

/** How far our kernels may be off, relative to the largest value. */
const TOLERANCE = 1e-4;

/**
 * Kernels by name: what they compute of a convolution with stride 1 and zero padding.
 * @type {Record<string, {filterShape: (call: any) => number[], run: (call: any) => any}>}
 */
const KERNELS = {
  Conv2D: {
    filterShape: ({ inputs }) => inputs.filter.shape,
    run: ({ inputs: { x, filter }, backend }) =>
      backend.runWebGPUProgram(convolution(x.shape, filter.shape, false), [x, filter], 'float32'),
  },
  Conv2DBackpropInput: {
    filterShape: ({ inputs }) => inputs.filter.shape,
    run: ({ inputs: { dy, filter }, backend }) =>
      backend.runWebGPUProgram(convolution(dy.shape, filter.shape, true), [dy, filter], 'float32'),
  },
  Conv2DBackpropFilter: {
    filterShape: ({ attrs }) => attrs.filterShape,
    run({ inputs: { x, dy }, attrs: { filterShape }, backend }) {
      const parts = backend.runWebGPUProgram(filterGradient(x.shape, filterShape), [x, dy], 'float32');
      const sum = backend.runWebGPUProgram(total(parts.shape, filterShape), [parts], 'float32');
      backend.disposeData(parts.dataId);
      return sum;
    },
  },
};

let remove = () => {};

/**
 * Use our kernels if they compute here what TensorFlow.js's own do.
 * @param {Tf} tf with the backend `webgpu` active
 * @returns {Promise<boolean>} whether they are used
 */
export async function useConvolutions(tf) {
  remove();
  const expected = await tryAll(tf);
  remove = registerConvolutions(tf);
  const found = await tryAll(tf).catch(() => []);
  const isRight = expected.every((values, i) => isNear(found[i] ?? [], values));
  if (!isRight) remove();
  return isRight;
}

/** @returns {Promise<Float32Array[]>} outputs and gradients of small convolutions */
async function tryAll(tf) {
  const tensors = tf.tidy(() =>
    TRIALS.flatMap(([height, width, inputs, outputs, side]) => {
      const values = (...shape) => tf.sin(tf.reshape(tf.range(0, tf.util.sizeFromShape(shape)), shape));
      const [x, filter] = [values(2, height, width, inputs), values(side, side, inputs, outputs)];
      const { value, grads } = tf.valueAndGrads((...given) => tf.conv2d(...given, 1, 'same'))(
        [x, filter],
        values(2, height, width, outputs),
      );
      return [value, ...grads];
    }),
  );
  try {
    return await Promise.all(tensors.map((tensor) => tensor.data()));
  } finally {
    tf.dispose(tensors);
  }
}

function isNear(found, expected) {
  const largest = expected.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  return expected.every((value, i) => Math.abs(found[i] - value) <= TOLERANCE * largest);
}

/**
 * Put our kernels in place of TensorFlow.js's, which stay in use for other convolutions.
 * @param {Tf} tf with the backend `webgpu` loaded
 * @returns {() => void} takes them out again
 */
export function registerConvolutions(tf) {
  const replaced = Object.entries(KERNELS).map(([kernelName, { filterShape, run }]) => {
    const general = /** @type {any} */ (tf.getKernel(kernelName, 'webgpu'));
    const kernelFunc = (/** @type {any} */ call) =>
      isPlain(call.attrs, filterShape(call)) ? run(call) : general.kernelFunc(call);
    replace(tf, { ...general, kernelFunc });
    return general;
  });
  return () => replaced.forEach((general) => replace(tf, general));
}

function replace(tf, kernel) {
  tf.unregisterKernel(kernel.kernelName, kernel.backendName);
  tf.registerKernel(kernel);
}

/** @param {any} attrs @param {number[]} filterShape */
const isPlain = ({ strides, pad, dataFormat, dilations = 1 }, [height, width]) =>
  [strides, dilations].flat().every((step) => step === 1) &&
  pad === 'same' &&
  dataFormat !== 'NCHW' &&
  height === width &&
  SIZES.includes(height);
