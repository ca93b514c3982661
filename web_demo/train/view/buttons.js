/** The buttons of the training view: which can be pressed when, and where the focus goes. */

const NAMES = /** @type {const} */ (['start', 'stop', 'save', 'load', 'delete', 'use']);

/** @typedef {typeof NAMES[number]} ButtonName */

export class Buttons {
  #root;

  /** @param {HTMLElement} root of the view, with its markup @param {(name: ButtonName) => void} onPress */
  constructor(root, onPress) {
    this.#root = root;
    for (const name of NAMES) this.#find(name).addEventListener('click', () => onPress(name));
  }

  /** @param {{phase: string, isStored: boolean, isDamaged: boolean}} state of the view, and of what is stored */
  update({ phase, isStored, isDamaged }) {
    const isIdle = phase === 'idle';
    const isTrained = isStored || phase === 'training';
    const enabled = {
      start: isIdle,
      stop: phase === 'preparing' || phase === 'training',
      save: isTrained,
      use: isTrained,
      load: isIdle,
      delete: isIdle && (isTrained || isDamaged),
    };
    for (const name of NAMES) this.#find(name).disabled = !enabled[name];
  }

  /**
   * Focus a button that takes the place of one that is disabled now and lost the focus, unless the user moved it.
   * @param {ButtonName} name
   */
  passFocus(name) {
    const left = 'body, [data-do=start], [data-do=stop], #train-question *';
    if (document.activeElement?.matches(left)) this.#find(name).focus({ preventScroll: true });
  }

  /** @param {ButtonName} name @returns {HTMLButtonElement} */
  #find(name) {
    return /** @type {HTMLButtonElement} */ (this.#root.querySelector(`[data-do=${name}]`));
  }
}
