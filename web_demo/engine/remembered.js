/** The backend that proved fastest, kept between visits so that it is not looked for at every one. In a page only. */
import { isFresh, stamp } from '../storage/stamp.js';

const KEY = 'span-backend';
/** After so many days it is looked for again: drivers change. */
const DAYS = 30;

/** @typedef {import('./backend.js').BackendName} BackendName */

/**
 * Take the remembered backend out, so that one that brings the browser down is not tried again; `remember` puts it back.
 * @returns {BackendName | undefined}
 */
export function recall() {
  try {
    const { backend, ...made } = JSON.parse(localStorage.getItem(KEY) ?? '{}');
    localStorage.removeItem(KEY);
    return isFresh(made, DAYS) ? backend : undefined;
  } catch {
    return undefined; // the browser keeps nothing for this page, or something else stands there
  }
}

/** @param {BackendName} backend */
export function remember(backend) {
  try {
    localStorage.setItem(KEY, JSON.stringify({ backend, ...stamp() }));
  } catch {
    // The next visit looks for it again.
  }
}
