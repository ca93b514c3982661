/** The backend that proved fastest, kept between visits so that it is not looked for at every one. In a page only. */

const KEY = 'span-backend';
/** Milliseconds after which it is looked for again: drivers change. */
const VALID = 30 * 24 * 3600 * 1000;

/** @typedef {import('./backend.js').BackendName} BackendName */

/**
 * Take the remembered backend out, so that one that brings the browser down is not tried again; `remember` puts it back.
 * @returns {BackendName | undefined}
 */
export function recall() {
  try {
    const { backend, agent, time } = JSON.parse(localStorage.getItem(KEY) ?? '{}');
    localStorage.removeItem(KEY);
    return agent === navigator.userAgent && Math.abs(Date.now() - time) < VALID ? backend : undefined;
  } catch {
    return undefined; // the browser keeps nothing for this page, or something else stands there
  }
}

/** @param {BackendName} backend */
export function remember(backend) {
  try {
    localStorage.setItem(KEY, JSON.stringify({ backend, agent: navigator.userAgent, time: Date.now() }));
  } catch {
    // The next visit looks for it again.
  }
}
