/** The images on their way: they wait, are enlarged one after another, shown, and handed to the user. */

import { LABELS } from '../engine/backend.js';
import { isCanvasTrue } from '../images/canvas.js';
import { modelsBeside } from '../network/model.js';
import * as awake from './awake.js';
import { sortFiles } from './chosen.js';
import { Compare, resultCanvas } from './compare.js';
import { costOf, pixelTime, quicker } from './cost.js';
import { duration, size } from './format.js';
import { $, announce, complain } from './page.js';
import { mountQueue } from './queue.js';

/**
 * @typedef {object} Item
 * @property {File} file
 * @property {string} name
 * @property {string} url for showing it
 * @property {'waiting' | 'held' | 'running' | 'done' | 'failed' | 'cancelled'} state `held`: its result is so large that
 *   the user chooses a file for it first, or would take so long that they are asked
 * @property {number} progress 0..1
 * @property {string} [detail] what to say about it
 * @property {HTMLCanvasElement | HTMLImageElement} [after] its result as far as it is finished
 * @property {boolean} [alpha] whether it is transparent anywhere
 * @property {FileSystemWritableFileStream} [write] takes a very large result
 * @property {boolean} [unwritable] the page may ask for no file: the result stays in memory
 * @property {boolean} [accepted] the user knows how long it takes
 * @property {Array<{model: import('./models.js').Model, label: string}>} [choices] quicker models for one that is held
 * @property {boolean} [saved] its result was handed to the user
 * @property {number} [scale] of the model that enlarged it: another may be loaded by the time it is saved
 * @property {import('../span.js').FileResult} [result]
 */

/** Results with more pixels than this go straight to a file where the browser can: 16 million per gigabyte of memory. */
const LARGE = 16e6 * (navigator.deviceMemory ?? 4);

/** Why the running item is stopped, which then waits for the next model. */
const AGAIN = 'another model';

export class Items {
  /** @type {Item[]} */
  #items = [];
  /** @type {Item | null} in sight */
  #current = null;
  /** @type {AbortController | null} of the running item */
  #running = null;
  #models;
  #compare = new Compare($('compare'));
  #queue = mountQueue($('queue'), (item) => this.#choose(item));
  /** Of the next drawing, 0 if nothing is to be drawn. */
  #frame = 0;

  /** @param {import('./models.js').Models} models */
  constructor(models) {
    this.#models = models;
    models.addEventListener('leave', () => this.#leaveModel());
    models.addEventListener('ready', () => this.#work());
    models.addEventListener('change', () => this.#render());
    $('cancel').addEventListener('click', () => this.#stop(this.#current));
    $('again').addEventListener('click', () => this.#runAgain(this.#current));
    $('remove').addEventListener('click', () => this.#remove(this.#items.filter((item) => item === this.#current)));
    $('clear').addEventListener('click', () => this.#remove(this.#items));
    $('download').addEventListener('click', () => this.#download().catch(complain));
    $('download-all').addEventListener('click', () => this.#downloadAll().catch(complain));
    $('job-choices').addEventListener('click', ({ target }) => {
      const choice = this.#current?.choices?.[target.dataset.choice];
      if (choice) models.load(choice.model, models.backend);
    });
    addEventListener('beforeunload', (event) => {
      if (this.#running || this.#items.some(({ result, saved }) => result?.blob && !saved)) event.preventDefault();
    });
  }

  /** @param {File[]} files those that are images wait for their turn; the first comes into sight */
  add(files) {
    const { images, problem } = sortFiles(files);
    if (problem) announce(problem);
    if (!images.length) return;
    const items = images.map((file) => {
      const item = { file, name: file.name || 'pasted.png', url: URL.createObjectURL(file) };
      return wait(/** @type {Item} */ (item));
    });
    this.#items.push(...items);
    this.#choose(items[0]);
    this.#work();
  }

  // ---- What is in sight ----

  #choose(item) {
    const last = this.#current;
    this.#current = item;
    this.#render();
    if (item) this.#show(item);
    else this.#compare.clear();
    if (last) this.#pack(last);
  }

  async #show(item) {
    const image = await read(item); // a broken file shows as such; the upscaler says what is wrong
    if (this.#current !== item) return;
    const { naturalWidth: width, naturalHeight: height } = image;
    const scale = item.scale ?? this.#models.upscaler?.scale ?? 1;
    this.#compare.show({ image, after: item.after, alpha: item.alpha, width, height, scale });
  }

  /** Keep no canvas of what is not in sight. */
  async #pack(item) {
    const { after: canvas } = item;
    const isOut = () =>
      item.after === canvas && this.#items.includes(item) && item !== this.#current && item.state !== 'running';
    if (!(canvas instanceof HTMLCanvasElement) || !isOut() || !isCanvasTrue()) return; // a picture of it would be noise
    const image = await (await import('./pack.js')).toImage(canvas);
    if (isOut()) item.after = image;
  }

  /** Draw the present state with the next frame, however often it changes until then. */
  #render() {
    if (this.#frame) return;
    this.#frame = requestAnimationFrame(() => {
      this.#frame = 0;
      this.#draw();
    });
  }

  #draw() {
    const [items, current] = [this.#items, this.#current];
    const focused = /** @type {HTMLButtonElement} */ (document.activeElement);
    $('drop').hidden = items.length > 0;
    $('workspace').hidden = items.length === 0;
    this.#queue.update(items, current);
    $('job-name').textContent = current?.name ?? '';
    const isStuck = current?.state === 'waiting' && !this.#models.upscaler && this.#models.problem;
    $('job-detail').textContent = isStuck ? 'Waiting for a model that can be used' : (current?.detail ?? '');
    $('job-progress').value = current?.state === 'done' ? 1 : (current?.progress ?? 0);
    const pending = current !== null && ['running', 'waiting', 'held'].includes(current.state);
    $('cancel').disabled = !pending;
    $('again').disabled = pending;
    const isHeld = current?.state === 'held';
    $('download').textContent = !isHeld ? 'Download' : current.accepted === false ? 'Start' : 'Choose file';
    const choices = (isHeld && current.choices) || [];
    $('job-choices').hidden = !choices.length;
    $('job-choices').replaceChildren(...choices.map(({ label }, i) => choiceButton(label, i)));
    $('download').disabled = current?.state !== 'held' && !current?.result?.blob;
    $('download-all').disabled = !items.some(({ result }) => result?.blob);
    // A button that is hidden or disabled loses the focus, and the keyboard its place.
    if ($('upscale').contains(focused) && (focused.disabled || focused.closest('#upscale [hidden]'))) {
      const counterpart = { again: 'cancel', cancel: 'again' }[focused.id];
      $(items.length ? (counterpart ?? 'add') : 'choose').focus();
    }
  }

  // ---- Work ----

  /** Take waiting images one after another. */
  async #work() {
    const { upscaler } = this.#models;
    if (this.#running || !upscaler) return;
    const item = this.#items.find(({ state }) => state === 'waiting');
    if (!item) return;
    const controller = (this.#running = new AbortController());
    await this.#holdLarge(item, upscaler);
    const isInUse = upscaler === this.#models.upscaler;
    if (!isInUse && item.state === 'held') wait(item);
    if (!isInUse || item.state !== 'waiting') {
      this.#running = null;
      return this.#work();
    }
    Object.assign(item, { state: 'running', detail: 'Reading', progress: 0 });
    this.#models.setBusy(true);
    awake.hold('images');
    this.#render();
    try {
      const { width, height, milliseconds, backend, notes } = await this.#run(item, upscaler, controller.signal);
      const written = item.write ? ', written' : '';
      item.detail = `${size(width, height)} in ${duration(milliseconds)} on ${LABELS[backend]}${written}`;
      if (notes.length) item.detail += `. ${notes.join(' ').replace(/\.$/, '')}`;
      item.state = 'done';
      announce(`${item.name} is done: ${item.detail}.`);
    } catch (error) {
      this.#fail(item, error, controller.signal);
    }
    this.#running = null;
    this.#pack(item);
    this.#models.showMemory();
    this.#models.setBusy(false);
    awake.release('images');
    this.#render();
    this.#work();
  }

  #fail(item, error, signal) {
    if (signal.reason === AGAIN) {
      wait(item);
      item.write = undefined; // what was written is dropped
    } else if (error.name === 'AbortError') {
      Object.assign(item, { state: 'cancelled', detail: 'Cancelled' });
      announce(`${item.name} was cancelled.`);
    } else {
      Object.assign(item, { state: 'failed', detail: error.message });
      announce(error.message);
    }
  }

  async #run(item, upscaler, signal) {
    let painter, started, shown;
    const show = () => {
      Object.assign(item, shown);
      if (this.#current === item) this.#show(item);
    };
    const result = await upscaler.upscale(item.file, {
      signal,
      tta: this.#models.tta,
      write: item.write,
      onSize: (whole) => {
        started = performance.now();
        painter = resultCanvas(whole);
        shown = { after: painter.canvas, alpha: whole.alpha, scale: upscaler.scale };
        if (!item.result) show(); // else what is there stays until it is replaced
      },
      onTile: (tile) => painter.paint(tile),
      onProgress: ({ done, total }) => {
        item.progress = done / total;
        const left = ((performance.now() - started) / done) * (total - done);
        item.detail = `Tile ${done} of ${total}${done < total ? `, ${duration(left)} left` : ''}`;
        this.#render();
      },
    });
    if (item.result) show();
    Object.assign(item, { result, saved: false });
    return result;
  }

  /**
   * Hold an image that would take long until the user knows. A large result waits for a file to be written into: browsers
   * let a page ask only when the user clicks.
   */
  async #holdLarge(item, { scale, status, config }) {
    if (item.write) return;
    const { naturalWidth: width, naturalHeight: height } = await read(item);
    const pixels = width * height * scale ** 2;
    const cost = costOf({
      width,
      height,
      scale,
      pixelTime: pixelTime(status, this.#models.tta),
      backend: status.backend,
    });
    const needsFile = pixels > LARGE && 'showSaveFilePicker' in window && !item.unwritable;
    const isAsked = cost.isLong && !item.accepted;
    if ((!needsFile && !isAsked) || item.state !== 'waiting') return; // it may be cancelled meanwhile
    const file = `The result will have ${Math.round(pixels / 1e6)} million pixels: choose a file for it.`;
    item.state = 'held';
    item.accepted = needsFile ? item.accepted : false;
    item.choices = isAsked ? quicker(await modelsBeside(), config, cost.milliseconds) : [];
    item.detail = [isAsked ? `${cost.text}.` : '', needsFile ? file : ''].filter(Boolean).join(' ');
    announce(item.detail);
    this.#render();
  }

  /** The model in use is given up: what runs, or was prepared for it, waits for the next one. */
  #leaveModel() {
    this.#running?.abort(AGAIN);
    for (const item of this.#items) {
      if (item.state === 'held') wait(item); // its result may have another size
      item.accepted = undefined;
      forgetFile(item); // it bears the old scale in its name
    }
    this.#render();
  }

  // ---- The buttons ----

  async #chooseFile(item) {
    const { scale } = this.#models.upscaler;
    const { askForFile } = await import('./download.js');
    const write = await askForFile({ name: item.name, scale });
    if (write === null) return; // the user changed their mind, or asks already
    if (item.state !== 'held') return write?.abort(); // it was cancelled, or another model came
    Object.assign(item, { write, unwritable: !write });
    wait(item);
    this.#render();
    this.#work();
  }

  /** Take images off the page; the neighbour of the one in sight comes into sight. */
  #remove(items) {
    const place = this.#items.findIndex((item) => item === this.#current);
    for (const item of items) {
      this.#stop(item);
      URL.revokeObjectURL(item.url);
    }
    this.#items = this.#items.filter((item) => !items.includes(item));
    this.#choose(this.#items[place] ?? this.#items.at(-1) ?? null);
  }

  /** Enlarge an image once more: it failed or was cancelled, or another model is in use now. */
  #runAgain(item) {
    wait(item);
    item.write = undefined;
    this.#render();
    this.#work();
  }

  #stop(item) {
    if (item.state === 'running') return this.#running?.abort();
    forgetFile(item);
    Object.assign(item, { state: 'cancelled', detail: 'Cancelled' });
    this.#render();
  }

  // Copies are saved: the images may be run again meanwhile.
  async #download() {
    const item = /** @type {Item} */ (this.#current); // else the button is disabled
    if (item.state === 'held' && item.accepted === false) {
      item.accepted = true;
      wait(item);
      this.#render();
      return this.#work();
    }
    if (item.state === 'held') return this.#chooseFile(item);
    await (await import('./download.js')).saveOne({ ...item }, $('format').value);
    item.saved = true;
  }

  async #downloadAll() {
    const done = this.#items.filter(({ result }) => result?.blob);
    const copies = done.map((item) => ({ ...item }));
    await (await import('./download.js')).saveAll(copies, $('format').value);
    for (const item of done) item.saved = true;
  }
}

function choiceButton(label, i) {
  const button = Object.assign(document.createElement('button'), { className: 'button', textContent: label });
  button.dataset.choice = String(i);
  return button;
}

/** @param {Item} item @returns {Item} the same */
function wait(item) {
  return Object.assign(item, { state: 'waiting', progress: 0, detail: 'Waiting' });
}

/** Of an item that has not begun; others' streams are in use. */
function forgetFile(item) {
  if (item.state !== 'waiting') return;
  item.write?.abort();
  item.write = undefined;
}

/** @param {Item} item @returns {Promise<HTMLImageElement>} with sizes of 0 for what is no image */
async function read({ url }) {
  const image = new Image();
  image.src = url;
  await image.decode().catch(() => {});
  return image;
}
