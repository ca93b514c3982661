/** The images on the page: they wait, are enlarged one after another, shown, and handed to the user. */

import { isCanvasTrue } from '../images/canvas.js';
import { sortFiles } from './chosen.js';
import { Compare } from './compare.js';
import { forgetFile, isPending, read, wait } from './item.js';
import { $, announce, complain, hush, say } from './page.js';
import { mountQueue } from './queue.js';
import { Work } from './work.js';
import { drawWorkspace } from './workspace.js';

/** @typedef {import('./item.js').Item} Item */

export class Items {
  /** @type {Item[]} */
  #items = [];
  /** @type {Item | null} in sight */
  #current = null;
  #models;
  #choices;
  #work;
  #compare = new Compare($('compare'), $('zoom'));
  #queue = mountQueue($('queue'), $('remove'), (item) => this.#choose(item));
  /** Of the next drawing, 0 if nothing is to be drawn. */
  #frame = 0;

  /**
   * @param {import('./models.js').Models} models
   * @param {import('./choices.js').Choices} choices
   */
  constructor(models, choices) {
    this.#models = models;
    this.#choices = choices;
    this.#work = new Work(models, choices, {
      next: () => this.#items.find(({ state }) => state === 'waiting'),
      changed: () => this.#render(),
      shows: (item) => item === this.#current && this.#show(item),
      failed: (item, problem) => (item === this.#current ? say : announce)(problem),
      ended: (item) => this.#pack(item),
    });
    models.addEventListener('leave', () => this.#leaveModel());
    models.addEventListener('ready', () => this.#work.go());
    models.addEventListener('change', () => this.#render());
    choices.addEventListener('change', () => this.#askAgain());
    $('cancel').addEventListener('click', () => this.#stop(this.#current));
    $('again').addEventListener('click', () => this.#runAgain([this.#current]));
    $('again-all').addEventListener('click', () => this.#runAgain(this.#items.filter((item) => this.#isOld(item))));
    $('remove').addEventListener('click', () => this.#remove(this.#items.filter((item) => item === this.#current)));
    $('clear').addEventListener('click', () => this.#remove(this.#items));
    $('download').addEventListener('click', () => this.#download().catch(complain));
    $('share').addEventListener('click', () => this.#share(/** @type {Item} */ (this.#current)).catch(complain));
    $('download-all').addEventListener('click', () => this.#downloadAll().catch(complain));
    $('job-choices').addEventListener('click', ({ target }) => {
      const choice = this.#current?.choices?.[target.dataset.choice];
      if (choice) models.load(choice.model, models.backend);
    });
    addEventListener('beforeunload', (event) => {
      if (this.#work.isRunning || this.#items.some(({ result, saved }) => result?.blob && !saved)) {
        event.preventDefault();
      }
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
    this.#work.go();
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
    this.#render(); // the sizes
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
    const focused = document.activeElement;
    if (current?.state === 'failed') hush(String(current.detail));
    this.#queue.update(items, current);
    this.#compare.name(current?.from, current?.state === 'done' ? current.result : undefined);
    const isStuck = current?.state === 'waiting' && !this.#models.upscaler && Boolean(this.#models.problem);
    const old = items.filter((item) => this.#isOld(item));
    drawWorkspace({ items, current, isStuck, old, focused });
  }

  /** The model in use is given up: what runs, or was prepared for it, waits for the next one. */
  #leaveModel() {
    this.#work.leaveModel();
    for (const item of this.#items) {
      if (item.state === 'held') wait(item); // its result may have another size
      item.accepted = undefined;
      forgetFile(item); // it bears the old scale in its name
    }
    this.#render();
  }

  /** Another width was chosen: what is asked about an item may be no question any more. */
  #askAgain() {
    for (const item of this.#items) {
      if (item.state === 'held') wait(item);
    }
    this.#render();
    this.#work.go();
  }

  /** @param {Item} item @returns {boolean} whether it was enlarged otherwise than one would be now. */
  #isOld(item) {
    const { state, made } = item;
    const { model } = this.#models;
    const isSame = made?.model === model || (made?.model.url !== undefined && made.model.url === model.url);
    return state === 'done' && !(isSame && made?.width === this.#choices.width);
  }

  // ---- The buttons ----

  async #chooseFile(item) {
    const { scale } = this.#models.upscaler;
    const { askForFile } = await import('./download.js');
    const made = { model: this.#models.model, width: this.#choices.width };
    const write = await askForFile({ name: item.name, scale, made });
    if (write === null) return; // the user changed their mind, or asks already
    if (item.state !== 'held') return write?.abort(); // it was cancelled, or another model came
    Object.assign(item, { write, unwritable: !write });
    wait(item);
    this.#render();
    this.#work.go();
  }

  /** Take images off the page; the neighbour of the one in sight comes into sight. */
  #remove(items) {
    const place = this.#items.findIndex((item) => item === this.#current);
    for (const item of items) {
      hush(String(item.detail));
      this.#stop(item);
      Promise.resolve(item.upright).then(() => URL.revokeObjectURL(item.url)); // which may change until then
    }
    this.#items = this.#items.filter((item) => !items.includes(item));
    this.#choose(this.#items[place] ?? this.#items.at(-1) ?? null);
  }

  /** Enlarge images once more: they failed or were cancelled, or another model or size is in use now. */
  #runAgain(items) {
    for (const item of items) {
      wait(item);
      item.write = undefined;
    }
    this.#render();
    this.#work.go();
  }

  #stop(item) {
    if (item.state === 'running') return this.#work.stop();
    if (!isPending(item)) return; // it was done before the click came
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
      return this.#work.go();
    }
    if (item.state === 'held') return this.#chooseFile(item);
    await (await import('./download.js')).saveOne({ ...item }, $('format').value);
    item.saved = true;
  }

  async #share(item) {
    const { shareOne } = await import('./download.js');
    if (await shareOne({ ...item }, $('format').value)) item.saved = true;
  }

  async #downloadAll() {
    const items = [...this.#items];
    const copies = items.map((item) => ({ ...item }));
    const saved = await (await import('./download.js')).saveAll(copies, $('format').value);
    for (const i of saved) items[i].saved = true;
  }
}
