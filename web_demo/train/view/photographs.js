/** The card that says which photographs are trained on: the user's own, the stored ones, or the bundled few. */

import { sortFiles, typed } from '../../ui/chosen.js';
import { takeDrop } from '../../ui/intake.js';
import { complain } from '../../ui/page.js';

/** Beside the page: `{"photos": [{"file": "name.jpg"}]}`, written by `span-export --demo`. */
const BUNDLED = 'samples/samples.json';
/** Pictures that are shown. */
const MAX_THUMBNAILS = 12;

/** @typedef {import('../session/store.js').Photograph} Photograph */

const TEMPLATE = `
  <h3 id="train-photographs-title">Photographs</h3>
  <p class="note" id="train-photographs-text">–</p>
  <ul class="train-thumbnails" id="train-thumbnails" aria-label="Photographs to train on"></ul>
  <div class="row"><button type="button" class="button" id="train-choose">Choose Photographs</button>
    <button type="button" class="button" id="train-add" hidden>Add Photographs</button>
    <button type="button" class="button" id="train-bundled" hidden>Use the Bundled Ones</button></div>
  <p class="note">Or drop them here. The sharper they are, the more there is to learn.</p>
  <input type="file" id="train-files" accept="image/*" multiple hidden aria-label="Photographs" />`;

export class Photographs {
  #root;
  /** @type {(id: string) => any} */
  #find;
  #onFiles;
  #isEnabled = true;
  /** Whether files that are being picked join those that are shown. */
  #adds = false;
  /** @type {Array<{name: string, url: string}>} */
  #bundled = [];
  /** @type {Photograph[] | null} */
  #own = null;
  /** @type {Photograph[] | null} */
  #stored = null;
  /** Addresses of what is shown of the last two. @type {string[]} */
  #urls = [];

  /**
   * @param {HTMLElement} root an empty one
   * @param {(files: File[], adds?: boolean) => void} onFiles files were chosen or dropped here; `choose` takes them
   */
  constructor(root, onFiles) {
    root.innerHTML = TEMPLATE;
    this.#root = root;
    this.#onFiles = onFiles;
    this.#find = (id) => root.querySelector(`#train-${id}`);
    this.#find('choose').addEventListener('click', () => this.#pick(false));
    this.#find('add').addEventListener('click', () => this.#pick(true));
    this.#find('bundled').addEventListener('click', () => this.setStored(null));
    this.#find('files').addEventListener('change', ({ target }) => {
      typed([...target.files])
        .then((files) => onFiles(files, this.#adds))
        .catch(complain);
      target.value = '';
    });
    this.#takeDrops();
  }

  /**
   * @param {File[]} files
   * @param {boolean} [joins] whether the images among them join those that are shown; else they replace them
   * @returns {string} a sentence about files that are no images, or nothing
   */
  choose(files, joins = this.#own !== null) {
    if (!this.#isEnabled) throw new Error('A training is under way; stop it before you choose other photographs.');
    const { images, problem } = sortFiles(files);
    if (!images.length) throw new Error(problem.replace(/choose .*/, 'choose photographs to train on.'));
    const before = (joins && (this.#own ?? this.#stored)) || [];
    const isNew = ({ name, size }) => !before.some((one) => one.name === name && one.blob.size === size);
    this.#own = [...before, ...images.filter(isNew).map((blob) => ({ name: blob.name, blob }))];
    this.#render();
    return problem;
  }

  async loadBundled() {
    const base = new URL(BUNDLED, document.baseURI);
    const answer = await fetch(base).catch(() => null);
    // Some servers answer with a page where there is no file.
    const list = answer?.ok ? await answer.json().catch(() => null) : null;
    this.#bundled = (list?.photos ?? []).map(({ file }) => ({ name: file, url: new URL(file, base).href }));
    this.#render();
  }

  /** Show the photographs of the stored training, or the bundled ones. @param {Photograph[] | null} photographs */
  setStored(photographs) {
    this.#stored = photographs?.length ? photographs : null;
    this.#own = null;
    this.#render();
  }

  /** @param {boolean} on */
  setEnabled(on) {
    this.#isEnabled = on;
    for (const button of this.#root.querySelectorAll('button')) button.disabled = !on;
  }

  /** @returns {Promise<Photograph[] | null>} `null` for the stored ones */
  async get() {
    if (this.#own) return this.#own;
    if (this.#stored) return null;
    return Promise.all(this.#bundled.map(async ({ name, url }) => ({ name, blob: await (await fetch(url)).blob() })));
  }

  #pick(adds) {
    this.#adds = adds;
    this.#find('files').click();
  }

  #takeDrops() {
    const root = this.#root;
    root.addEventListener('dragover', (event) => {
      event.preventDefault();
      root.classList.add('dropping');
    });
    root.addEventListener('dragleave', () => root.classList.remove('dropping'));
    root.addEventListener('drop', (event) => {
      event.preventDefault();
      event.stopPropagation(); // the page would take them once more
      root.classList.remove('dropping');
      document.body.classList.remove('dragging');
      takeDrop(event.dataTransfer, this.#onFiles).catch(complain);
    });
  }

  #render() {
    this.#urls.forEach((url) => URL.revokeObjectURL(url));
    const blobs = this.#own ?? this.#stored;
    const all = blobs ?? this.#bundled;
    this.#urls = blobs ? blobs.slice(0, MAX_THUMBNAILS).map(({ blob }) => URL.createObjectURL(blob)) : [];
    const shown = blobs ? this.#urls : this.#bundled.slice(0, MAX_THUMBNAILS).map(({ url }) => url);
    const whose = this.#own ? 'of your own' : this.#stored ? 'of the stored training' : 'bundled with the page';
    this.#find('photographs-text').textContent = all.length
      ? `${all.length} ${all.length === 1 ? 'photograph' : 'photographs'} ${whose}.`
      : 'None yet: choose a few, at least 200 pixels a side.';
    this.#find('bundled').hidden = !blobs || !this.#bundled.length;
    this.#find('add').hidden = !blobs;
    this.#find('thumbnails').replaceChildren(...shown.map((src, i) => thumbnail(src, all[i].name)));
  }
}

function thumbnail(src, name) {
  const item = document.createElement('li');
  item.append(Object.assign(new Image(), { src, alt: name, title: name, loading: 'lazy' }));
  return item;
}
