/** Starting TensorFlow.js backends so that one counts only if it really runs, and noticing when it is lost. */
import { within } from '../limit.js';
import { BackendLost, DeviceLost } from '../network/lost.js';
import { fileUrl, loadTf, vendored } from './tf.js';

/** @typedef {'webgpu' | 'webgl' | 'wasm' | 'cpu'} BackendName */

/** @type {BackendName[]} fastest first */
export const CHAIN = ['webgpu', 'webgl', 'wasm', 'cpu'];

/** What people call them. */
export const LABELS = { webgpu: 'WebGPU', webgl: 'WebGL', wasm: 'WebAssembly', cpu: 'JavaScript' };

export { BackendLost, DeviceLost };

const factories = new Map();

/**
 * Milliseconds within which a backend starts. WebAssembly loads its binary meanwhile; with threads it also waits for
 * workers, which may never answer.
 */
const START_LIMIT = 30_000;
const THREADS_LIMIT = 10_000;

/**
 * In Firefox the workers that a worker starts fail silently in a quarter of the visits, and WebAssembly's threads are
 * such workers. Other engines call themselves "like Gecko", without its date.
 */
export const HAS_UNSURE_THREADS = /\bGecko\/\d/.test(globalThis.navigator?.userAgent ?? '');

/**
 * Make a backend the active one of `tf`.
 * @param {BackendName} name
 * @param {{pool?: number}} [options] bytes on the GPU above which freed memory is given back; TensorFlow.js keeps it for
 *   ever, for tensors of the same shape, which suits whoever has the same shapes over and over
 * @returns {Promise<{tf: Tf, lost: Promise<never>}>} `lost` rejects with `BackendLost` if the GPU goes away
 * @throws {Error} with the reason, if it does not start here
 */
export async function startBackend(name, { pool = Infinity } = {}) {
  const tf = await loadTf([name]);
  if (name === 'wasm' && !isRunning(tf, 'wasm')) {
    if (HAS_UNSURE_THREADS) tf.env().set('WASM_HAS_MULTITHREAD_SUPPORT', false);
    tf.wasm.setWasmPaths(await wasmPaths(tf));
  }
  // A removed backend also forgot how to start.
  if (factories.has(name) && !tf.findBackendFactory(name)) tf.registerBackend(name, factories.get(name));
  if (!tf.findBackendFactory(name)) throw new Error(`this browser has no ${LABELS[name]}`);
  factories.set(name, tf.findBackendFactory(name));
  if (name === 'webgl') tf.env().set('WEBGL_DELETE_TEXTURE_THRESHOLD', pool);
  const started = await (name === 'wasm' ? startWasm(tf) : begin(tf, name, START_LIMIT));
  if (!started || tf.getBackend() !== name) throw new Error(`${LABELS[name]} did not start`);
  if (name === 'webgpu') (await import('../network/webgpu.js')).prepareWebgpu(tf, pool);
  return { tf, lost: watch(tf, name) };
}

/** Forget a backend and everything on it, so that it can start afresh; nothing to do where TensorFlow.js is not loaded. */
export function stopBackend(tf, name) {
  if (!tf || !isRunning(tf, name)) return;
  try {
    tf.removeBackend(name);
  } catch {
    // A lost GPU may refuse to be cleaned up; nothing is left to clean.
  }
}

/** @returns {boolean} whether an error means that a smaller tile or another backend could succeed */
export function isExhaustion(error) {
  return (
    error instanceof BackendLost ||
    /memory|allocat|context|device|texture|buffer size|out of range/i.test(String(error?.message))
  );
}

/** `tf.findBackend` would start it. */
const isRunning = (tf, name) => name in tf.engine().registry;

/** @returns {Promise<boolean>} false, not an exception, if it cannot initialise */
const begin = (tf, name, limit) => within(tf.setBackend(name), limit, `${LABELS[name]} did not start`);

/** Begins every module of WebAssembly, and is one. */
const EMPTY_MODULE = Uint8Array.of(0, 0x61, 0x73, 0x6d, 1, 0, 0, 0);

/** @throws {Error} the browser has no WebAssembly, or the page forbids it: what starts it would not say so */
export function requireWasm() {
  if (!globalThis.WebAssembly) throw new Error('this browser has no WebAssembly');
  try {
    new WebAssembly.Module(EMPTY_MODULE);
  } catch {
    throw new Error("the content security policy forbids it; allow 'wasm-unsafe-eval' in script-src");
  }
}

/** With threads where the browser has them; where these never come, without. */
async function startWasm(tf) {
  requireWasm();
  if (isRunning(tf, 'wasm') || !(await tf.env().getAsync('WASM_HAS_MULTITHREAD_SUPPORT'))) {
    return begin(tf, 'wasm', START_LIMIT);
  }
  try {
    return await begin(tf, 'wasm', THREADS_LIMIT);
  } catch (error) {
    if (error.name !== 'TimeoutError') throw error;
    tf.env().set('WASM_HAS_MULTITHREAD_SUPPORT', false);
    tf.wasm.setWasmPaths(await wasmPaths(tf));
    return begin(tf, 'wasm', START_LIMIT);
  }
}

function watch(tf, name) {
  const backend = tf.backend();
  /** @type {Promise<never>} */
  const lost = new Promise((resolve, reject) => {
    const lose = (reason, Kind = DeviceLost) => reject(new Kind(`${LABELS[name]} was lost: ${reason}`));
    if (name === 'webgpu') {
      backend.device.lost.then((info) => lose(info.message || info.reason || 'the device went away'));
      backend.device.addEventListener?.('uncapturederror', ({ error }) => {
        if (error?.constructor?.name === 'GPUOutOfMemoryError') lose('out of memory', BackendLost);
      });
    }
    if (name === 'webgl') {
      backend.gpgpu.gl.canvas.addEventListener('webglcontextlost', () => lose('the graphics context went away'));
    }
  });
  lost.catch(() => {}); // whoever races against it handles it
  return lost;
}

async function wasmPaths(tf) {
  const [simd, threads] = await Promise.all([
    tf.env().getAsync('WASM_HAS_SIMD_SUPPORT'),
    tf.env().getAsync('WASM_HAS_MULTITHREAD_SUPPORT'),
  ]);
  const parts = {
    'tfjs-backend-wasm.wasm': 'wasmPlain',
    'tfjs-backend-wasm-simd.wasm': 'wasmSimd',
    'tfjs-backend-wasm-threaded-simd.wasm': 'wasmThreads',
  };
  const needed = simd ? (threads ? 'wasmThreads' : 'wasmSimd') : 'wasmPlain';
  const paths = Object.entries(parts).map(async ([file, part]) => [
    file,
    part === needed ? await fileUrl(part) : vendored(part),
  ]);
  return Object.fromEntries(await Promise.all(paths));
}
