// The time that a GPU spends in each kind of TensorFlow.js's kernels.

/** Dispatches whose times a query set holds. */
const CAPACITY = 2048;

export class KernelTimes {
  /**
   * @param {any} tf with the backend `webgpu`, for a while the active one
   * @param {boolean} shapes whether kernels of convolutions are told apart by their shapes
   */
  constructor(tf, shapes) {
    this.tf = tf;
    this.shapes = shapes;
    this.kernel = '';
    /** @type {string[] | null} kernels of the dispatches since `report` began */
    this.dispatched = null;
    const { device } = tf.backend();
    if (!device.features.has('timestamp-query')) {
      console.log('no timestamps here: kernels are counted only');
      return;
    }
    this.querySet = device.createQuerySet({ type: 'timestamp', count: 2 * CAPACITY });
    const usage = GPUBufferUsage.QUERY_RESOLVE | GPUBufferUsage.COPY_SRC;
    this.resolved = device.createBuffer({ size: 16 * CAPACITY, usage });
  }

  /** Run some steps and print each kind of kernels: milliseconds and dispatches a step. */
  async report(step, count) {
    const unwatch = this.#watch();
    const sums = new Map();
    for (let i = 0; i < count; i++) {
      this.dispatched = [];
      await step();
      await this.#collect(sums);
    }
    unwatch();
    const rows = [...sums].sort(([, a], [, b]) => b.time - a.time);
    const all = rows.reduce((sum, [, { time }]) => sum + time, 0);
    const dispatches = rows.reduce((sum, [, { calls }]) => sum + calls, 0);
    console.log(`  GPU: ${(all / count).toFixed(3)} ms a step in ${Math.round(dispatches / count)} kernels`);
    for (const [kernel, { time, calls }] of rows) {
      console.log(
        `  ${kernel.padEnd(56)} ${(time / count).toFixed(3).padStart(9)} ms ${String(Math.round(calls / count)).padStart(4)}x`,
      );
    }
  }

  async #collect(sums) {
    const { device } = this.tf.backend();
    const { dispatched, querySet, resolved } = this;
    this.tf.backend().submitQueue();
    const count = Math.min(dispatched.length, CAPACITY);
    let stamps = new BigUint64Array(2 * count);
    if (querySet && count) {
      const usage = GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST;
      const target = device.createBuffer({ size: 16 * count, usage });
      const encoder = device.createCommandEncoder();
      encoder.resolveQuerySet(querySet, 0, 2 * count, resolved, 0);
      encoder.copyBufferToBuffer(resolved, 0, target, 0, 16 * count);
      device.queue.submit([encoder.finish()]);
      await target.mapAsync(GPUMapMode.READ);
      stamps = new BigUint64Array(target.getMappedRange().slice(0));
      target.destroy();
    }
    dispatched.slice(0, count).forEach((kernel, i) => {
      const row = sums.get(kernel) ?? { time: 0, calls: 0 };
      row.time += Number(stamps[2 * i + 1] - stamps[2 * i]) / 1e6;
      row.calls++;
      sums.set(kernel, row);
    });
  }

  /** Give every dispatch a pass of its own with timestamps, and note whose it is. @returns {() => void} ends it */
  #watch() {
    const { tf, querySet } = this;
    const backend = tf.backend();
    const engine = tf.engine();
    const { runKernelFunc } = engine;
    engine.runKernelFunc = (call) => {
      const outer = this.kernel;
      if (call.kernelName) this.kernel = this.#nameOf(call);
      try {
        return runKernelFunc.call(engine, call);
      } finally {
        this.kernel = outer;
      }
    };
    const record = backend.recordAndSubmit;
    backend.recordAndSubmit = (program, ...rest) => {
      backend.endComputePassEncoder();
      backend.ensureCommandEncoderReady();
      const at = this.dispatched.push(this.kernel) - 1;
      if (querySet && at < CAPACITY) {
        const timestampWrites = { querySet, beginningOfPassWriteIndex: 2 * at, endOfPassWriteIndex: 2 * at + 1 };
        backend.computePassEncoder = backend.commandEncoder.beginComputePass({ timestampWrites });
      }
      record.call(backend, program, ...rest);
      backend.endComputePassEncoder();
    };
    return () => {
      engine.runKernelFunc = runKernelFunc;
      delete backend.recordAndSubmit;
    };
  }

  #nameOf({ kernelName, inputs, attrs }) {
    if (!this.shapes || !/Conv2D/.test(kernelName)) return kernelName;
    const image = (inputs.x ?? inputs.dy).shape;
    const filter = inputs.filter?.shape ?? attrs.filterShape;
    return `${kernelName} ${image.join('×')} by ${filter.join('×')}`;
  }
}
