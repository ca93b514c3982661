/**
 * Loads TensorFlow.js and the page's other libraries, in a page or in a module worker: from vendor/ where the page has
 * them, else pinned copies from a content delivery network, whose bytes must match the hashes in libraries.js.
 */
import { within } from '../limit.js';
import { LIBRARIES } from './libraries.js';

/** Milliseconds within which a server answers, and within which a library has come. */
const ANSWER_LIMIT = 20_000;
const LOAD_LIMIT = 60_000;

const CDN = 'https://cdn.jsdelivr.net/npm/';
/** @type {Map<string, Promise<unknown>>} what was asked for already */
const loading = new Map();

/**
 * Load parts of TensorFlow.js once.
 * @param {string[]} parts names in libraries.js: `core` comes first, then backends, then `layers` for training
 * @returns {Promise<Tf>} the namespace `tf`
 * @throws {Error} with a sentence, like all here, if a file is neither in vendor/ nor to be had genuine
 */
export async function loadTf(parts) {
  for (const part of ['core', ...parts]) await load(part);
  return globalThis.tf;
}

/** @returns {Promise<ChartConstructor>} Chart.js's constructor */
export async function loadChart() {
  await load('chart');
  return globalThis.Chart;
}

/**
 * Load client-zip, in a page only.
 * @returns {Promise<{downloadZip: (files: Array<{name: string, input: BlobPart, lastModified?: Date}>) => Response}>}
 */
export const loadZip = () => loadModule('zip');

/**
 * Load a library that is a module of JavaScript.
 * @param {string} part name in libraries.js
 * @returns {Promise<any>} what it exports
 */
export async function loadModule(part) {
  const local = within(import(vendored(part)), LOAD_LIMIT, `${vendored(part)} did not come`);
  return local.catch(async () => {
    if (typeof document === 'undefined') return import(await verifiedCopy(part, 'text/javascript'));
    await loadScript(part, 'module');
    return import(CDN + LIBRARIES[part].path); // the module that the script was; it is checked and there already
  });
}

/**
 * @param {string} part name in libraries.js
 * @returns {string} the address of its vendored file
 */
export function vendored(part) {
  const { path, file = path.split('/').pop() } = LIBRARIES[part];
  return new URL(`../vendor/${file}`, import.meta.url).href;
}

/**
 * An address for a file that is fetched as data (the .wasm binaries): the vendored one if it is there, else one that
 * holds the verified copy.
 * @param {string} part name in libraries.js
 * @returns {Promise<string>}
 */
export async function fileUrl(part) {
  const local = await within(fetch(vendored(part), { method: 'HEAD' }), ANSWER_LIMIT, `${vendored(part)} did not come`);
  // Some servers answer with a page where there is no file.
  const isThere = local.ok && !local.headers.get('content-type')?.includes('html');
  return isThere ? vendored(part) : verifiedCopy(part, 'application/wasm');
}

function load(part) {
  if (!loading.has(part)) {
    const attempt = within(import(vendored(part)), LOAD_LIMIT, `${vendored(part)} did not come`).catch(() =>
      loadCopy(part),
    );
    attempt.catch(() => loading.delete(part)); // a later call tries again
    loading.set(part, attempt);
  }
  return loading.get(part);
}

async function loadCopy(part) {
  return typeof document === 'undefined' ? import(await verifiedCopy(part, 'text/javascript')) : loadScript(part);
}

/** The browser runs a script only if it matches the hash. */
function loadScript(part, type = 'text/javascript') {
  const { path, integrity } = LIBRARIES[part];
  const attributes = { type, src: CDN + path, integrity, crossOrigin: 'anonymous' };
  const script = Object.assign(document.createElement('script'), attributes);
  const loaded = new Promise((resolve, reject) => {
    script.onload = resolve;
    script.onerror = () => reject(unavailable(part));
    document.head.append(script);
  });
  return within(loaded, LOAD_LIMIT, `${script.src} did not come`);
}

async function verifiedCopy(part, type) {
  const { path, integrity } = LIBRARIES[part];
  const signal = AbortSignal.timeout(LOAD_LIMIT);
  const response = await fetch(CDN + path, { integrity, signal }).catch(() => null);
  const bytes = response?.ok && (await response.arrayBuffer().catch(() => null));
  if (!bytes) throw unavailable(part);
  return URL.createObjectURL(new Blob([bytes], { type }));
}

const unavailable = (part) =>
  new Error(`${LIBRARIES[part].path} could not be loaded; check the connection, or put the file into vendor/.`);
