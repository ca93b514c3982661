/** What there is once on the page: its elements by their ids, and its status line. */

/**
 * @param {string} id of an element that index.html has
 * @returns {any} the element
 */
export const $ = (id) => document.getElementById(id);

/**
 * Say something to everybody, screen readers among them.
 * @param {string} text one sentence
 */
export function announce(text) {
  $('status').textContent = text;
}

/** @param {Error} error its message is a sentence */
export const complain = (error) => announce(error.message);

/** @param {'loading' | 'ready' | 'busy' | 'error'} state of the page, which its style and others read off `<html>` */
export function setState(state) {
  document.documentElement.dataset.state = state;
}
