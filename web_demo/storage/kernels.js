/** Which WebGPU kernels were fastest on this machine, kept between visits. */
import { transact } from './database.js';

/**
 * @typedef {object} Choice names of kernel sets
 * @property {string} usual for tiles of the usual size
 * @property {string} small for small ones
 * @property {number} milliseconds of a usual tile
 */

/**
 * @param {string} key adapter and network
 * @returns {Promise<Choice | undefined>} nothing if none is kept, or where the browser keeps nothing
 */
export async function recallChoice(key) {
  const { choice } = await run('readonly', ({ choices }) => ({ choice: choices.get(key) }));
  return choice?.value;
}

/** @param {string} key @param {Choice} value @returns {Promise<void>} kept, where the browser keeps anything */
export async function rememberChoice(key, value) {
  await run('readwrite', ({ choices }) => void choices.put({ key, value }));
}

/** A choice that is lost is only measured again. @returns {Promise<Record<string, any>>} */
function run(mode, work) {
  return transact({ name: 'span-kernels', stores: { choices: { keyPath: 'key' } } }, mode, work).catch(() => ({}));
}
