/** How images are enlarged: quality and size, in the words of who looks at them. */
import { QUALITIES, qualityOf } from './qualities.js';
import { $, complain } from './page.js';

/** Widths in pixels to which results can be reduced: a full HD screen, and a 4K one. */
const WIDTHS = [1920, 3840];

/** @typedef {import('../network/model.js').Listed} Listed */

/** Dispatches `change` when the width has changed; another model is the business of `Models`. */
export class Choices extends EventTarget {
  /** To which results are reduced. @type {number | undefined} */
  width;
  /** Models of known qualities. @type {Listed[]} */
  #listed = [];
  #models;

  /** @param {import('./models.js').Models} models */
  constructor(models) {
    super();
    this.#models = models;
    models.addEventListener('change', () => this.#show());
    $('qualities').addEventListener('change', ({ target }) => this.#take(target.value, this.#scale));
    $('size').addEventListener('change', ({ target }) => this.#chooseSize(target.value));
    models.beside().then((listed) => {
      this.#listed = listed.filter(qualityOf);
      this.#offer();
      this.#show();
    }, complain);
  }

  /** In use, or soon. @returns {import('./models.js').Model} */
  get #model() {
    return this.#models.coming ?? this.#models.model;
  }

  /** @returns {number | undefined} the model's factor */
  get #scale() {
    return this.#listed.find(({ url }) => url === this.#model.url)?.scale ?? this.#models.upscaler?.scale;
  }

  /** Offer the qualities that there are. */
  #offer() {
    const qualities = Object.keys(QUALITIES).filter((quality) =>
      this.#listed.some((model) => qualityOf(model) === quality),
    );
    $('qualities').hidden = qualities.length < 2;
    $('qualities').append(
      ...qualities.map((quality) => {
        const label = document.createElement('label');
        const input = Object.assign(document.createElement('input'), {
          type: 'radio',
          name: 'quality',
          value: quality,
        });
        label.append(input, Object.assign(document.createElement('span'), { textContent: quality }));
        return label;
      }),
    );
  }

  /** Show what is in use. */
  #show() {
    const quality = qualityOf(this.#model);
    for (const input of $('qualities').querySelectorAll('input')) input.checked = input.value === quality;
    $('quality-note').textContent = quality ? QUALITIES[quality] : '';
    const own = this.#scale;
    const known = this.#listed.map(({ scale }) => scale);
    const scales = [...new Set([...known, own])].filter(Boolean).sort();
    const isThere = (scale) => scale === own || !quality || Boolean(this.#find(quality, scale));
    const options = scales.map((scale) => {
      const text = `${scale} times as large${isThere(scale) ? '' : ` (not for ${quality})`}`;
      return Object.assign(new Option(text, String(scale)), { disabled: !isThere(scale) });
    });
    const widths = WIDTHS.map((width) => new Option(`${width} pixels wide`, `w${width}`));
    $('size').replaceChildren(...options, ...widths);
    $('size').value = this.width ? `w${this.width}` : String(own);
  }

  #find(quality, scale) {
    return this.#listed.find((model) => qualityOf(model) === quality && model.scale === scale);
  }

  #chooseSize(value) {
    const last = this.width;
    const quality = qualityOf(this.#model);
    this.width = value.startsWith('w') ? Number(value.slice(1)) : undefined;
    if (this.width !== last) this.dispatchEvent(new Event('change'));
    this.#take(quality, this.width ? Infinity : Number(value));
  }

  /** Take a quality's model that enlarges as much as asked, or else the most; one of any quality if none is in use. */
  #take(quality, scale) {
    const ofQuality = this.#listed.filter((model) => !quality || qualityOf(model) === quality);
    const most = [...ofQuality].sort((a, b) => Number(b.scale) - Number(a.scale))[0];
    const model = ofQuality.find((one) => one.scale === scale) ?? (quality ? most : undefined);
    if (model && model.url !== this.#model.url) this.#models.load(model, this.#models.backend);
  }
}
