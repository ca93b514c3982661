/** What the WebGPU backend gets of our own: kernels, larger submissions and a bounded pool of buffers. */

/**
 * Make the active WebGPU backend ready.
 * @param {any} tf the namespace of TensorFlow.js
 * @param {number} pool as for `startBackend`
 */
export function prepareWebgpu(tf, pool) {
  registerKernels(tf);
  tf.env().set('WEBGPU_DEFERRED_SUBMIT_BATCH_SIZE', 64); // few, large submissions
  boundPool(tf.backend().bufferManager, pool);
}

/** What WEBGL_DELETE_TEXTURE_THRESHOLD does, for WebGPU's buffers. */
function boundPool(manager, pool) {
  manager.releaseBuffer = function (buffer, reuse = true) {
    const { releaseBuffer } = Object.getPrototypeOf(this);
    releaseBuffer.call(this, buffer, reuse && this.numBytesAllocated <= pool);
  };
}

const SYMMETRIC = {
  // The form that does not overflow.
  span: 'let e = exp(-2.0 * abs(y)); let attention = sign(y) * (1.0 - e) / (1.0 + e);',
  official: 'let attention = 1.0 / (1.0 + exp(-y)) - 0.5;',
};

/**
 * Add kernels for what a SPAN block computes between its convolutions, in one pass each; a second call does nothing.
 * @param {any} tf the namespace of TensorFlow.js
 */
export function registerKernels(tf) {
  if (tf.getKernel('SpanAttend', 'webgpu')) return;
  register(tf, 'SpanAttend', ({ variant }) => ({
    key: variant,
    code: `${SYMMETRIC[variant]} return (y + x) * attention;`,
  }));
  register(tf, 'SpanSilu', () => ({ key: '', code: 'return y / (1.0 + exp(-y));' }));
}

function register(tf, kernelName, body) {
  tf.registerKernel({
    kernelName,
    backendName: 'webgpu',
    kernelFunc({ inputs, attrs, backend }) {
      const names = Object.keys(inputs);
      const { key, code } = body(attrs ?? {});
      const program = elementwise(tf, inputs.y.shape, names, `${kernelName}_${key}`, code);
      return backend.runWebGPUProgram(
        program,
        names.map((name) => inputs[name]),
        'float32',
      );
    },
  });
}

/** A program that computes every output value from the inputs' values at the same place, four at a time if possible. */
function elementwise(tf, outputShape, names, shaderKey, code) {
  const size = tf.util.sizeFromShape(outputShape);
  const lanes = size % 4 === 0 ? 4 : 1;
  const type = lanes === 4 ? 'vec4<f32>' : 'f32';
  const workgroupSize = [128, 1, 1];
  const dispatchLayout = { x: outputShape.map((_, axis) => axis) };
  return {
    outputShape,
    variableNames: names,
    workgroupSize,
    dispatchLayout,
    dispatch: [Math.ceil(size / lanes / workgroupSize[0]), 1, 1],
    outputComponent: lanes,
    size: true,
    shaderKey: `${shaderKey}_${lanes}`,
    getUserCode: () => `
      fn compute(${names.map((name) => `${name} : ${type}`).join(', ')}) -> ${type} { ${code} }
      fn main(index : i32) {
        if (index < uniforms.size) {
          setOutputAtIndex(index, compute(${names.map((name) => `${name}[index]`).join(', ')}));
        }
      }`,
  };
}
