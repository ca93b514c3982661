/**
 * The page's controller: owns the state, hands work to `span.js`, and lets the modules of `ui/` own the DOM. Views are
 * mounted when their tab is first opened. Buttons, cards, fields and tables use the classes of `style.css`: `.button`,
 * `.button.primary`, `.card`, `.field`, `.note`, `.figures`.
 */

import { LABELS } from './engine/backend.js';
import { fetchModel, modelsBeside } from './network/model.js';
import { loadUpscaler } from './span.js';
import { Compare, resultCanvas } from './ui/compare.js';
import { bytes, duration, size } from './ui/format.js';
import { mountIntake } from './ui/intake.js';
import { mountQueue } from './ui/queue.js';
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
 * @property {HTMLCanvasElement | HTMLImageElement} [after] its result as far as it is finished
 * @property {boolean} [alpha] whether it is transparent anywhere
 * @property {FileSystemWritableFileStream} [write] takes a very large result
 * @property {boolean} [unwritable] the page may ask for no file: the result stays in memory
 * @property {number} [scale] of the model that enlarged it: another may be loaded by the time it is saved
 * @property {import('./span.js').Result} [result]
 */
const state = {
  view: 'upscale',
  /** @type {{name: string, url?: string, artifacts?: object}} */
  model: { name: modelName(query.get('model')), url: query.get('model') ?? 'model.json' },
  backend: Object.hasOwn(LABELS, query.get('backend')) ? query.get('backend') : 'auto',
  /** @type {import('./span.js').Upscaler | null} */
  upscaler: null,
  /** @type {Item[]} */
  items: [],
  /** @type {Item | null} */
  current: null,
  /** @type {AbortController | null} of the running item */
  running: null,
  /** Why the model that was chosen last is not in use. */
  problem: '',
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

/** Ends the load under way when another one begins. */
let loading = new AbortController();

/** Why `load` stops the running item, which then waits for the next model. */
const AGAIN = 'another model';

/** @returns {Promise<boolean>} whether the model is in use now */
async function load(model, backend) {
  loading.abort();
  const { signal } = (loading = new AbortController());
  state.running?.abort(AGAIN);
  state.upscaler?.dispose();
  Object.assign(state, { model, backend, upscaler: null, problem: '' });
  for (const item of state.items) {
    if (item.state === 'held') wait(item); // its result may have another size
    forgetFile(item); // it bears the old scale in its name
  }
  render();
  setState('loading');
  tellTraining();
  announce('Loading the model…');
  try {
    const tile = Number(query.get('tile')) || undefined;
    const upscaler = await loadUpscaler(model.artifacts ?? model.url, { backend, tile, onStatus: showStatus, signal });
    state.upscaler = upscaler;
    showMemory(upscaler);
    showStatus(upscaler.status);
    if (model.url) keepOffline(model.url);
    setState('ready');
    announce(`Ready: enlarges ${upscaler.scale} times on ${LABELS[upscaler.status.backend]}.`);
    work();
    return true;
  } catch (error) {
    if (signal.aborted) return false;
    state.problem = error.message;
    setState('error');
    tellTraining();
    page.dataset.backend = '';
    $('chip-model').textContent = '';
    $('chip-text').textContent = 'No model';
    announce(error.message);
    return false;
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
  settings?.update();
}

function setState(name) {
  page.dataset.state = name;
  if (name === 'loading') {
    $('chip-model').textContent = '';
    $('chip-text').textContent = 'Loading…';
  }
  settings?.update();
}

function announce(text) {
  $('status').textContent = text;
}

const complain = (error) => announce(error.message);

/** Without ?model=, the first of the models beside the page; else the one model that lies there. */
async function start() {
  const { model } = state;
  const [first] = query.has('model') ? [] : await modelsBeside();
  if (state.model === model) await load(first ?? model, state.backend); // else one was chosen meanwhile
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
  const last = state.current;
  state.current = item;
  render();
  if (item) showImages(item);
  else compare.clear();
  if (last) pack(last);
}

async function showImages(item) {
  const image = new Image();
  image.src = item.url;
  await image.decode().catch(() => {}); // a broken file shows as such; the upscaler says what is wrong
  if (state.current !== item) return;
  const { naturalWidth: width, naturalHeight: height } = image;
  const scale = item.scale ?? state.upscaler?.scale ?? 1;
  compare.show({ image, after: item.after, alpha: item.alpha, width, height, scale });
}

/** Keep no canvas of what is not in sight. */
async function pack(item) {
  const { after: canvas } = item;
  const isOut = () =>
    item.after === canvas && state.items.includes(item) && item !== state.current && item.state !== 'running';
  if (!(canvas instanceof HTMLCanvasElement) || !isOut()) return;
  const image = await (await import('./ui/pack.js')).toImage(canvas);
  if (isOut()) item.after = image;
}

function wait(item) {
  Object.assign(item, { state: 'waiting', progress: 0, detail: 'Waiting' });
}

/** Take waiting images one after another. */
async function work() {
  if (state.running || !state.upscaler) return;
  const item = state.items.find(({ state }) => state === 'waiting');
  if (!item) return;
  const controller = (state.running = new AbortController());
  const { upscaler } = state;
  await holdLarge(item, upscaler.scale);
  if (upscaler !== state.upscaler && item.state === 'held') wait(item);
  if (upscaler !== state.upscaler || item.state !== 'waiting') {
    state.running = null;
    return work();
  }
  Object.assign(item, { state: 'running', detail: 'Reading', progress: 0 });
  setState('busy');
  render();
  try {
    await run(item, upscaler, controller.signal);
    const { width, height, milliseconds, backend } = item.result;
    item.detail = `${size(width, height)} in ${duration(milliseconds)} on ${LABELS[backend]}${item.write ? ', written' : ''}`;
    item.state = 'done';
    announce(`${item.name} is done: ${item.detail}.`);
  } catch (error) {
    if (controller.signal.reason === AGAIN) {
      wait(item);
      item.write = undefined; // what was written is dropped
    } else {
      const cancelled = error.name === 'AbortError';
      Object.assign(item, { state: cancelled ? 'cancelled' : 'failed', detail: cancelled ? 'Cancelled' : error.message });
      announce(cancelled ? `${item.name} was cancelled.` : error.message);
    }
  }
  state.running = null;
  pack(item);
  showMemory(upscaler);
  if (state.upscaler) setState('ready');
  render();
  work();
}

/** A large result waits for a file to be written into: browsers let a page ask only when the user clicks. */
async function holdLarge(item, scale) {
  if (item.write || item.unwritable || !('showSaveFilePicker' in window)) return;
  const image = new Image();
  image.src = item.url;
  await image.decode().catch(() => {});
  const pixels = image.naturalWidth * image.naturalHeight * scale ** 2;
  if (!(pixels > LARGE) || item.state !== 'waiting') return; // it may be cancelled meanwhile
  item.state = 'held';
  item.detail = `The result will have ${Math.round(pixels / 1e6)} million pixels: choose a file for it.`;
  announce(item.detail);
  render();
}

async function chooseFile(item) {
  const { scale } = state.upscaler;
  const { askForFile } = await import('./ui/download.js');
  const write = await askForFile({ name: item.name, scale });
  if (write === null) return; // the user changed their mind, or asks already
  if (item.state !== 'held') return write?.abort(); // it was cancelled, or another model came
  Object.assign(item, { write, unwritable: !write });
  wait(item);
  render();
  work();
}

async function run(item, upscaler, signal) {
  let painter, started, shown;
  const show = () => {
    Object.assign(item, shown);
    if (state.current === item) showImages(item);
  };
  const result = await upscaler.upscale(item.file, {
    signal,
    write: item.write,
    onSize(size) {
      started = performance.now();
      painter = resultCanvas(size);
      shown = { after: painter.canvas, alpha: size.alpha, scale: upscaler.scale };
      if (!item.result) show(); // else what is there stays until it is replaced
    },
    onTile: (tile) => painter.paint(tile),
    onProgress({ done, total }) {
      item.progress = done / total;
      const left = ((performance.now() - started) / done) * (total - done);
      item.detail = `Tile ${done} of ${total}${done < total ? `, ${duration(left)} left` : ''}`;
      render();
    },
  });
  if (item.result) show();
  item.result = result;
}

/** Take images off the page; the neighbour of the one in sight comes into sight. */
function remove(items) {
  const place = state.items.indexOf(state.current);
  for (const item of items) {
    stop(item);
    URL.revokeObjectURL(item.url);
  }
  state.items = state.items.filter((item) => !items.includes(item));
  choose(state.items[place] ?? state.items.at(-1) ?? null);
}

/** Enlarge an image once more: it failed or was cancelled, or another model is in use now. */
function runAgain(item) {
  wait(item);
  item.write = undefined;
  render();
  work();
}

/** Of an item that has not begun; others' streams are in use. */
function forgetFile(item) {
  if (item.state !== 'waiting') return;
  item.write?.abort();
  item.write = undefined;
}

// Copies are saved: the images may be run again meanwhile.
async function download() {
  const { current: item } = state;
  if (item.state === 'held') return chooseFile(item);
  await (await import('./ui/download.js')).saveOne({ ...item }, $('format').value);
}

async function downloadAll() {
  const done = state.items.filter(({ result }) => result?.blob).map((item) => ({ ...item }));
  await (await import('./ui/download.js')).saveAll(done, $('format').value);
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
  const focused = document.activeElement;
  $('drop').hidden = items.length > 0;
  $('workspace').hidden = items.length === 0;
  queue.update(items, current);
  $('job-name').textContent = current?.name ?? '';
  $('job-detail').textContent = current?.detail ?? '';
  $('job-progress').value = current?.state === 'done' ? 1 : (current?.progress ?? 0);
  const pending = ['running', 'waiting', 'held'].includes(current?.state);
  $('cancel').disabled = !pending;
  $('again').disabled = pending;
  $('download').textContent = current?.state === 'held' ? 'Choose file' : 'Download';
  $('download').disabled = current?.state !== 'held' && !current?.result?.blob;
  $('download-all').disabled = !items.some(({ result }) => result?.blob);
  // A button that is hidden or disabled loses the focus, and the keyboard its place.
  if ($('upscale').contains(focused) && (focused.disabled || focused.closest('#upscale [hidden]'))) {
    const counterpart = { again: 'cancel', cancel: 'again' }[focused.id];
    $(items.length ? (counterpart ?? 'add') : 'choose').focus();
  }
}

function stop(item) {
  if (item.state === 'running') return state.running.abort();
  forgetFile(item);
  Object.assign(item, { state: 'cancelled', detail: 'Cancelled' });
  render();
}

// ---- The views ----

const getSource = () => state.model.artifacts ?? state.model.url;
let settings;

const tellTraining = () => opened.train?.then((view) => view?.modelChanged(state.model.name));

/** Views and the dialog are loaded when they are first opened. */
const mounts = {
  measure: async () => (await import('./ui/measure.js')).mountMeasure($('measure'), { getSource }),
  train: async () => (await import('./train/view/view.js')).mountTraining($('train'), trainingContext),
  settings: async () => (settings = (await import('./ui/settings.js')).mountSettings($('settings'), { state, load, announce })),
};
/** Promises of them; of nothing where one could not be loaded. */
const opened = {};

function open(name) {
  return (opened[name] ??= mounts[name]().catch((error) => {
    delete opened[name]; // so that it can be opened again
    complain(error);
  }));
}

async function showView(view) {
  state.view = view;
  if (view === 'train') (await open(view))?.show();
  else {
    if (view === 'measure') open(view);
    (await opened.train)?.hide();
  }
}

const trainingContext = {
  getName: () => state.model.name,
  getModel: async () => ({ name: state.model.name, artifacts: state.model.artifacts ?? (await fetchModel(state.model.url)) }),
  setModel: (model) => load(model, state.backend),
  onModelsChanged: () => settings?.list(),
  announce,
};

/** Images that are dropped or pasted belong to the view that is shown. */
async function takeFiles(files) {
  if (state.view === 'upscale') addFiles(files);
  else (await open(state.view))?.take(files);
}

// ---- Wiring ----

$('settings-button').addEventListener('click', async () => (await open('settings'))?.open());
mountIntake($('files'), [$('choose'), $('add')], takeFiles);
$('cancel').addEventListener('click', () => stop(state.current));
$('again').addEventListener('click', () => runAgain(state.current));
$('remove').addEventListener('click', () => remove(state.items.filter((item) => item === state.current)));
$('clear').addEventListener('click', () => remove(state.items));
$('download').addEventListener('click', () => download().catch(complain));
$('download-all').addEventListener('click', () => downloadAll().catch(complain));
mountTabs(showView);
start();
if ('serviceWorker' in navigator) addEventListener('load', () => navigator.serviceWorker.register('sw.js').catch(() => {}));
