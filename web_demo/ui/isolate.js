/**
 * Threads for WebAssembly where the server does not isolate the page: the service worker adds the headers that do, from
 * the next load on. On the first visit the page is loaded once more by itself, while nobody has begun anything.
 */
import { HAS_UNSURE_THREADS } from '../engine/backend.js';

/** In the tab's storage, once it was loaded again: what is not isolated then never will be. */
const KEY = 'span-isolation';

/** @param {() => boolean} isIdle whether nothing would be lost */
export function isolate(isIdle) {
  // A page inside another one is isolated only if that is, too.
  if (crossOriginIsolated || HAS_UNSURE_THREADS || window !== top) return;
  navigator.serviceWorker.addEventListener('controllerchange', () => {
    // Whoever has clicked may be choosing a file. Where the browser does not tell, they may have.
    const isUntouched = navigator.userActivation?.hasBeenActive === false;
    if (isUntouched && isIdle() && isFirst()) location.reload();
  });
}

function isFirst() {
  try {
    const isAgain = sessionStorage.getItem(KEY);
    sessionStorage.setItem(KEY, 'tried');
    return !isAgain;
  } catch {
    return false; // the browser keeps nothing for this page
  }
}
