/** What there is once on the page: its elements by their ids, and its status line. */

/**
 * Find an element of the page.
 * @param {string} id that index.html gives it
 * @returns {any}
 */
export const $ = (id) => document.getElementById(id);

/**
 * Say something to everybody, screen readers among them. It stays in sight until something else is announced, or until
 * it is hushed.
 * @param {string} text one sentence
 */
export function announce(text) {
  $('notice').textContent = '';
  tell(text, true);
}

/**
 * Say something to screen readers alone: what others see elsewhere on the page.
 * @param {string} text one sentence
 */
export function say(text) {
  const { textContent: last, classList } = $('status');
  // Else nobody could read what was announced before the next image is done.
  if (last && !classList.contains('visually-hidden')) $('notice').textContent = last;
  tell(text, false);
}

/**
 * Take out of sight what was announced, if it is seen elsewhere now or is no longer so.
 * @param {string} text
 */
export function hush(text) {
  if ($('status').textContent === text) tell(text, false);
  if ($('notice').textContent === text) $('notice').textContent = '';
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
