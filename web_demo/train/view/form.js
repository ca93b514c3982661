/** The card with what the training starts from and its settings. */

import { CHAIN, LABELS } from '../../engine/backend.js';
import { BLOCKS, CHANNELS, SCALES } from '../../constants.js';
import { count } from '../../ui/format.js';
import { DEFAULTS, FIELDS, SIZES, validate } from '../settings.js';

const NETWORK_FIELDS = [
  { key: 'channels', label: 'Channels', min: 4, max: 128 },
  { key: 'blocks', label: 'Blocks', min: 1, max: 12 },
];
const HINTS = { vggWeight: '0: MAE alone', halveAt: 'Leave empty for a constant rate.' };
const SIZE_NAMES = /** @type {Array<keyof typeof SIZES>} */ (Object.keys(SIZES));

const card = (name, value, title, note = '') => `
  <label class="train-option"><input type="radio" name="${name}" value="${value}" />
    <span><strong>${title}</strong><span class="note" data-${name}="${value}">${note}</span></span></label>`;

const options = (values, label) => values.map((value) => `<option value="${value}">${label(value)}</option>`).join('');

const networkField = ({ key, label, min, max }) => `
  <label class="field"><span>${label}</span><input type="number" id="train-${key}" min="${min}" max="${max}" step="1"
    aria-describedby="train-network-problem" /></label>`;

/** @param {import('../settings.js').Field} field */
function fieldMarkup({ key, label, list, unit }) {
  const mode = list ? 'text' : 'decimal';
  const hint = HINTS[key] ?? unit;
  return `
    <label class="field ${list ? 'wide' : ''}"><span>${label}</span>
      <input type="text" id="train-${key}" inputmode="${mode}" autocomplete="off" aria-describedby="train-${key}-problem" />
      ${hint ? `<span class="note">${hint}</span>` : ''}
      <span class="train-problem" id="train-${key}-problem"></span></label>`;
}

const TEMPLATE = `
  <fieldset class="train-fields">
    <legend><h3>Start from</h3></legend>
    <div class="train-options" id="train-origins">
      ${card('origin', 'stored', 'The stored training')}${card('origin', 'page', 'The model of this page')}
      ${card('origin', 'file', 'The loaded file')}${card('origin', 'scratch', 'Scratch', 'A new network')}
    </div>
    <label class="field" id="train-new" hidden><span>Scale</span>
      <select id="train-scale">${options(SCALES, (s) => `×${s}`)}</select></label>
  </fieldset>
  <fieldset class="train-fields">
    <legend><h3>How long</h3></legend>
    <div class="train-options" id="train-sizes">
      ${SIZE_NAMES.map((size) => card('size', size, SIZES[size].label, SIZES[size].hint)).join('')}
    </div>
    <p class="note" id="train-size-note" role="status"></p>
  </fieldset>
  <details id="train-more">
    <summary><h3>More settings</h3></summary>
    <fieldset class="train-fields">
      <legend class="visually-hidden">More settings</legend>
      <div class="train-grid" id="train-network" hidden>
        ${NETWORK_FIELDS.map(networkField).join('')}
        <label class="field wide"><span>Variant</span><select id="train-variant">
          <option value="span">LeakyReLU, tanh</option><option value="official">SiLU, sigmoid</option></select></label>
        <p class="note wide">PyTorch tools such as spandrel and chaiNNer know SiLU and ${BLOCKS} blocks only.</p>
        <p class="train-problem" id="train-network-problem"></p>
      </div>
      <div class="train-grid">
        ${FIELDS.map(fieldMarkup).join('')}
        <label class="field wide"><span>Backend</span><select id="train-backend"><option value="auto">Automatic</option>
          ${options(CHAIN, (name) => LABELS[name])}</select></label>
      </div>
    </fieldset>
  </details>`;

export class Form {
  #root;
  /** @type {(id: string) => any} */
  #find;

  /** @param {HTMLFormElement} root an empty one */
  constructor(root) {
    root.innerHTML = TEMPLATE;
    this.#root = root;
    this.#find = (id) => root.querySelector(`#train-${id}`);
    for (const [key, value] of Object.entries({ scale: 4, channels: CHANNELS, blocks: BLOCKS })) {
      this.#find(key).value = String(value);
    }
    this.#listen();
    this.#describe('stored', null);
    this.#describe('file', null);
    this.#select('page');
    this.write(DEFAULTS);
  }

  /** @returns {string} what the training is to start from: stored, page, file or scratch */
  get originKind() {
    return /** @type {any} */ (this.#root.querySelector('input[name=origin]:checked')).value;
  }

  get backend() {
    return this.#find('backend').value;
  }

  /** @returns {{scale: number, channels: number, blocks: number, variant: string}} of a new network */
  get network() {
    const [scale, channels, blocks] = ['scale', 'channels', 'blocks'].map((key) => Number(this.#find(key).value));
    return { scale, channels, blocks, variant: this.#find('variant').value };
  }

  /** @param {import('../settings.js').Settings} settings */
  write(settings) {
    for (const { key } of FIELDS) this.#find(key).value = [settings[key]].flat().join(', ');
    this.#check();
  }

  /** @returns {{settings: import('../settings.js').Settings, problem: string}} the first problem's field has the focus */
  read() {
    const { settings, problems } = this.#check();
    const [wrong] = Object.keys(problems);
    if (wrong) {
      this.#find('more').open = true;
      this.#find(wrong).focus();
    }
    return { settings, problem: problems[wrong] ?? '' };
  }

  /** Fill in one of `SIZES`; a small network is a new one. @param {keyof typeof SIZES} size */
  choose(size) {
    const { network } = SIZES[size];
    for (const [key, value] of Object.entries(network)) this.#find(key).value = String(value);
    if (size === 'quick') this.#select('scratch');
    this.write(settingsOf(size));
  }

  /** Say why a size was chosen, until the user changes something. @param {string} text */
  explain(text) {
    this.#find('size-note').textContent = text;
  }

  /** @param {string} [name] by default, what the page takes */
  chooseBackend(name = 'auto') {
    this.#find('backend').value = name;
  }

  /** @param {any} stored see `TrainingSession.peek`; null if nothing is */
  describeStored(stored) {
    const text = stored && `x${stored.config.scale}, ${stored.config.channels} channels, at step ${count(stored.step)}`;
    this.#describe('stored', text);
    if (stored) this.#select('stored');
    else if (this.originKind === 'stored') this.#select('page');
  }

  /** @param {string} name @param {import('../../network/model.js').SpanConfig} config */
  describeFile(name, config) {
    this.#describe('file', `${name}: x${config.scale}, ${config.channels} channels`);
    this.#select('file');
  }

  /** @param {string | null} name of the page's model, `null` if it has none */
  describePage(name) {
    this.#describe('page', name);
    if (!name && this.originKind === 'page') this.#select('scratch');
  }

  /** @param {boolean} on */
  setEnabled(on) {
    for (const fieldset of this.#root.querySelectorAll('fieldset')) fieldset.disabled = !on;
  }

  #listen() {
    this.#root.addEventListener('submit', (event) => event.preventDefault());
    this.#root.addEventListener('input', () => {
      this.explain('');
      this.#check();
    });
    this.#find('origins').addEventListener('change', () => this.#originChanged());
    this.#find('sizes').addEventListener('change', ({ target }) => this.choose(target.value));
  }

  /** Show a sentence at every wrong field, and the size that the settings are of. */
  #check() {
    const values = Object.fromEntries(FIELDS.map(({ key }) => [key, this.#find(key).value]));
    const { settings, problems } = validate(values);
    for (const { key } of FIELDS) {
      this.#mark(key, problems[key]);
      this.#find(`${key}-problem`).textContent = problems[key] ?? '';
    }
    const network = this.#networkProblems();
    for (const { key } of NETWORK_FIELDS) this.#mark(key, network[key]);
    this.#find('network-problem').textContent = Object.values(network).join(' ');
    for (const one of this.#find('sizes').querySelectorAll('input')) one.checked = isSize(one.value, settings);
    return { settings, problems: { ...network, ...problems } };
  }

  #mark(key, problem) {
    this.#find(key).setAttribute('aria-invalid', String(Boolean(problem)));
  }

  #networkProblems() {
    const problems = {};
    for (const { key, label, min, max } of this.originKind === 'scratch' ? NETWORK_FIELDS : []) {
      const { value } = this.#find(key);
      if (value && Number.isInteger(Number(value)) && value >= min && value <= max) continue;
      problems[key] = `${label} must be a whole number from ${min} to ${max}, found ${value || 'nothing'}.`;
    }
    return problems;
  }

  /** @param {string} kind of what a training starts from @returns {any} */
  #radio(kind) {
    return this.#root.querySelector(`input[name=origin][value=${kind}]`);
  }

  #select(kind) {
    this.#radio(kind).checked = true;
    this.#originChanged();
  }

  #originChanged() {
    this.#find('network').hidden = this.#find('new').hidden = this.originKind !== 'scratch';
    this.#check();
  }

  /** Say what a start is; without a text it is not offered. */
  #describe(kind, text) {
    const label = this.#radio(kind).closest('label');
    label.hidden = !text;
    label.querySelector('[data-origin]').textContent = text ?? '';
  }
}

/** @param {keyof typeof SIZES} size @returns {import('../settings.js').Settings} */
const settingsOf = (size) => ({ ...DEFAULTS, ...SIZES[size].settings });

/** Whether settings are those of a size; what was changed by hand is of none. */
const isSize = (size, settings) =>
  Object.entries(settingsOf(size)).every(([key, value]) => String(settings[key]) === String(value));
