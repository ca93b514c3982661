/** How numbers are written. */

/**
 * @param {number} width
 * @param {number} height
 * @returns {string} 640 × 480
 */
export const size = (width, height) => `${width} × ${height}`;

/** @param {number} value a whole one @returns {string} 12,345 */
export const count = (value) => value.toLocaleString('en');

/**
 * @param {number} ms milliseconds
 * @returns {string} 12 ms, 1.2 s, 12 s, 1 min 12 s or 1 h 12 min
 */
export function duration(ms) {
  if (ms < 999.5) return `${Math.round(ms)} ms`;
  if (ms < 59_500) return `${(ms / 1000).toFixed(ms < 9_950 ? 1 : 0)} s`;
  const seconds = Math.round(ms / 1000);
  const minutes = Math.round(seconds / 60);
  if (seconds >= 3600) return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
  return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
}

/**
 * @param {number} ms milliseconds
 * @returns {string} a rougher `duration`: 1 min 12 s, 12 min, 12 h or 12 days
 */
export function longDuration(ms) {
  const minutes = Math.round(ms / 60_000);
  if (minutes < 2) return duration(ms);
  if (minutes < 120) return `${minutes} min`;
  const hours = Math.round(minutes / 60);
  return hours < 48 ? `${hours} h` : `${Math.round(hours / 24)} days`;
}

/**
 * @param {number} number
 * @returns {string} 12 B, 1.2 kB, 1.2 MB or 1.2 GB; units are powers of 1000
 */
export function bytes(number) {
  const units = ['B', 'kB', 'MB', 'GB'];
  let step = 0;
  while (step < 3 && number / 1000 ** step >= (step ? 999.95 : 1000)) step++; // 1.0 MB, not 1000.0 kB
  return `${(number / 1000 ** step).toFixed(step ? 1 : 0)} ${units[step]}`;
}
