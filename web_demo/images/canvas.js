/**
 * Whether canvases give back what was drawn. Browsers that resist fingerprinting answer with noise (Firefox's
 * resistFingerprinting, and so the Tor Browser and LibreWolf) or change single levels (Brave), without an error.
 */

const SIDE = 32;
/** @type {boolean | undefined} */
let answer;

/** @returns {boolean} asked of the browser once */
export function isCanvasTrue() {
  return (answer ??= probe());
}

function probe() {
  const context = new OffscreenCanvas(SIDE, SIDE).getContext('2d', { willReadFrequently: true });
  if (!context) return true; // whoever needs one says so
  const drawn = new ImageData(SIDE, SIDE);
  drawn.data.forEach((_, i) => (drawn.data[i] = i % 4 === 3 ? 255 : (i * 37 + (i >> 5) * 101) % 256));
  context.putImageData(drawn, 0, 0);
  const read = context.getImageData(0, 0, SIDE, SIDE).data;
  return read.every((level, i) => level === drawn.data[i]);
}
