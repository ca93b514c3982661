/**
 * Convolutions and their gradients for TensorFlow.js's WebGPU backend, in place of its own, whose gradient of a filter
 * walks over all pixels in one thread per weight.
 */
import { convolution, filterGradient, total } from './webgpu-shaders.js';

/** Side of a filter that our kernels take. */
const SIZES = [1, 3];

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

const isPlain = ({ strides, pad, dataFormat, dilations = 1 }, [height, width]) =>
  [strides, dilations].flat().every((step) => step === 1) &&
  pad === 'same' &&
  dataFormat !== 'NCHW' &&
  height === width &&
  SIZES.includes(height);
