/** The model and the backend in use: how they come into use, and the header's chip that names them. */

import { LABELS } from '../engine/backend.js';
import { fetchModel, modelsBeside } from '../network/model.js';
import { loadUpscaler } from '../span.js';
import { bytes } from './format.js';
import { $, announce, setState } from './page.js';

/**
 * @typedef {object} Model one of both, `url` or `artifacts`, is there
 * @property {string} name
 * @property {string} [url] of its model.json
 * @property {import('../network/model.js').ModelArtifacts} [artifacts]
 */

/**
 * Dispatches `leave` before the model in use is given up, `choose` when another one was chosen and when it cannot be used,
 * `ready` when it can, and `change` whenever there is another model, backend, status or problem.
 */
export class Models extends EventTarget {
  /** @type {import('../span.js').Upscaler | null} in use */
  upscaler = null;
  /** Why the model that was chosen last is not in use. */
  problem = '';
  /** Ends the load under way when another one begins. */
  #loading = new AbortController();

  /** @param {URLSearchParams} query of the page's address: `model`, `backend` and `tile` choose */
  constructor(query) {
    super();
    const url = query.get('model');
    const backend = query.get('backend') ?? '';
    /** @type {Model} chosen last */
    this.model = { name: modelName(url), url: url ?? 'model.json' };
    /** @type {'auto' | import('../span.js').BackendName} */
    this.backend = Object.hasOwn(LABELS, backend) ? /** @type {any} */ (backend) : 'auto';
    this.isChosen = url !== null;
    this.tile = Number(query.get('tile')) || undefined;
  }

  /**
   * Load the model that the address names. Without one, load the first of the models beside the page; else the one model
   * that lies there.
   */
  async start() {
    const { model } = this;
    const [first] = this.isChosen ? [] : await modelsBeside();
    if (this.model === model) await this.load(first ?? model, this.backend); // else one was chosen meanwhile
  }

  /**
   * Take a model into use in place of the present one.
   * @param {Model} model
   * @param {'auto' | import('../span.js').BackendName} backend where to begin in the chain of backends
   * @returns {Promise<boolean>} whether it is in use now; if not, the page has been told why
   */
  async load(model, backend) {
    this.#loading.abort();
    const { signal } = (this.#loading = new AbortController());
    this.dispatchEvent(new Event('leave'));
    this.upscaler?.dispose();
    Object.assign(this, { model, backend, upscaler: null, problem: '' });
    setState('loading');
    this.#showChip('', 'Loading…');
    this.dispatchEvent(new Event('choose'));
    announce('Loading the model…');
    try {
      const options = { backend, tile: this.tile, onStatus: (status) => this.#showStatus(status), signal };
      this.upscaler = await loadUpscaler(this.source, options);
    } catch (error) {
      if (signal.aborted) return false;
      this.problem = error.message;
      document.documentElement.dataset.backend = '';
      setState('error');
      this.#showChip('', 'No model');
      this.dispatchEvent(new Event('choose'));
      announce(error.message);
      return false;
    }
    const { scale, status } = this.upscaler;
    this.showMemory();
    this.#showStatus(status);
    if (model.url) keepOffline(model.url);
    setState('ready');
    announce(`Ready: enlarges ${scale} times on ${LABELS[status.backend]}.`);
    this.dispatchEvent(new Event('ready'));
    return true;
  }

  /** @returns {string | import('../network/model.js').ModelArtifacts} what `loadUpscaler` takes for the model */
  get source() {
    return this.model.artifacts ?? /** @type {string} */ (this.model.url);
  }

  /** @returns {Promise<import('../network/model.js').ModelArtifacts>} of the model */
  async artifacts() {
    const { source } = this;
    return typeof source === 'string' ? fetchModel(source) : source;
  }

  /** Show what is allocated on the backend. */
  async showMemory() {
    const { upscaler } = this;
    const memory = await upscaler?.memory().catch(() => null); // it may be disposed of meanwhile
    if (!memory || upscaler !== this.upscaler) return;
    $('memory').textContent = `${memory.tensors} tensors, ${bytes(memory.bytes)}`;
  }

  /** @param {import('../span.js').Status} status */
  #showStatus({ backend, notice }) {
    document.documentElement.dataset.backend = backend;
    if (notice) announce(`${notice}.`);
    this.#showChip(this.model.name, LABELS[backend]);
  }

  #showChip(model, text) {
    $('chip-model').textContent = model;
    $('chip-text').textContent = text;
    this.dispatchEvent(new Event('change'));
  }
}

/** models/x4/model.json -> x4 */
function modelName(url) {
  return url?.split('/').at(-2) || 'Default model';
}

/** Browsers run service workers only for pages from https: or this computer. */
async function keepOffline(url) {
  const registration = await navigator.serviceWorker?.ready;
  registration?.active?.postMessage({ model: new URL(url, document.baseURI).href });
}
