/** What there is once on the page: its elements by their ids, and its status line. */

/**
 * Find an element of the page.
 * @param {string} id that index.html gives it
 * @returns {any}
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
