// Times an exported model on a GPU through WebGPU, without a browser: as the page runs it, and as stock layers:
//   node benchmarks/web/kernels.mjs MODEL_DIR [SIZE...]
// Needs web_demo/node_modules (`npm ci` there) and the npm package `webgpu` (Dawn), found beside this file or through
// WEBGPU_MODULE=folder; a Vulkan loader and driver (VK_DRIVER_FILES names the driver's file).
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join, resolve } from 'node:path';
import vm from 'node:vm';

const require = createRequire(import.meta.url);
const [folder, ...sizes] = process.argv.slice(2);
const web = new URL('../../web_demo/', import.meta.url).pathname;
const { create, globals } = require(process.env.WEBGPU_MODULE ? resolve(process.env.WEBGPU_MODULE) : 'webgpu');
Object.assign(globalThis, globals, { require });
Object.defineProperty(globalThis, 'navigator', { value: { gpu: create([]), userAgent: 'node' }, configurable: true });

const adapter = await navigator.gpu.requestAdapter({ powerPreference: 'high-performance' });
if (!adapter) throw new Error('no WebGPU adapter was found; VK_DRIVER_FILES names the Vulkan driver');
console.log(`${adapter.info.vendor} ${adapter.info.device} ${adapter.info.description}`);
for (const name of ['core', 'layers', 'backend-cpu', 'backend-webgpu']) {
  const file = join(web, `vendor/tf-${name}.es2017.min.js`);
  vm.runInThisContext(readFileSync(file, 'utf8'), file);
}
const tf = globalThis.tf;
if (!(await tf.setBackend('webgpu'))) throw new Error('the WebGPU backend did not start');
await tf.ready();

const { readConfig, decodeGolden } = await import(join(web, 'network/model.js'));
const { readModelFiles } = await import(join(web, 'network/model-files.js'));
const { createNetwork, goldenError } = await import(join(web, 'network/network.js'));
(await import(join(web, 'network/webgpu.js'))).registerKernels(tf);
const names = [
  'model.json',
  ...JSON.parse(readFileSync(join(folder, 'model.json'))).weightsManifest.flatMap((group) => group.paths),
];
const artifacts = await readModelFiles(names.map((name) => new File([readFileSync(join(folder, name))], name)));
const config = readConfig(artifacts);

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
    const whole = [];
    const queued = [];
    for (let i = 0; i < 12; i++) {
      const start = performance.now();
      const y = run(x);
      await y.data();
      y.dispose();
      if (i > 1) whole.push(performance.now() - start);
    }
    dispatches = 0;
    run(x).dispose();
    const kernels = dispatches;
    for (let i = 0; i < 7; i++) {
      const start = performance.now();
      for (let k = 0; k < 10; k++) run(x).dispose();
      await backend.queue.onSubmittedWorkDone();
      queued.push((performance.now() - start) / 10);
    }
    const [a, b] = [median(whole), median(queued)].map((value) => value.toFixed(2));
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
      console.log(`self-check: off by ${(await goldenError(network, golden)).toPrecision(2)}`);
    }
  }
  return {
    'stock layers (predict)': (x) => layers.predict(x),
    'fused convolutions': (x) => plain.run(x),
    'fused, own WebGPU kernels': (x) => fast.run(x),
  };
}

function median(values) {
  return values.sort((a, b) => a - b)[values.length >> 1];
}
