// What the benchmarks of WebGPU share: Dawn in Node in place of a browser, models from folders, times.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { availableParallelism } from 'node:os';
import { join, resolve } from 'node:path';

const require = createRequire(import.meta.url);
export const WEB = new URL('../../web_demo/', import.meta.url).pathname;

/** Give this process `navigator.gpu`, from the npm package `webgpu` or the folder that WEBGPU_MODULE names. */
export function installWebgpu(toggles = []) {
  const { create, globals } = require(process.env.WEBGPU_MODULE ? resolve(process.env.WEBGPU_MODULE) : 'webgpu');
  Object.assign(globalThis, globals, { require });
  const gpu = create(toggles); // `navigator` keeps it: once collected, it takes Dawn with it
  const value = { gpu, userAgent: 'node', hardwareConcurrency: availableParallelism() };
  Object.defineProperty(globalThis, 'navigator', { value, configurable: true });
}

/** @returns {Promise<object>} the namespace `tf`, with the WebGPU backend started */
export async function startTf() {
  const { loadTf } = await import(join(WEB, 'engine/tf.js'));
  const tf = await loadTf(['layers', 'cpu', 'webgpu']);
  if (!(await tf.setBackend('webgpu'))) throw new Error('the WebGPU backend did not start');
  await tf.ready();
  return tf;
}

/** @returns {Promise<{artifacts: object, config: object}>} of an exported model */
export async function readModel(folder) {
  const { readConfig } = await import(join(WEB, 'network/model.js'));
  const artifacts = await readArtifacts(folder);
  return { artifacts, config: readConfig(artifacts) };
}

/** @returns {Promise<object>} a layers model of any kind, as TensorFlow.js holds it in memory */
export async function readArtifacts(folder) {
  const { readModelFiles } = await import(join(WEB, 'checkpoints/model-files.js'));
  const { weightsManifest } = JSON.parse(readFileSync(join(folder, 'model.json')));
  const names = ['model.json', ...weightsManifest.flatMap((group) => group.paths)];
  return readModelFiles(names.map((name) => new File([readFileSync(join(folder, name))], name)));
}

export function median(values) {
  return values.sort((a, b) => a - b)[values.length >> 1];
}

/**
 * Time what runs one after another in a queue.
 * @param {() => void} submit
 * @param {() => Promise<void>} done resolves when the queue is empty
 * @param {{warm?: number, rounds?: number, count?: number}} [options] milliseconds of work before the first measurement:
 *   a GPU that idles runs slowly
 * @returns {Promise<number>} milliseconds each, the median of the rounds
 */
export async function timeQueued(submit, done, { warm = 300, rounds = 9, count = 10 } = {}) {
  const round = async () => {
    const start = performance.now();
    for (let i = 0; i < count; i++) submit();
    await done();
    return (performance.now() - start) / count;
  };
  for (const until = performance.now() + warm; performance.now() < until;) await round();
  const times = [];
  for (let i = 0; i < rounds; i++) times.push(await round());
  return median(times);
}

/** @returns {Promise<number>} milliseconds of work that is awaited each time, the median */
export async function timeAwaited(work, { warm = 300, rounds = 9 } = {}) {
  for (const until = performance.now() + warm; performance.now() < until;) await work();
  const times = [];
  for (let i = 0; i < rounds; i++) {
    const start = performance.now();
    await work();
    times.push(performance.now() - start);
  }
  return median(times);
}
