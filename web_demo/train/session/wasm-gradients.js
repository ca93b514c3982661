/**
 * The gradients of a convolution for TensorFlow.js's WebAssembly backend, out of kernels that it has. Of its own it has
 * none for the filter, and a slow one for the input.
 */

/**
 * Register the gradients of convolutions with stride 1, zero padding and sides that are odd; a second call does nothing.
 * @param {Tf} tf with the backend `wasm` loaded
 */
export function registerGradients(tf) {
  if (tf.getKernel('Conv2DBackpropFilter', 'wasm')) return;
  tf.registerKernel({
    kernelName: 'Conv2DBackpropFilter',
    backendName: 'wasm',
    kernelFunc(call) {
      const { inputs, attrs } = /** @type {any} */ (call);
      if (!isPlain(attrs, attrs.filterShape)) {
        throw new Error('WebAssembly has the gradient of plain convolutions only (stride 1, zero padding)');
      }
      return filterGradient(tf, inputs.x, inputs.dy, attrs.filterShape);
    },
  });
  // The one that is there also computes transposed convolutions, which are others.
  const general = /** @type {any} */ (tf.getKernel('Conv2DBackpropInput', 'wasm'));
  tf.unregisterKernel('Conv2DBackpropInput', 'wasm');
  tf.registerKernel({
    ...general,
    kernelFunc(/** @type {any} */ call) {
      const { inputs, attrs } = call;
      return isPlain(attrs, inputs.filter.shape)
        ? inputGradient(tf, inputs.dy, inputs.filter)
        : general.kernelFunc(call);
    },
  });
}

const isPlain = ({ strides, pad, dataFormat }, [height, width]) =>
  [strides].flat().every((stride) => stride === 1) &&
  pad === 'same' &&
  dataFormat !== 'NCHW' &&
  height % 2 &&
  width % 2;

/**
 * For every tap of the filter, the product of the shifted input and the output's gradient: in one matrix product, with
 * the taps' inputs one below the other.
 * @param {Tf} tf
 * @param {any} x (N, H, W, c)
 * @param {any} dy (N, H, W, d)
 * @param {number[]} shape (h, w, c, d)
 * @returns {tf.Tensor} of that shape
 */
function filterGradient(tf, x, dy, shape) {
  return tf.tidy(() => {
    const [height, width, c, d] = shape;
    const [count, rows, columns] = x.shape;
    const [down, across] = [height >> 1, width >> 1];
    const padded = tf.pad(x, [
      [0, 0],
      [down, down],
      [across, across],
      [0, 0],
    ]);
    const planes = tf.transpose(padded, [3, 0, 1, 2]);
    const size = count * rows * columns;
    const taps = [];
    for (let i = 0; i < height; i++) {
      for (let j = 0; j < width; j++) {
        taps.push(tf.reshape(tf.slice(planes, [0, 0, i, j], [c, count, rows, columns]), [c, size]));
      }
    }
    return tf.reshape(tf.matMul(tf.concat(taps, 0), tf.reshape(dy, [size, d])), shape);
  });
}

/** A convolution of the output's gradient with the flipped filter, inputs and outputs swapped. */
function inputGradient(tf, dy, filter) {
  return tf.tidy(() => tf.conv2d(dy, tf.transpose(tf.reverse(filter, [0, 1]), [0, 1, 3, 2]), 1, 'same'));
}
