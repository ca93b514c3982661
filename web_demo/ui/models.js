/** The model and the backend in use: how they come into use, and the header's chip that names them. */

import { LABELS } from '../engine/backend.js';
import { fetchModel, modelsBeside } from '../network/model.js';
import { loadUpscaler } from '../span.js';
import { $, announce, hush, say, setState } from './page.js';

/** Is said meanwhile. */
const LOADING = 'Loading the model…';

/**
 * @typedef {object} Model one of both, `url` or `artifacts`, is there
 * @property {string} name
 * @property {string} [url] of its model.json
 * @property {import('../network/model.js').ModelArtifacts} [artifacts]
 */

/**
 * Dispatches `leave` before the model in use gives way to another, `choose` when another one is in use or is waited for
 * and when it cannot be used, `ready` when it can, and `change` whenever there is another model, backend, status or
 * problem. A model that cannot be used leaves the one in use where it is.
 */
export class Models extends EventTarget {
  /** @type {import('../span.js').Upscaler | null} in use */
  upscaler = null;
  /** Whether images are enlarged in eight orientations, see `UpscaleOptions`. */
  tta = false;
  /** The one that is being loaded. @type {Model | null} */
  coming = null;
  /** Why the model that was chosen last is not in use. */
  problem = '';
  /** Ends the load under way when another one begins. */
  #loading = new AbortController();
  /** @type {ReturnType<typeof modelsBeside> | null} */
  #beside = null;
  #isLoading = true;
  #isBusy = false;

  /** @param {URLSearchParams} query of the page's address: `model`, `backend`, `tile` and `precision` choose */
  constructor(query) {
    super();
    const url = query.get('model');
    const backend = query.get('backend') ?? '';
    /** @type {Model} in use, or chosen last while none is */
    this.model = { name: modelName(url), url: url ?? 'model.json' };
    /** @type {'auto' | import('../span.js').BackendName} */
    this.backend = Object.hasOwn(LABELS, backend) ? /** @type {any} */ (backend) : 'auto';
    this.isChosen = url !== null;
    this.tile = Number(query.get('tile')) || undefined;
    this.precision = query.get('precision') === 'float16' ? /** @type {const} */ ('float16') : undefined;
  }

  /**
   * Load the model that the address names. Without one, load the first of the models beside the page; else the one model
   * that lies there.
   */
  async start() {
    const { model } = this;
    const [first] = this.isChosen ? [] : await this.beside();
    if (this.model === model) await this.load(first ?? model, this.backend); // else one was chosen meanwhile
  }

  /** @returns {Promise<import('../network/model.js').Listed[]>} the models beside the page */
  beside() {
    return (this.#beside ??= modelsBeside());
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
    const last = this.upscaler;
    this.problem = '';
    this.coming = model;
    this.#isLoading = true;
    this.#showState();
    if (last) this.#showChip(this.model.name, `loading ${model.name}…`);
    else this.#await(model, backend);
    announce(LOADING);
    let upscaler;
    try {
      const onStatus = (status) => upscaler && upscaler === this.upscaler && this.#showStatus(status);
      const { tile, precision } = this;
      upscaler = await loadUpscaler(sourceOf(model), { backend, tile, precision, onStatus, signal });
    } catch (error) {
      if (!signal.aborted) this.#fail(error);
      return false;
    }
    this.dispatchEvent(new Event('leave'));
    last?.dispose();
    Object.assign(this, { model, backend, upscaler, coming: null });
    this.#isLoading = false;
    if (last) this.dispatchEvent(new Event('choose'));
    const { scale, status } = upscaler;
    this.#showStatus(status);
    if (model.url) keepOffline(model.url);
    this.#showState();
    hush(LOADING);
    say(`Ready: enlarges ${scale} times on ${LABELS[status.backend]}.`);
    this.dispatchEvent(new Event('ready'));
    return true;
  }

  /**
   * Take a model from files into use; what cannot be read leaves the present one in use.
   * @param {File[]} files as for `readModelFiles`
   * @returns {Promise<boolean>} whether it is in use now; if not, the page has been told why
   */
  async loadFiles(files) {
    announce('Reading the model…');
    const { modelFile, readModelFiles } = await import('../checkpoints/model-files.js');
    try {
      const artifacts = await readModelFiles(files);
      return await this.load({ name: modelFile(files).name, artifacts }, this.backend);
    } catch (error) {
      announce(this.upscaler ? `${error.message} ${this.model.name} stays in use.` : error.message);
      return false;
    }
  }

  /** @param {boolean} on whether an image is being enlarged */
  setBusy(on) {
    this.#isBusy = on;
    this.#showState();
  }

  #showState() {
    if (this.#isLoading) setState('loading');
    else if (!this.upscaler) setState('error');
    else setState(this.#isBusy ? 'busy' : 'ready');
  }

  /** No model is in use until this one is. */
  #await(model, backend) {
    Object.assign(this, { model, backend });
    this.#showChip('', 'Loading…');
    this.dispatchEvent(new Event('choose'));
  }

  /** The model that was chosen cannot be used. */
  #fail({ message }) {
    this.coming = null;
    this.#isLoading = false;
    this.problem = this.upscaler ? `${message.replace(/\.?$/, '.')} ${this.model.name} stays in use.` : message;
    if (this.upscaler) this.#showStatus(this.upscaler.status);
    else {
      document.documentElement.dataset.backend = '';
      this.#showChip('', 'No model');
    }
    this.#showState();
    this.dispatchEvent(new Event('choose'));
    announce(this.problem);
  }

  /** @returns {string | import('../network/model.js').ModelArtifacts} what `loadUpscaler` takes for the model */
  get source() {
    return sourceOf(this.model);
  }

  /** @returns {Promise<import('../network/model.js').ModelArtifacts>} of the model */
  async artifacts() {
    const { source } = this;
    return typeof source === 'string' ? fetchModel(source) : source;
  }

  /** @param {import('../span.js').Status} status */
  #showStatus({ backend, notice }) {
    document.documentElement.dataset.backend = backend;
    if (notice) announce(`${notice}.`);
    this.#showChip(this.model.name, '');
  }

  #showChip(model, text) {
    $('chip-model').textContent = model;
    $('chip-text').textContent = text;
    this.dispatchEvent(new Event('change'));
  }
}

/** @param {Model} model @returns what `loadUpscaler` takes for it */
const sourceOf = ({ artifacts, url }) => artifacts ?? /** @type {string} */ (url);

/** models/x4/model.json -> x4 */
function modelName(url) {
  return url?.split('/').at(-2) || 'Default model';
}

/** Browsers run service workers only for pages from https: or this computer. */
async function keepOffline(url) {
  const registration = await navigator.serviceWorker?.ready;
  registration?.active?.postMessage({ model: new URL(url, document.baseURI).href });
}
