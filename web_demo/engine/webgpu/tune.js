/** Measures which sets of kernels are fastest on this device, for tiles of the usual size and small ones. */

/** Sides of the tiles that are measured, in pixels of the input. */
export const SIDES = { usual: 256, small: 64 };
/** Milliseconds of work before a measurement: adapters that idle run slowly. */
const WARM = 250;
/** Milliseconds that one measurement may take about. */
const LENGTH = 100;

/** @typedef {import('./network.js').GpuNetwork} GpuNetwork */
/** @typedef {import('./program.js').Program} Program */

/**
 * Measure every set that fits and is right, and let the network use the fastest.
 * @param {GpuNetwork} network without other work meanwhile
 * @returns {Promise<import('../../storage/kernels.js').Choice | null>} null if other work came between
 */
export async function tune(network) {
  /** @type {Map<Program, {usual: number, small: number}>} */
  const times = new Map();
  const old = Object.values(network.programs);
  for (const set of network.sets) {
    const program = old.find((known) => known.set === set) ?? (await network.makeProgram(set).catch(() => null));
    if (program) times.set(program, { usual: NaN, small: NaN });
  }
  const { runs } = network; // among them the checks of the programs
  const best = {};
  for (const size of /** @type {const} */ (['usual', 'small'])) {
    for (const [program, time] of times) time[size] = await timeOf(network, program, SIDES[size]);
    const [first] = times; // once more: an adapter that idled still ran slowly when it was its turn
    if (first) first[1][size] = Math.min(first[1][size], await timeOf(network, first[0], SIDES[size]));
    const sorted = [...times].sort(([, a], [, b]) => a[size] - b[size]);
    best[size] = sorted[0]?.[0];
  }
  const alone = network.runs === runs && best.usual !== undefined;
  if (alone) network.programs = best;
  for (const program of times.keys()) {
    if (!Object.values(network.programs).includes(program)) network.dropProgram(program);
  }
  if (!alone) return null;
  const milliseconds = /** @type {{usual: number}} */ (times.get(best.usual)).usual;
  return { usual: best.usual.set.name, small: best.small.set.name, milliseconds };
}

/**
 * Time a program on tiles that follow each other at once.
 * @param {GpuNetwork} network
 * @param {Program} program
 * @param {number} side
 * @returns {Promise<number>} milliseconds a tile
 */
export async function timeOf(network, program, side) {
  const { queue } = network.gpu.device;
  const work = async (count) => {
    const started = performance.now();
    for (let i = 0; i < count; i++) network.enqueue({ width: side, height: side }, program);
    await queue.onSubmittedWorkDone();
    return (performance.now() - started) / count;
  };
  let each = await work(1);
  for (const until = performance.now() + WARM - each; performance.now() < until;) each = await work(countFor(each));
  return Math.min(each, await work(countFor(each)), await work(countFor(each)));
}

const countFor = (each) => Math.max(1, Math.min(20, Math.round(LENGTH / 3 / each)));
