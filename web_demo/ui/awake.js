/** Keeping the device awake while it works: a phone that goes to sleep stops the work. */

/** Why it is to stay awake: `hold` and `release` are called with the same word. */
const reasons = new Set();
/** @type {Promise<WakeLockSentinel | null> | null} */
let lock = null;

/** @param {string} reason */
export function hold(reason) {
  reasons.add(reason);
  update();
}

/** @param {string} reason */
export function release(reason) {
  reasons.delete(reason);
  update();
}

/** A browser gives the lock to a page in sight only, and takes it back from one that is not. */
function update() {
  if (reasons.size && !lock && !document.hidden) {
    lock = navigator.wakeLock?.request('screen').catch(() => null) ?? null; // as where the battery is low
    lock?.then((held) => held?.addEventListener('release', () => (lock = null)));
  } else if (!reasons.size && lock) {
    lock.then((held) => held?.release());
    lock = null;
  }
}

document.addEventListener('visibilitychange', update);
