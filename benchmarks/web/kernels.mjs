// Times an exported model on a GPU through WebGPU, without a browser: as the page runs it, and as stock layers:
//   node benchmarks/web/kernels.mjs MODEL_DIR [SIZE...]
// Needs web_demo/node_modules (`npm ci` there) and the npm package `webgpu` (Dawn), found beside this file or through
// WEBGPU_MODULE=folder; a Vulkan loader and driver (VK_DRIVER_FILES names the driver's file).
import { join } from 'node:path';
import { WEB, installWebgpu, readModel, startTf, timeAwaited, timeQueued } from './dawn.mjs';

const [folder, ...sizes] = process.argv.slice(2);
installWebgpu();
const adapter = await navigator.gpu.requestAdapter({ powerPreference: 'high-performance' });
if (!adapter) throw new Error('no WebGPU adapter was found; VK_DRIVER_FILES names the Vulkan driver');
console.log(`${adapter.info.vendor} ${adapter.info.device} ${adapter.info.description}`);
const tf = await startTf();
const { decodeGolden } = await import(join(WEB, 'network/model.js'));
const { createNetwork, goldenError } = await import(join(WEB, 'network/network.js'));
(await import(join(WEB, 'network/webgpu.js'))).registerKernels(tf);
const { artifacts, config } = await readModel(folder);

let dispatches = 0;
const backend = tf.backend();
const dispatch = GPUComputePassEncoder.prototype.dispatchWorkgroups;
GPUComputePassEncoder.prototype.dispatchWorkgroups = function (...size) {
  dispatches++;
  return dispatch.apply(this, size);
};

const ways = await forms();
for (const size of sizes.length ? sizes.map(Number) : [64, 128, 256]) {
  const x = tf.randomUniform([1, size, size, 3]);
  for (const [name, run] of Object.entries(ways)) {
    const whole = await timeAwaited(async () => {
      const y = run(x);
      await y.data();
      y.dispose();
    });
    dispatches = 0;
    run(x).dispose();
    const kernels = dispatches;
    const submit = () => run(x).dispose();
    const queued = await timeQueued(submit, () => backend.queue.onSubmittedWorkDone());
    const [a, b] = [whole, queued].map((value) => value.toFixed(2));
    console.log(`${name.padEnd(28)} ${size}x${size}: ${kernels} kernels, ${a} ms with read-back, ${b} ms queued`);
  }
  x.dispose();
}
process.exit(0);

async function forms() {
  const { modelTopology, weightSpecs, weightData } = artifacts;
  const layers = await tf.loadLayersModel({ load: async () => ({ modelTopology, weightSpecs, weightData }) });
  const plain = createNetwork(tf, artifacts, config, { plain: true });
  const fast = createNetwork(tf, artifacts, config);
  if (config.golden) {
    const golden = decodeGolden(config.golden);
    for (const network of [plain, fast]) {
      console.log(
        `self-check: off by ${(await goldenError((...given) => network.evaluate(...given), golden)).toPrecision(2)}`,
      );
    }
  }
  return {
    'stock layers (predict)': (x) => layers.predict(x),
    'fused convolutions': (x) => plain.run(x),
    'fused, own WebGPU kernels': (x) => fast.run(x),
  };
}
