/** Which WebGPU kernels were fastest on this machine, kept between visits. */
import { transact } from './database.js';
import { isFresh, stamp } from './stamp.js';

/**
 * @typedef {object} Choice names of kernel sets
 * @property {string} usual for tiles of the usual size
 * @property {string} small for small ones
 * @property {number} milliseconds of a usual tile
 */

/**
 * @param {string} key adapter and network
 * @param {number} days for which a choice is good
 * @returns {Promise<Choice | undefined>} nothing if none is kept that this browser made, or where it keeps nothing
 */
export async function recallChoice(key, days) {
  const { choice } = await run('readonly', ({ choices }) => ({ choice: choices.get(key) }));
  return choice && isFresh(choice, days) ? choice.value : undefined;
}

/** @param {string} key @param {Choice} value @returns {Promise<void>} kept, where the browser keeps anything */
export async function rememberChoice(key, value) {
  await run('readwrite', ({ choices }) => void choices.put({ key, value, ...stamp() }));
}

/** @param {string} key @returns {Promise<void>} */
export async function forgetChoice(key) {
  await run('readwrite', ({ choices }) => void choices.delete(key));
}

/** A choice that is lost is only measured again. @returns {Promise<Record<string, any>>} */
function run(mode, work) {
  return transact({ name: 'span-kernels', stores: { choices: { keyPath: 'key' } } }, mode, work).catch(() => ({}));
}
