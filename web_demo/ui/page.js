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
export const announce = (text) => tell(text, true);

/**
 * Say something to screen readers alone: what others see elsewhere on the page.
 * @param {string} text one sentence
 */
export const say = (text) => tell(text, false);

/**
 * Leave to screen readers what was said, if it is seen elsewhere now.
 * @param {string} text
 */
export function hush(text) {
  if ($('status').textContent === text) say(text);
}

function tell(text, isShown) {
  $('status').textContent = text;
  $('status').classList.toggle('visually-hidden', !isShown);
}

/** @param {Error} error its message is a sentence */
export const complain = (error) => announce(error.message);

/** @param {'loading' | 'ready' | 'busy' | 'error'} state of the page, which its style and others read off `<html>` */
export function setState(state) {
  document.documentElement.dataset.state = state;
}
