/** Reproducible random numbers: the stream of a seed and an index never changes, so a resumed run sees the same data. */

const scramble = (h) => {
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
};

/**
 * Make a stream of random numbers.
 * @param {number} seed whole number
 * @param {number} [index] which of the seed's independent streams
 * @returns {() => number} uniform in [0, 1) (mulberry32)
 */
export function uniformStream(seed, index = 0) {
  let state = scramble((seed >>> 0) ^ scramble(index + 0x9e3779b9));
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

/**
 * @param {() => number} uniform
 * @returns {() => number} standard normal (Box and Muller)
 */
export function normalStream(uniform) {
  return () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform());
}
