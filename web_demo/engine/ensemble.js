/** A network's mean over the eight orientations of its input: the twin of `span_keras/inference/ensemble.py`. */
import { INVERSE, turned } from '../images/orientation.js';
import { run } from './run.js';

/**
 * Run a network on the eight orientations, and average what comes back.
 * @param {Parameters<typeof run>[0]} running
 * @param {Parameters<typeof run>[1]} pixels RGBA
 * @returns {ReturnType<typeof run>}
 */
export async function runOverOrientations(running, pixels) {
  const { width, height } = pixels;
  let total = new Float32Array();
  for (let number = 0; number < 8; number++) {
    const input = turned(/** @type {any} */ (pixels), number);
    const values = await run(running, { ...pixels, ...input });
    const scale = Math.sqrt(values.length / (3 * width * height));
    const made = { data: values, width: input.width * scale, height: input.height * scale };
    const { data } = turned(made, INVERSE[number], 3);
    if (number === 0) total = new Float32Array(data);
    else data.forEach((value, i) => (total[i] += value));
  }
  return total.map((value) => value / 8);
}
