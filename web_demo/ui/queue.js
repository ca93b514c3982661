/** The row of thumbnails: one button per image, its state in the corner. */

const MARKS = { waiting: '…', held: '?', running: '▶', done: '✓', failed: '!', cancelled: '–' };

/** @typedef {import('./items.js').Item} Item */

/**
 * @param {HTMLElement} list an empty one
 * @param {(item: Item) => void} onChoose called when a thumbnail is pressed
 * @returns {{update: (items: Item[], current: Item | null) => void}}
 */
export function mountQueue(list, onChoose) {
  /** @type {Map<Item, any>} */
  const buttons = new Map();
  /** @type {Item | null} */
  let shown = null;
  return {
    /** Bring the list in line with the items, and mark the one that is in sight. */
    update(items, current) {
      for (const [item, button] of buttons) {
        if (items.includes(item)) continue;
        button.parentElement.remove();
        buttons.delete(item);
      }
      for (const item of items) {
        if (!buttons.has(item)) buttons.set(item, add(item));
        const button = buttons.get(item);
        button.setAttribute('aria-current', String(item === current));
        button.setAttribute('aria-label', `${item.name}, ${item.state}`);
        button.querySelector('.mark').textContent = MARKS[item.state];
      }
      if (current && current !== shown) buttons.get(current)?.scrollIntoView({ block: 'nearest', inline: 'nearest' });
      shown = current;
    },
  };

  function add(item) {
    const button = document.createElement('button');
    const mark = Object.assign(document.createElement('span'), { className: 'mark' });
    button.append(Object.assign(new Image(), { src: item.url, alt: '' }), mark);
    button.addEventListener('click', () => onChoose(item));
    const entry = document.createElement('li');
    entry.append(button);
    list.append(entry);
    return button;
  }
}
