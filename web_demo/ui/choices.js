/** How images are enlarged: quality and size, in the words of who looks at them. */
import { KINDS, kindOf } from './kinds.js';
import { $, complain } from './page.js';

/** Widths in pixels to which results can be reduced: a full HD screen, and a 4K one. */
const WIDTHS = [1920, 3840];

/** @typedef {import('../network/model.js').Listed} Listed */

/** Dispatches `change` when the width has changed; another model is the business of `Models`. */
export class Choices extends EventTarget {
  /** To which results are reduced. @type {number | undefined} */
  width;
  /** Models of known kinds. @type {Listed[]} */
  #listed = [];
  #models;

  /** @param {import('./models.js').Models} models */
  constructor(models) {
    super();
    this.#models = models;
    models.addEventListener('change', () => this.#show());
    $('kinds').addEventListener('change', ({ target }) => this.#take(target.value, this.#scale));
    $('size').addEventListener('change', ({ target }) => this.#chooseSize(target.value));
    models.beside().then((listed) => {
      this.#listed = listed.filter(kindOf);
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

  /** Offer the kinds that there are. */
  #offer() {
    const kinds = Object.keys(KINDS).filter((kind) => this.#listed.some((model) => kindOf(model) === kind));
    $('kinds').hidden = kinds.length < 2;
    $('kinds').append(
      ...kinds.map((kind) => {
        const label = document.createElement('label');
        const input = Object.assign(document.createElement('input'), { type: 'radio', name: 'kind', value: kind });
        label.append(input, Object.assign(document.createElement('span'), { textContent: kind }));
        return label;
      }),
    );
  }

  /** Show what is in use. */
  #show() {
    const kind = kindOf(this.#model);
    for (const input of $('kinds').querySelectorAll('input')) input.checked = input.value === kind;
    $('kind-note').textContent = kind ? KINDS[kind] : '';
    const own = this.#scale;
    const known = this.#listed.map(({ scale }) => scale);
    const scales = [...new Set([...known, own])].filter(Boolean).sort();
    const isThere = (scale) => scale === own || !kind || Boolean(this.#find(kind, scale));
    const options = scales.map((scale) => {
      const text = `${scale} times as large${isThere(scale) ? '' : ` (not for ${kind})`}`;
      return Object.assign(new Option(text, String(scale)), { disabled: !isThere(scale) });
    });
    const widths = WIDTHS.map((width) => new Option(`${width} pixels wide`, `w${width}`));
    $('size').replaceChildren(...options, ...widths);
    $('size').value = this.width ? `w${this.width}` : String(own);
  }

  #find(kind, scale) {
    return this.#listed.find((model) => kindOf(model) === kind && model.scale === scale);
  }

  #chooseSize(value) {
    const last = this.width;
    const kind = kindOf(this.#model);
    this.width = value.startsWith('w') ? Number(value.slice(1)) : undefined;
    if (this.width !== last) this.dispatchEvent(new Event('change'));
    this.#take(kind, this.width ? Infinity : Number(value));
  }

  /** Take the model of a kind that enlarges as much as is asked for, or else the most; any kind will do if none is in use. */
  #take(kind, scale) {
    const ofKind = this.#listed.filter((model) => !kind || kindOf(model) === kind);
    const most = [...ofKind].sort((a, b) => Number(b.scale) - Number(a.scale))[0];
    const model = ofKind.find((one) => one.scale === scale) ?? (kind ? most : undefined);
    if (model && model.url !== this.#model.url) this.#models.load(model, this.#models.backend);
  }
}
