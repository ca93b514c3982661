/** The dialog that chooses a model and a backend, and shows why others are not used. */
import { CHAIN, LABELS } from '../engine/backend.js';
import { modelFile, readModelFiles } from '../checkpoints/model-files.js';
import { modelsBeside } from '../network/model.js';
import { bytes } from './format.js';
import { announce } from './page.js';

/**
 * @param {HTMLDialogElement} dialog an empty one
 * @param {import('./models.js').Models} models that are chosen here
 * @returns {{open: () => void, update: () => void, list: () => Promise<void>}} `update` shows what is in use, `list` the
 *   models that there are
 */
export function mountSettings(dialog, models) {
  dialog.innerHTML = `
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
  /** @type {(id: string) => any} */
  const find = (id) => dialog.querySelector(`#${id}`);
  const [picker, backends, problem, reasons] = ['model', 'backend', 'problem', 'reasons'].map(find);
  const [url, fetchButton, input] = ['model-url', 'model-fetch', 'model-input'].map(find);
  const choices = new Map();
  backends.append(new Option('Automatic', 'auto'), ...CHAIN.map((name) => new Option(LABELS[name], name)));

  let choicesMade = 0;
  let taken = 0;
  picker.addEventListener('change', async () => {
    const number = ++choicesMade;
    const choice = choices.get(picker.value);
    await attempt(async () => take(number, choice.stored ? await readStored(choice.name) : choice));
    if (models.problem) await list();
  });
  backends.addEventListener('change', () => models.load(models.model, backends.value));
  find('tta').addEventListener('change', ({ target }) => (models.tta = target.checked));
  find('model-files').addEventListener('click', () => input.click());
  input.addEventListener('change', async () => {
    const number = ++choicesMade;
    const files = [...input.files];
    input.value = ''; // other files, or the same again, can be chosen while these are read
    await attempt(async () => {
      const artifacts = await readModelFiles(files);
      const { name } = modelFile(files);
      await take(number, { name, artifacts });
      await list();
    });
  });
  url.addEventListener('keydown', (event) => {
    if (event.key !== 'Enter') return;
    event.preventDefault(); // it would press Done
    fetchButton.click();
  });
  fetchButton.addEventListener('click', async () => {
    if (!url.value) return;
    await take(++choicesMade, { name: url.value.split('/').slice(-2, -1)[0] || url.value, url: url.value });
    await list();
  });

  /** What cannot be read leaves the present model in use. */
  async function attempt(action) {
    try {
      await action();
    } catch (error) {
      models.problem = error.message;
      announce(error.message);
      update();
      await list();
    }
  }

  async function readStored(name) {
    const artifacts = await (await import('../storage/models.js')).loadModel(name);
    if (!artifacts) throw new Error(`${name} is not stored in this browser any longer.`);
    return { name, artifacts };
  }

  /** Load what was chosen, unless a later choice could be read sooner. */
  function take(number, model) {
    if (number < taken) return;
    taken = number;
    return models.load(model, models.backend);
  }

  /** Models beside the page, stored in the browser, and the one in use. Offline, those are out of reach that were not used. */
  async function list() {
    const [beside, store] = await Promise.all([modelsBeside(), import('../storage/models.js')]);
    const kept = await store.listModels().catch(() => []);
    choices.clear();
    choices.set('current', models.model);
    for (const model of beside) if (model.url !== models.model.url) choices.set(`page:${model.name}`, model);
    for (const { name } of kept) choices.set(`stored:${name}`, { name, stored: true });
    const options = [...choices].map(async ([value, model]) => {
      const isThere = await isReachable(model);
      const hint = model.stored ? ' (saved here)' : isThere ? '' : ' (needs a connection)';
      return Object.assign(new Option(model.name + hint, value), { disabled: !isThere });
    });
    picker.replaceChildren(...(await Promise.all(options)));
  }

  function open() {
    update();
    if (!dialog.open) dialog.showModal();
    list();
  }

  function update() {
    problem.textContent = models.problem; // the status line is out of reach behind the dialog
    backends.value = models.backend;
    const status = models.upscaler?.status;
    const lines = status
      ? [`${LABELS[status.backend]} is in use, in tiles of ${status.tile} × ${status.tile} pixels.`]
      : [];
    for (const { backend, reason } of status?.demoted ?? []) lines.push(`${LABELS[backend]} is not used: ${reason}.`);
    reasons.replaceChildren(...lines.map(entry));
    showMemory();
  }

  /** What is allocated on the backend. */
  async function showMemory() {
    const { upscaler } = models;
    const memory = await upscaler?.memory().catch(() => null); // it may be disposed of meanwhile
    if (!memory || upscaler !== models.upscaler) return;
    find('memory').textContent = `${memory.tensors} tensors, ${bytes(memory.bytes)}`;
  }

  return { open, update, list };
}

/** Offline, the service worker has only what was used. */
async function isReachable({ url }) {
  return navigator.onLine || !url || Boolean(await globalThis.caches?.match(new URL(url, document.baseURI)));
}

function entry(text) {
  return Object.assign(document.createElement('li'), { textContent: text });
}
