/** The card that says which photographs are trained on: the user's own, the stored ones, or the bundled few. */

import { sortFiles, typed } from '../../ui/chosen.js';
import { takeDrop } from '../../ui/intake.js';
import { complain } from '../../ui/page.js';

/** Beside the page: `{"photos": [{"file": "name.jpg"}]}`, written by `span-export --demo`. */
const BUNDLED = 'samples/samples.json';
/** Pictures that are shown. */
const MAX_THUMBNAILS = 12;

/** @typedef {import('../session/store.js').Photograph} Photograph */

/**
 * @param {HTMLElement} root
 * @param {(files: File[], adds?: boolean) => void} onFiles files were chosen or dropped here; `choose` takes them
 */
export function mountPhotographs(root, onFiles) {
  root.innerHTML = `
    <h3 id="train-photographs-title">Photographs</h3>
    <p class="note" id="train-photographs-text">–</p>
    <ul class="train-thumbnails" id="train-thumbnails" aria-label="Photographs to train on"></ul>
    <div class="row"><button type="button" class="button" id="train-choose">Choose Photographs</button>
      <button type="button" class="button" id="train-add" hidden>Add Photographs</button>
      <button type="button" class="button" id="train-bundled" hidden>Use the Bundled Ones</button></div>
    <p class="note">Or drop them here. The sharper they are, the more there is to learn.</p>
    <input type="file" id="train-files" accept="image/*" multiple hidden aria-label="Photographs" />`;
  /** @type {(id: string) => any} */
  const find = (id) => root.querySelector(`#${id}`);
  let enabled = true;
  /** @type {Array<{name: string, url: string}>} */
  let bundled = [];
  /** @type {Photograph[] | null} */
  let own = null;
  /** @type {Photograph[] | null} */
  let stored = null;
  /** @type {string[]} */
  let urls = [];

  let adds = false;
  const pick = (adding) => {
    adds = adding;
    find('train-files').click();
  };
  find('train-choose').addEventListener('click', () => pick(false));
  find('train-add').addEventListener('click', () => pick(true));
  find('train-bundled').addEventListener('click', () => {
    [own, stored] = [null, null];
    useBundled = true;
    render();
  });
  find('train-files').addEventListener('change', ({ target }) => {
    typed([...target.files])
      .then((files) => onFiles(files, adds))
      .catch(complain);
    target.value = '';
  });
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
    takeDrop(event.dataTransfer, onFiles).catch(complain);
  });
  let useBundled = false;

  function render() {
    urls.forEach((url) => URL.revokeObjectURL(url));
    const blobs = own ?? stored;
    urls = blobs ? blobs.slice(0, MAX_THUMBNAILS).map(({ blob }) => URL.createObjectURL(blob)) : [];
    const shown = blobs ? urls : bundled.slice(0, MAX_THUMBNAILS).map(({ url }) => url);
    const total = (blobs ?? bundled).length;
    const whose = own ? 'of your own' : stored ? 'of the stored training' : 'bundled with the page';
    find('train-photographs-text').textContent = total
      ? `${total} ${total === 1 ? 'photograph' : 'photographs'} ${whose}.`
      : 'None yet: choose a few, at least 200 pixels a side.';
    find('train-bundled').hidden = !blobs || !bundled.length;
    find('train-add').hidden = !blobs;
    const names = (blobs ?? bundled).map(({ name }) => name);
    find('train-thumbnails').replaceChildren(
      ...shown.map((src, i) => {
        const item = document.createElement('li');
        item.append(Object.assign(new Image(), { src, alt: names[i], title: names[i], loading: 'lazy' }));
        return item;
      }),
    );
  }

  return {
    /**
     * @param {File[]} files
     * @param {boolean} [joins] whether the images among them join those that are shown; else they replace them
     * @returns {string} a sentence about files that are no images, or nothing
     */
    choose(files, joins = own !== null) {
      if (!enabled) throw new Error('A training is under way; stop it before you choose other photographs.');
      const { images, problem } = sortFiles(files);
      if (!images.length) throw new Error(problem.replace(/choose .*/, 'choose photographs to train on.'));
      const before = (joins && (own ?? stored)) || [];
      const isNew = ({ name, size }) => !before.some((one) => one.name === name && one.blob.size === size);
      own = [...before, ...images.filter(isNew).map((blob) => ({ name: blob.name, blob }))];
      render();
      return problem;
    },
    async loadBundled() {
      const base = new URL(BUNDLED, document.baseURI);
      const answer = await fetch(base).catch(() => null);
      // Some servers answer with a page where there is no file.
      const list = answer?.ok ? await answer.json().catch(() => null) : null;
      bundled = (list?.photos ?? []).map(({ file }) => ({ name: file, url: new URL(file, base).href }));
      render();
    },
    /** @param {Photograph[] | null} photographs */
    setStored(photographs) {
      stored = photographs?.length ? photographs : null;
      own = null;
      useBundled = false;
      render();
    },
    setEnabled(on) {
      enabled = on;
      for (const button of root.querySelectorAll('button')) button.disabled = !on;
    },
    /** @returns {Promise<Photograph[] | null>} `null` for the stored ones */
    async get() {
      if (own) return own;
      if (stored && !useBundled) return null;
      return Promise.all(bundled.map(async ({ name, url }) => ({ name, blob: await (await fetch(url)).blob() })));
    },
  };
}
