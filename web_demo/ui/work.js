/** Enlarges the images that wait, one after another, and asks before what is long or large. */
import * as awake from './awake.js';
import { resultCanvas } from './compare.js';
import { alternatives, costOf, pixelTime } from './cost.js';
import { duration } from './format.js';
import { describe, read, wait } from './item.js';
import { say } from './page.js';

/** @typedef {import('./item.js').Item} Item */

/** Results with more pixels than this go straight to a file where the browser can: 16 million per gigabyte of memory. */
const LARGE = 16e6 * (navigator.deviceMemory ?? 4);

/** Why the running item is stopped, which then waits for the next model. */
const AGAIN = 'another model';

/**
 * @typedef {object} Owner of the items
 * @property {() => Item | undefined} next the first that waits
 * @property {() => void} changed called when an item has another state, progress or detail
 * @property {(item: Item) => void} shows called when there is another picture of an item's result
 * @property {(item: Item, problem: string) => void} failed called when nothing can be made of an item; `problem` is a sentence
 * @property {(item: Item) => void} ended called when nothing is drawn on an item's canvas any more
 */

export class Work {
  /** @type {AbortController | null} of the running item */
  #running = null;

  /**
   * @param {import('./models.js').Models} models
   * @param {import('./choices.js').Choices} choices
   * @param {Owner} owner
   */
  constructor(models, choices, owner) {
    this.models = models;
    this.choices = choices;
    this.owner = owner;
  }

  /** Whether an image is being enlarged, or asked about. */
  get isRunning() {
    return this.#running !== null;
  }

  /** Take waiting images one after another. */
  async go() {
    const { upscaler } = this.models;
    if (this.#running || !upscaler) return;
    const item = this.owner.next();
    if (!item) return;
    const controller = (this.#running = new AbortController());
    const { naturalWidth: width, naturalHeight: height } = await read(item);
    item.from = { width, height };
    if (item.state === 'waiting') await this.#hold(item, upscaler); // it may be cancelled meanwhile
    const isInUse = upscaler === this.models.upscaler;
    if (!isInUse && item.state === 'held') wait(item);
    if (!isInUse || item.state !== 'waiting') {
      this.#running = null;
      return this.go();
    }
    Object.assign(item, { state: 'running', detail: 'Reading', progress: 0 });
    this.models.setBusy(true);
    awake.hold('images');
    this.owner.changed();
    try {
      item.detail = describe(item.from, await this.#run(item, upscaler, controller.signal));
      item.state = 'done';
      say(`${item.name} is done: ${item.detail}.`);
    } catch (error) {
      this.#fail(item, error, controller.signal);
    }
    this.#running = null;
    this.owner.ended(item);
    this.models.setBusy(false);
    awake.release('images');
    this.owner.changed();
    this.go();
  }

  /** Stop the running image. */
  stop() {
    this.#running?.abort();
  }

  /** Stop the running image, which then waits: the model in use is given up. */
  leaveModel() {
    this.#running?.abort(AGAIN);
  }

  #fail(item, error, signal) {
    if (signal.reason === AGAIN) {
      wait(item);
      item.write = undefined; // what was written is dropped
    } else if (error.name === 'AbortError') {
      Object.assign(item, { state: 'cancelled', detail: 'Cancelled' });
      say(`${item.name} was cancelled.`);
    } else {
      item.hopeless = error.name === 'ImageError';
      this.#giveUp(item, error.message);
    }
  }

  #giveUp(item, problem) {
    Object.assign(item, { state: 'failed', detail: problem });
    this.owner.failed(item, problem);
    this.owner.changed();
  }

  async #run(item, upscaler, signal) {
    let painter, started, shown;
    const { width } = this.choices;
    const made = { model: this.models.model, width };
    const show = () => {
      Object.assign(item, shown);
      this.owner.shows(item);
    };
    const result = await upscaler.upscale(item.file, {
      signal,
      tta: this.models.tta,
      width,
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
        const part = total > 1 ? `${Math.floor((100 * done) / total)} %` : 'Enlarging';
        item.detail = done < total ? `${part}, ${duration(left)} left` : 'Writing the file';
        this.owner.changed();
      },
    });
    if (item.result) show();
    Object.assign(item, { result, made, saved: false });
    return result;
  }

  /**
   * Hold an image that would take long until the user knows. A large result waits for a file to be written into: browsers
   * let a page ask only when the user clicks. One that is as wide as was asked for is done with.
   */
  async #hold(item, { scale, status, config }) {
    const { from } = item;
    const { width } = this.choices;
    if (width && from.width >= width) {
      return this.#giveUp(item, `${item.name} is ${from.width} pixels wide already; choose another size.`);
    }
    if (item.write) return;
    const cost = costOf({ from, scale, width, pixelTime: pixelTime(status, this.models.tta), backend: status.backend });
    const needsFile = cost.pixels > LARGE && 'showSaveFilePicker' in window && !item.unwritable;
    const isAsked = cost.isLong && !item.accepted;
    if (!needsFile && !isAsked) return;
    const file = `The result will have ${Math.round(cost.pixels / 1e6)} million pixels: choose a file for it.`;
    const used = { name: this.models.model.name, scale, channels: config.channels };
    const choices = alternatives(await this.models.beside(), used, { from, width, ...cost });
    if (item.state !== 'waiting') return;
    const detail = [isAsked ? `${cost.text}.` : '', needsFile ? file : ''].filter(Boolean).join(' ');
    Object.assign(item, { state: 'held', detail, choices, accepted: needsFile ? item.accepted : false });
    say(detail);
    this.owner.changed();
  }
}
