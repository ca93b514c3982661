/** The row of thumbnails: one button per image, its state in the corner. */

const MARKS = { waiting: '…', held: '?', running: '▶', done: '✓', failed: '!', cancelled: '–' };

/** @typedef {import('./item.js').Item} Item */

/**
 * @param {HTMLElement} list an empty one
 * @param {HTMLButtonElement} remove stands on the thumbnail of the image in sight
 * @param {(item: Item) => void} onChoose called when a thumbnail is pressed
 * @returns {{update: (items: Item[], current: Item | null) => void}}
 */
export function mountQueue(list, remove, onChoose) {
  /** @type {Map<Item, any>} */
  const buttons = new Map();
  /** @type {Item | null} */
  let shown = null;
  return {
    /** Bring the list in line with the items, and mark the one that is in sight. */
    update(items, current) {
      if (!items.length) {
        remove.hidden = true;
        shown = null;
      }
      for (const [item, button] of buttons) {
        if (items.includes(item)) continue;
        if (button.nextSibling === remove) list.after(remove); // it is needed again
        button.parentElement.remove();
        buttons.delete(item);
      }
      for (const item of items) {
        if (!buttons.has(item)) buttons.set(item, add(item));
        const button = buttons.get(item);
        button.setAttribute('aria-current', String(item === current));
        button.setAttribute('aria-label', `${item.name}, ${item.state}`);
        const picture = button.querySelector('img');
        if (picture && picture.src !== item.url) picture.src = item.url; // it is upright now
        const mark = button.querySelector('.mark');
        mark.textContent = MARKS[item.state];
        mark.dataset.state = item.state;
      }
      if (!current || current === shown) return;
      const button = buttons.get(current);
      button.after(remove);
      remove.hidden = false;
      remove.setAttribute('aria-label', `Remove ${current.name}`);
      button.scrollIntoView({ block: 'nearest', inline: 'nearest' });
      shown = current;
    },
  };

  function add(item) {
    const button = document.createElement('button');
    const mark = Object.assign(document.createElement('span'), { className: 'mark' });
    const picture = Object.assign(new Image(), { src: item.url, alt: '' });
    picture.addEventListener('error', () => picture.remove()); // else browsers draw a broken one
    button.append(picture, mark);
    button.addEventListener('click', () => onChoose(item));
    const entry = document.createElement('li');
    entry.append(button);
    list.append(entry);
    return button;
  }
}
