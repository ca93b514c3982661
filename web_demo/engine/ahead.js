/** Work on a list in order, with the next items begun before the present one is done. */

/** @template Item, Result */
export class Ahead {
  /** Items from the present one on. @type {Item[]} */
  #items;
  /** Of the first of them, in their order. @type {Promise<Result>[]} */
  #begun = [];

  /**
   * @param {Item[]} items
   * @param {(item: Item) => Promise<Result>} start
   * @param {() => number} depth how many may be under way now
   */
  constructor(items, start, depth) {
    this.#items = [...items];
    this.start = start;
    this.depth = depth;
  }

  /** @returns {Promise<Result>} of the present item; it and those after it are under way, as many as `depth` allows */
  take() {
    while (this.#begun.length < Math.max(1, this.depth()) && this.#begun.length < this.#items.length) {
      const work = this.start(this.#items[this.#begun.length]);
      work.catch(() => {}); // whoever takes it sees to that
      this.#begun.push(work);
    }
    this.#items.shift();
    return /** @type {Promise<Result>} */ (this.#begun.shift());
  }

  /** Begin the items after the present one anew: what was begun failed with it. */
  restart() {
    this.#begun = [];
  }
}
