/**
 * Loads TensorFlow.js, in a page or in a module worker: from vendor/ where the page has it, else a pinned copy from a
 * content delivery network, whose bytes must match the hashes in libraries.js.
 */
import { LIBRARIES } from './libraries.js';

const CDN = 'https://cdn.jsdelivr.net/npm/';
const loading = new Map();

/**
 * Load parts of TensorFlow.js once.
 * @param {string[]} parts names in libraries.js: `core` comes first, then backends, then `layers` for training
 * @returns {Promise<Tf>} the namespace `tf`
 */
export async function loadTf(parts = ['core', 'cpu', 'webgl', 'webgpu', 'layers']) {
  for (const part of ['core', ...parts]) await load(part);
  return globalThis.tf;
}

/** @returns {Promise<ChartConstructor>} Chart.js's constructor */
export async function loadChart() {
  await load('chart');
  return globalThis.Chart;
}

/** @returns {string} the address of a library's vendored file */
export const vendored = (part) => new URL(`../vendor/${LIBRARIES[part].path.split('/').pop()}`, import.meta.url).href;

/**
 * An address for a file that is fetched as data (the .wasm binaries): the vendored one if it is there, else one that
 * holds the verified copy.
 */
export async function fileUrl(part) {
  const local = await fetch(vendored(part), { method: 'HEAD' });
  return local.ok ? vendored(part) : verifiedCopy(part, 'application/wasm');
}

function load(part) {
  if (!loading.has(part)) {
    const attempt = import(vendored(part)).catch(() => loadCopy(part));
    attempt.catch(() => loading.delete(part)); // a later call tries again
    loading.set(part, attempt);
  }
  return loading.get(part);
}

async function loadCopy(part) {
  if (typeof document === 'undefined') return import(await verifiedCopy(part, 'text/javascript'));
  const { path, integrity } = LIBRARIES[part];
  const script = Object.assign(document.createElement('script'), { src: CDN + path, integrity, crossOrigin: 'anonymous' });
  await new Promise((resolve, reject) => {
    script.onload = resolve;
    script.onerror = () => reject(unavailable(part));
    document.head.append(script);
  });
}

async function verifiedCopy(part, type) {
  const { path, integrity } = LIBRARIES[part];
  const response = await fetch(CDN + path, { integrity }).catch(() => null);
  if (!response?.ok) throw unavailable(part);
  return URL.createObjectURL(new Blob([await response.arrayBuffer()], { type }));
}

const unavailable = (part) =>
  new Error(`${LIBRARIES[part].path} could not be loaded; check the connection, or put the file into vendor/.`);
