/**
 * The page's controller: owns the state, hands work to `span.js`, and lets the modules of `ui/` own the DOM.
 *
 * The training view is mounted when its tab is first opened:
 *
 *     const { mountTraining } = await import('./train/view.js');
 *     const view = await mountTraining(root, {
 *       getModel,    // () => Promise<{name: string, artifacts: ModelArtifacts}> the model chosen in the page;
 *                    //   artifacts are TF.js's {modelTopology, weightSpecs, weightData, userDefinedMetadata}
 *       setModel,    // ({name, artifacts}) => Promise<void> makes a trained model the page's model
 *       announce,    // (text) => void, one sentence for the status line and screen readers
 *       onModelsChanged, // () => void, call it after saveModel or deleteModel: the model picker reads the store again
 *     });
 *     view.show(); view.hide();   // the tab was opened, or another one was
 *     view.take(files);           // they were dropped or pasted while the tab was open
 *
 * Buttons, cards, fields and tables use the classes of `style.css`: `.button`, `.button.primary`, `.card`, `.field`,
 * `.note`, `.figures`. `root` is an empty <section>.
 */

import { LABELS } from './backend.js';
import { fetchModel, modelsBeside } from './model.js';
import { loadUpscaler } from './span.js';
import { Compare, resultCanvas } from './ui/compare.js';
import { bytes, duration, size } from './ui/format.js';
import { mountIntake } from './ui/intake.js';
import { mountQueue } from './ui/queue.js';
import { mountSettings } from './ui/settings.js';
import { mountTabs } from './ui/tabs.js';

const $ = (id) => document.getElementById(id);
const page = document.documentElement;
const query = new URLSearchParams(location.search);

/**
 * @typedef {object} Item an image on its way
 * @property {File} file
 * @property {string} name
 * @property {string} url for showing it
 * @property {'waiting' | 'held' | 'running' | 'done' | 'failed' | 'cancelled'} state `held`: its result is so large that
 *   the user chooses a file for it first
 * @property {number} progress 0..1
 * @property {string} [detail] what to say about it
 * @property {HTMLCanvasElement} [canvas] its result as far as it is finished
 * @property {boolean} [alpha] whether it is transparent anywhere
 * @property {FileSystemWritableFileStream} [write] takes a very large result
 * @property {number} [scale] of the model that enlarged it: another may be loaded by the time it is saved
 * @property {import('./span.js').Result} [result]
 */
const state = {
  view: 'upscale',
  /** @type {{name: string, url?: string, artifacts?: object}} */
  model: { name: modelName(query.get('model')), url: query.get('model') ?? 'model.json' },
  backend: query.get('backend') ?? 'auto',
  /** @type {import('./span.js').Upscaler | null} */
  upscaler: null,
  /** @type {Item[]} */
  items: [],
  /** @type {Item | null} */
  current: null,
  /** @type {AbortController | null} of the running item */
  running: null,
};

/** Results with more pixels than this go straight to a file where the browser can: 16 million per gigabyte of memory. */
const LARGE = 16e6 * (navigator.deviceMemory ?? 4);

const compare = new Compare($('compare'));
const queue = mountQueue($('queue'), choose);

// ---- The model ----

/** models/x4/model.json -> x4 */
function modelName(url) {
  return url?.split('/').at(-2) || 'Default model';
}

/** Number of the latest load: an earlier one that ends later is dropped. */
let loads = 0;

async function load(model, backend) {
  const mine = ++loads;
  state.running?.abort();
  state.upscaler?.dispose();
  Object.assign(state, { model, backend, upscaler: null });
  setState('loading');
  announce('Loading the model…');
  try {
    const tile = Number(query.get('tile')) || undefined;
    const upscaler = await loadUpscaler(model.artifacts ?? model.url, { backend, tile, onStatus: showStatus });
    if (mine !== loads) return upscaler.dispose();
    state.upscaler = upscaler;
    showMemory(upscaler);
    showStatus(upscaler.status);
    if (model.url) keepOffline(model.url);
    setState('ready');
    announce(`Ready: enlarges ${upscaler.scale} times on ${LABELS[upscaler.status.backend]}.`);
    work();
  } catch (error) {
    if (mine !== loads) return;
    setState('error');
    page.dataset.backend = '';
    $('chip-model').textContent = '';
    $('chip-text').textContent = 'No model';
    announce(error.message);
  }
}

/** Browsers run service workers only for pages from https: or this computer. */
async function keepOffline(url) {
  const registration = await navigator.serviceWorker?.ready;
  registration?.active.postMessage({ model: new URL(url, document.baseURI).href });
}

function showStatus(status) {
  page.dataset.backend = status.backend;
  $('chip-model').textContent = state.model.name;
  $('chip-text').textContent = LABELS[status.backend];
  if (status.notice) announce(`${status.notice}.`);
  settings.update();
}

function setState(name) {
  page.dataset.state = name;
  if (name === 'loading') {
    $('chip-model').textContent = '';
    $('chip-text').textContent = 'Loading…';
  }
  settings.update();
}

function announce(text) {
  $('status').textContent = text;
}

const complain = (error) => announce(error.message);

/** Without ?model=, the first of the models beside the page; else the one model that lies there. */
async function start() {
  const [first] = query.has('model') ? [] : await modelsBeside();
  await load(first ?? state.model, state.backend);
}

// ---- The images ----

function addFiles(files) {
  const images = files.filter((file) => file.type.startsWith('image/') || /\.(avif|bmp|gif|jpe?g|png|webp)$/i.test(file.name));
  if (!images.length) return announce(`${files[0]?.name ?? 'This'} is not an image; choose PNG, JPEG, WebP, AVIF, BMP or GIF.`);
  const items = images.map((file) => {
    const name = file.name || 'pasted.png';
    return { file, name, url: URL.createObjectURL(file), state: 'waiting', progress: 0, detail: 'Waiting' };
  });
  state.items.push(...items);
  choose(items[0]);
  work();
}

function choose(item) {
  state.current = item;
  render();
  if (item) showImages(item);
}

async function showImages(item) {
  const image = new Image();
  image.src = item.url;
  await image.decode().catch(() => {}); // a broken file shows as such; the upscaler says what is wrong
  if (state.current !== item) return;
  const { naturalWidth: width, naturalHeight: height } = image;
  compare.show({ image, canvas: item.canvas, alpha: item.alpha, width, height, scale: state.upscaler?.scale ?? 1 });
}

/** Take waiting images one after another. */
async function work() {
  if (state.running || !state.upscaler) return;
  const item = state.items.find(({ state }) => state === 'waiting');
  if (!item) return;
  const controller = (state.running = new AbortController());
  const { upscaler } = state;
  await holdLarge(item, upscaler.scale);
  if (item.state !== 'waiting') {
    state.running = null;
    return work();
  }
  Object.assign(item, { state: 'running', detail: 'Reading', progress: 0, scale: upscaler.scale });
  setState('busy');
  render();
  try {
    item.result = await run(item, upscaler, controller.signal);
    const { width, height, milliseconds, backend } = item.result;
    item.detail = `${size(width, height)} in ${duration(milliseconds)} on ${LABELS[backend]}${item.write ? ', written' : ''}`;
    item.state = 'done';
    announce(`${item.name} is done: ${item.detail}.`);
  } catch (error) {
    const cancelled = error.name === 'AbortError';
    Object.assign(item, { state: cancelled ? 'cancelled' : 'failed', detail: cancelled ? 'Cancelled' : error.message });
    announce(cancelled ? `${item.name} was cancelled.` : error.message);
  }
  state.running = null;
  showMemory(upscaler);
  if (state.upscaler) setState('ready');
  render();
  work();
}

/** A large result waits for a file to be written into: browsers let a page ask only when the user clicks. */
async function holdLarge(item, scale) {
  if (item.write || !('showSaveFilePicker' in window)) return;
  const image = new Image();
  image.src = item.url;
  await image.decode().catch(() => {});
  const pixels = image.naturalWidth * image.naturalHeight * scale ** 2;
  if (!(pixels > LARGE) || item.state !== 'waiting') return; // it may be cancelled meanwhile
  item.state = 'held';
  item.detail = `The result will have ${Math.round(pixels / 1e6)} million pixels: choose a file for it.`;
  render();
}

async function chooseFile(item) {
  const { resultName } = await import('./ui/download.js');
  const suggestedName = resultName(item.name, state.upscaler.scale, 'image/png');
  const handle = await showSaveFilePicker({ suggestedName, types: [{ accept: { 'image/png': ['.png'] } }] }).catch(() => null);
  if (!handle) return; // the user changed their mind
  Object.assign(item, { write: await handle.createWritable(), state: 'waiting', detail: 'Waiting' });
  render();
  work();
}

function run(item, upscaler, signal) {
  let painter, started;
  return upscaler.upscale(item.file, {
    signal,
    write: item.write,
    onSize(result) {
      started = performance.now();
      painter = resultCanvas(result);
      Object.assign(item, { canvas: painter.canvas, alpha: result.alpha });
      if (state.current === item) showImages(item);
    },
    onTile: (tile) => painter.paint(tile),
    onProgress({ done, total }) {
      item.progress = done / total;
      const left = ((performance.now() - started) / done) * (total - done);
      item.detail = `Tile ${done} of ${total}${done < total ? `, ${duration(left)} left` : ''}`;
      render();
    },
  });
}

function clear() {
  state.running?.abort();
  for (const { url } of state.items) URL.revokeObjectURL(url);
  state.items = [];
  choose(null);
}

async function download() {
  const { current: item } = state;
  if (item.state === 'held') return chooseFile(item);
  const { convert, resultName, save } = await import('./ui/download.js');
  const type = $('format').value;
  save(await convert(item, type), resultName(item.name, item.scale, type));
}

async function downloadAll() {
  const [{ convert, resultName, save }, { zip }] = await Promise.all([import('./ui/download.js'), import('./ui/zip.js')]);
  const type = $('format').value;
  const done = state.items.filter(({ result }) => result?.blob);
  const files = [];
  for (const item of done) files.push({ name: resultName(item.name, item.scale, type), blob: await convert(item, type) });
  save(await zip(files), 'span.zip');
}

async function showMemory(upscaler) {
  const memory = await upscaler.memory().catch(() => null); // it may be disposed of meanwhile
  if (!memory || upscaler !== state.upscaler) return;
  $('memory').textContent = `${memory.tensors} tensors, ${bytes(memory.bytes)}`;
}

let frame = 0;

/** Show the state with the next frame, however often it changes until then. */
function render() {
  frame ||= requestAnimationFrame(() => {
    frame = 0;
    draw();
  });
}

function draw() {
  const { items, current } = state;
  $('drop').hidden = items.length > 0;
  $('workspace').hidden = items.length === 0;
  queue.update(items, current);
  $('job-name').textContent = current?.name ?? '';
  $('job-detail').textContent = current?.detail ?? '';
  $('job-progress').value = current?.state === 'done' ? 1 : (current?.progress ?? 0);
  $('cancel').disabled = !['running', 'waiting', 'held'].includes(current?.state);
  $('download').textContent = current?.state === 'held' ? 'Choose file' : 'Download';
  $('download').disabled = current?.state !== 'held' && !current?.result?.blob;
  $('download-all').disabled = !items.some(({ result }) => result?.blob);
}

function cancel() {
  const { current: item } = state;
  if (item.state === 'running') return state.running.abort();
  Object.assign(item, { state: 'cancelled', detail: 'Cancelled' });
  render();
}

// ---- The views ----

/** Views are loaded when they are first opened. */
let training, measuring;

async function showView(view) {
  state.view = view;
  if (view === 'measure') {
    const getSource = () => state.model.artifacts ?? state.model.url;
    measuring ??= import('./ui/measure.js').then(({ mountMeasure }) => mountMeasure($('measure'), { getSource }));
  }
  if (view === 'train') {
    training ??= import('./train/view.js').then(({ mountTraining }) => mountTraining($('train'), trainingContext));
    (await training).show();
  } else if (training) (await training).hide();
}

const trainingContext = {
  getModel: async () => ({ name: state.model.name, artifacts: state.model.artifacts ?? (await fetchModel(state.model.url)) }),
  setModel: (model) => load(model, state.backend),
  onModelsChanged: () => settings.list(),
  announce,
};

/** Images that are dropped or pasted belong to the view that is shown. */
function takeFiles(files) {
  if (state.view === 'measure') measuring.then(({ take }) => take(files[0]));
  else if (state.view === 'train') training.then((view) => view.take(files));
  else addFiles(files);
}

// ---- Wiring ----

const settings = mountSettings($('settings'), $('settings-button'), { state, load, announce });
mountIntake($('files'), [$('choose'), $('add')], takeFiles);
$('cancel').addEventListener('click', cancel);
$('clear').addEventListener('click', clear);
$('download').addEventListener('click', () => download().catch(complain));
$('download-all').addEventListener('click', () => downloadAll().catch(complain));
mountTabs(showView);
start();
if ('serviceWorker' in navigator) addEventListener('load', () => navigator.serviceWorker.register('sw.js'));
