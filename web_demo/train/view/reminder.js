/** What a trained network deserves: a word when it has become good, and one that it lies in this browser only. */

import { count } from '../../ui/format.js';

/** A gain in PSNR that is more than chance, in decibels. */
const MIN_GAIN = 0.02;

export class Reminder {
  /** Whether the network was said to beat bicubic interpolation since the training began. */
  #isSaid = false;
  /** The step that was saved as files last. */
  #saved = 0;
  /** Whether the browser promised to delete nothing by itself. */
  #isPersistent = false;

  /** @param {HTMLElement} element shows the reminder */
  constructor(element) {
    this.element = element;
  }

  /** A training begins: the browser is asked not to delete it when space runs short. Some ask the user. */
  begin() {
    this.#isSaid = false;
    globalThis.navigator?.storage?.persist?.().then(
      (granted) => (this.#isPersistent = granted),
      () => {}, // nothing is kept here at all, which storing tells
    );
  }

  /**
   * @param {{step: number, psnr: number, bicubic: number}} measured on the samples
   * @returns {string} a sentence when the network beats bicubic interpolation for the first time, else nothing
   */
  praise({ step, psnr, bicubic }) {
    if (this.#isSaid || !(psnr > bicubic + MIN_GAIN)) return '';
    this.#isSaid = true;
    const gain = (psnr - bicubic).toFixed(2);
    return `Step ${count(step)}: the network beats bicubic interpolation by ${gain} dB.`;
  }

  /** @param {number} step that was saved as files */
  saved(step) {
    this.#saved = step;
    this.show(step);
  }

  /** @param {number | undefined} step that the browser has kept, if it has any */
  show(step = 0) {
    this.element.hidden = step <= this.#saved;
    const risk = this.#isPersistent ? '' : ', which may delete it when space runs short';
    this.element.textContent = `The trained model is kept in this browser only${risk}. Save Model writes it as files.`;
  }
}
