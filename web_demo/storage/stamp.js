/** When and by which browser something was kept: what is measured today may be wrong after an update. */

const DAY = 24 * 3600 * 1000;

/** @typedef {{agent: string, time: number}} Stamp */

/** @returns {Stamp} */
export const stamp = () => ({ agent: navigator.userAgent, time: Date.now() });

/** @param {Partial<Stamp>} kept @param {number} days @returns {boolean} whether this browser kept it not longer ago */
export const isFresh = ({ agent, time = NaN }, days) =>
  agent === navigator.userAgent && Math.abs(Date.now() - time) < days * DAY;
