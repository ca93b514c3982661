/** The order in which a network's kernels run, and the buffers that they hand on. */

/** @typedef {'head' | 'first' | 'activated' | 'a' | 'b' | 'c' | 'd'} BufferName of activations */

/**
 * @typedef {object} Step one dispatch
 * @property {'first' | 'activate' | 'attend' | 'merge' | 'last'} kind of kernel
 * @property {[] | [number, number]} place of the weights: block and convolution, from 0
 * @property {BufferName | 'source'} input
 * @property {BufferName | 'target'} output
 * @property {BufferName[]} extras further inputs
 */

/** Seven, for `head`, `first` and `activated` are read again at the end. */
export const BUFFERS = /** @type {BufferName[]} */ (['head', 'first', 'activated', 'a', 'b', 'c', 'd']);

/**
 * Plan a pass.
 * @param {number} blocks
 * @returns {Step[]} 3 · blocks + 3 of them
 */
export function planSteps(blocks) {
  /** @type {Step[]} */
  const steps = [{ kind: 'first', place: [], input: 'source', output: 'head', extras: [] }];
  /** @type {BufferName} */
  let features = 'head';
  for (let i = 0; i < blocks; i++) {
    const activated = i === blocks - 1 ? 'activated' : 'a';
    const output = i === 0 ? 'first' : features === 'c' ? 'd' : 'c';
    steps.push(
      { kind: 'activate', place: [i, 0], input: features, output: activated, extras: [] },
      { kind: 'activate', place: [i, 1], input: activated, output: 'b', extras: [] },
      { kind: 'attend', place: [i, 2], input: 'b', output, extras: [features] },
    );
    features = output;
  }
  steps.push(
    { kind: 'merge', place: [], input: features, output: 'a', extras: ['head', 'first', 'activated'] },
    { kind: 'last', place: [], input: 'a', output: 'target', extras: [] },
  );
  return steps;
}
