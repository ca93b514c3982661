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

/** @param {HTMLFormElement} root */
export function mountForm(root) {
  root.innerHTML = `
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
  /** @type {(id: string) => any} */
  const find = (id) => root.querySelector(`#${id}`);
  const input = (key) => find(`train-${key}`);
  /** @type {(kind: string) => any} */
  const radio = (kind) => root.querySelector(`input[name=origin][value=${kind}]`);
  /** @type {NodeListOf<HTMLInputElement>} */
  const sizes = root.querySelectorAll('input[name=size]');
  find('train-scale').value = '4';
  find('train-channels').value = String(CHANNELS);
  find('train-blocks').value = String(BLOCKS);

  const write = (settings) => {
    for (const { key, list } of FIELDS) input(key).value = list ? settings[key].join(', ') : String(settings[key]);
    check();
  };
  /** Show a sentence at every wrong field. */
  const check = () => {
    const values = Object.fromEntries(FIELDS.map(({ key }) => [key, input(key).value]));
    const { settings, problems } = validate(values);
    for (const { key } of FIELDS) {
      mark(key, problems[key]);
      find(`train-${key}-problem`).textContent = problems[key] ?? '';
    }
    const network = networkProblems();
    for (const { key } of NETWORK_FIELDS) mark(key, network[key]);
    find('train-network-problem').textContent = Object.values(network).join(' ');
    for (const one of sizes) one.checked = isSize(one.value, settings);
    return { settings, problems: { ...network, ...problems } };
  };
  const mark = (key, problem) => input(key).setAttribute('aria-invalid', String(Boolean(problem)));
  const networkProblems = () => {
    const problems = {};
    for (const { key, label, min, max } of api.originKind() === 'scratch' ? NETWORK_FIELDS : []) {
      const { value } = input(key);
      if (value && Number.isInteger(Number(value)) && value >= min && value <= max) continue;
      problems[key] = `${label} must be a whole number from ${min} to ${max}, found ${value || 'nothing'}.`;
    }
    return problems;
  };
  const select = (kind) => {
    radio(kind).checked = true;
    originChanged();
  };
  const originChanged = () => {
    find('train-network').hidden = find('train-new').hidden = api.originKind() !== 'scratch';
    check();
  };
  const explain = (text) => (find('train-size-note').textContent = text);
  const describe = (kind, text) => {
    radio(kind).closest('label').hidden = !text;
    radio(kind).parentElement.querySelector('[data-origin]').textContent = text ?? '';
  };

  root.addEventListener('submit', (event) => event.preventDefault());
  root.addEventListener('input', () => {
    explain('');
    check();
  });
  find('train-origins').addEventListener('change', originChanged);
  find('train-sizes').addEventListener('change', ({ target }) => api.choose(target.value));

  const api = {
    write,
    /** @returns {string} */
    originKind: () => /** @type {any} */ (root.querySelector('input[name=origin]:checked')).value,
    backend: () => find('train-backend').value,
    /** @param {string} [name] by default, what the page takes */
    chooseBackend: (name = 'auto') => (find('train-backend').value = name),
    /** Fill in one of `SIZES`; a small network is a new one. @param {keyof typeof SIZES} size */
    choose(size) {
      const { network } = SIZES[size];
      for (const [key, value] of Object.entries(network)) find(`train-${key}`).value = String(value);
      if (size === 'quick') select('scratch');
      write(settingsOf(size));
    },
    /** Say why a size was chosen, until the user changes something. @param {string} text */
    explain,
    /** @returns {{settings: import('../settings.js').Settings, problem: string}} the first problem's field has the focus */
    read() {
      const { settings, problems } = check();
      const [wrong] = Object.keys(problems);
      if (wrong) {
        find('train-more').open = true;
        input(wrong).focus();
      }
      return { settings, problem: problems[wrong] ?? '' };
    },
    network: () => ({
      scale: Number(find('train-scale').value),
      channels: Number(find('train-channels').value),
      blocks: Number(find('train-blocks').value),
      variant: find('train-variant').value,
    }),
    /** @param {any} stored see `TrainingSession.peek`; null if nothing is */
    describeStored(stored) {
      const text =
        stored && `x${stored.config.scale}, ${stored.config.channels} channels, at step ${count(stored.step)}`;
      describe('stored', text);
      if (stored) select('stored');
      else if (api.originKind() === 'stored') select('page');
    },
    describeFile(name, config) {
      describe('file', `${name}: x${config.scale}, ${config.channels} channels`);
      select('file');
    },
    /** @param {string | null} name of the page's model, `null` if it has none */
    describePage(name) {
      describe('page', name);
      if (!name && api.originKind() === 'page') select('scratch');
    },
    setEnabled(on) {
      for (const fieldset of root.querySelectorAll('fieldset')) fieldset.disabled = !on;
    },
  };

  describe('stored', null);
  describe('file', null);
  select('page');
  write(DEFAULTS);
  return api;
}

/** @param {keyof typeof SIZES} size @returns {import('../settings.js').Settings} */
const settingsOf = (size) => ({ ...DEFAULTS, ...SIZES[size].settings });

/** Whether settings are those of a size; what was changed by hand is of none. */
const isSize = (size, settings) =>
  Object.entries(settingsOf(size)).every(([key, value]) => String(settings[key]) === String(value));

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
