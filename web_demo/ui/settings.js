/** The dialog that chooses a model and a backend, and shows why others are not used. */
import { CHAIN, LABELS } from '../engine/backend.js';
import { modelFile, readModelFiles } from '../checkpoints/model-files.js';
import { modelsBeside } from '../network/model.js';
import { bytes } from './format.js';
import { announce } from './page.js';

const TEMPLATE = `
  <form method="dialog" novalidate>
  <h2 id="settings-title">Details</h2>
  <div class="dialog-body">
  <label class="field"><span>Model</span><select id="model"></select></label>
  <div class="field"><span id="other-label">Another model</span>
    <div class="row"><button type="button" class="button" id="model-files">From files…</button>
      <input type="url" id="model-url" placeholder="https://… /model.json" aria-label="Address of a model.json" />
      <button type="button" class="button" id="model-fetch">Load</button></div>
    <span class="note">A model.json together with its .bin files, or a .safetensors, as span-export writes them.</span></div>
  <input type="file" id="model-input" multiple accept=".json,.bin,.safetensors" hidden aria-label="Model files" />
  <label class="field"><span>Backend</span><select id="backend"></select></label>
  <label class="check"><input type="checkbox" id="tta" /><span>Best quality, 8 times slower</span></label>
  <span class="note">The mean of what the network makes of the image turned and mirrored; for the next images.</span>
  <p class="problem" id="problem" role="alert"></p>
  <ul class="note reasons" id="reasons"></ul>
  <p class="note" id="memory"></p>
  </div>
  <div class="dialog-actions"><button class="button primary">Done</button></div>
  </form>`;

/** @typedef {import('./models.js').Model & {stored?: boolean}} Choice `stored`: in this browser, under its name */

export class Settings {
  #dialog;
  #models;
  #picker;
  #backends;
  #find;
  /** By the values of the picker's options. @type {Map<string, Choice>} */
  #choices = new Map();
  /** How many models were chosen, and which of these choices was taken last. */
  #chosen = 0;
  #taken = 0;

  /**
   * @param {HTMLDialogElement} dialog an empty one
   * @param {import('./models.js').Models} models that are chosen here
   */
  constructor(dialog, models) {
    dialog.innerHTML = TEMPLATE;
    this.#dialog = dialog;
    this.#models = models;
    /** @type {(id: string) => any} */
    this.#find = (id) => dialog.querySelector(`#${id}`);
    [this.#picker, this.#backends] = ['model', 'backend'].map(this.#find);
    this.#backends.append(new Option('Automatic', 'auto'), ...CHAIN.map((name) => new Option(LABELS[name], name)));
    this.#listen();
  }

  open() {
    this.update();
    if (!this.#dialog.open) this.#dialog.showModal();
    this.list();
  }

  /** Show what is in use. */
  update() {
    const { problem, backend, upscaler } = this.#models;
    this.#find('problem').textContent = problem; // the status line is out of reach behind the dialog
    this.#backends.value = backend;
    this.#find('reasons').replaceChildren(...sentences(upscaler?.status).map(entry));
    this.#showMemory();
  }

  /**
   * List models beside the page, stored in the browser, and the one in use. Offline, those are out of reach that were
   * not used.
   */
  async list() {
    const [beside, store] = await Promise.all([modelsBeside(), import('../storage/models.js')]);
    const kept = await store.listModels().catch(() => []);
    const choices = this.#choices;
    choices.clear();
    choices.set('current', this.#models.model);
    for (const one of beside) if (one.url !== this.#models.model.url) choices.set(`page:${one.name}`, one);
    for (const { name } of kept) choices.set(`stored:${name}`, { name, stored: true });
    this.#picker.replaceChildren(...(await Promise.all([...choices].map(option))));
  }

  #listen() {
    const models = this.#models;
    const [input, url, fetchButton] = ['model-input', 'model-url', 'model-fetch'].map(this.#find);
    this.#picker.addEventListener('change', () =>
      this.#choose(/** @type {Choice} */ (this.#choices.get(this.#picker.value))),
    );
    this.#backends.addEventListener('change', () => models.load(models.model, this.#backends.value));
    this.#find('tta').addEventListener('change', ({ target }) => (models.tta = target.checked));
    this.#find('model-files').addEventListener('click', () => input.click());
    input.addEventListener('change', () => {
      this.#readFiles([...input.files]);
      input.value = ''; // other files, or the same again, can be chosen while these are read
    });
    url.addEventListener('keydown', (event) => {
      if (event.key !== 'Enter') return;
      event.preventDefault(); // it would press Done
      fetchButton.click();
    });
    fetchButton.addEventListener('click', () => this.#fetch(url.value));
  }

  /** @param {Choice} choice */
  async #choose(choice) {
    const number = ++this.#chosen;
    await this.#attempt(async () => this.#take(number, choice.stored ? await readStored(choice.name) : choice));
    if (this.#models.problem) await this.list();
  }

  async #readFiles(files) {
    const number = ++this.#chosen;
    await this.#attempt(async () => {
      const artifacts = await readModelFiles(files);
      const { name } = modelFile(files);
      await this.#take(number, { name, artifacts });
      await this.list();
    });
  }

  async #fetch(url) {
    if (!url) return;
    await this.#take(++this.#chosen, { name: url.split('/').slice(-2, -1)[0] || url, url });
    await this.list();
  }

  /** Do what may fail to read a model; the present one then stays in use. */
  async #attempt(action) {
    try {
      await action();
    } catch (error) {
      this.#models.problem = error.message;
      announce(error.message);
      this.update();
      await this.list();
    }
  }

  /** Load what was chosen, unless a later choice could be read sooner. @param {number} number @param {Choice} model */
  #take(number, model) {
    if (number < this.#taken) return;
    this.#taken = number;
    return this.#models.load(model, this.#models.backend);
  }

  /** Show what is allocated on the backend. */
  async #showMemory() {
    const { upscaler } = this.#models;
    const memory = await upscaler?.memory().catch(() => null); // it may be disposed of meanwhile
    if (!memory || upscaler !== this.#models.upscaler) return;
    this.#find('memory').textContent = `${memory.tensors} tensors, ${bytes(memory.bytes)}`;
  }
}

/** @param {import('../span.js').Status} [status] @returns {string[]} the backend in use, and why not others */
function sentences(status) {
  if (!status) return [];
  const { backend, tile, demoted } = status;
  const reasons = demoted.map(({ backend: other, reason }) => `${LABELS[other]} is not used: ${reason}.`);
  return [`${LABELS[backend]} is in use, in tiles of ${tile} × ${tile} pixels.`, ...reasons];
}

async function readStored(name) {
  const artifacts = await (await import('../storage/models.js')).loadModel(name);
  if (!artifacts) throw new Error(`${name} is not stored in this browser any longer.`);
  return { name, artifacts };
}

/** @param {[string, Choice]} choice @returns {Promise<HTMLOptionElement>} */
async function option([value, model]) {
  const isThere = await isReachable(model);
  const hint = model.stored ? ' (saved here)' : isThere ? '' : ' (needs a connection)';
  return Object.assign(new Option(model.name + hint, value), { disabled: !isThere });
}

/** Tell whether a model can be had: offline, the service worker has only what was used. @param {Choice} model */
async function isReachable({ url }) {
  return navigator.onLine || !url || Boolean(await globalThis.caches?.match(new URL(url, document.baseURI)));
}

function entry(text) {
  return Object.assign(document.createElement('li'), { textContent: text });
}
