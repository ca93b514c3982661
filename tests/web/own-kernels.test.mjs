/** Our own WebGPU kernels where a GPU fails or is busy, with small fakes of it. tests/browser has a software GPU. */
import assert from 'node:assert/strict';
import { afterEach, mock, test } from 'node:test';
import { run } from '../../web_demo/engine/run.js';
import { RunningModel } from '../../web_demo/engine/running-model.js';
import { GpuNetwork } from '../../web_demo/engine/webgpu/network.js';
import { readBack } from '../../web_demo/engine/webgpu/read-back.js';
import { TileBuffers } from '../../web_demo/engine/webgpu/tile-buffers.js';
import { largestSide } from '../../web_demo/engine/webgpu/tile.js';
import { Tuning, timeOf } from '../../web_demo/engine/webgpu/tune.js';
import { PLANES } from '../../web_demo/engine/webgpu/shaders/layout.js';
import { Arena } from '../../web_demo/engine/webgpu/arena.js';
import { BackendLost, DeviceLost, answerOf } from '../../web_demo/network/lost.js';
import { weightTable } from '../../web_demo/network/model.js';
import { isFresh, stamp } from '../../web_demo/storage/stamp.js';

afterEach(() => {
  mock.timers.reset();
  mock.restoreAll();
});

/** @type {any} */
const never = new Promise(() => {});
const unmapped = () => Promise.reject(new DOMException('Buffer unmapped', 'AbortError'));
const gone = new DeviceLost('WebGPU was lost: it was unplugged');
/** As Firefox tells it: after everything else has failed. @returns {any} */
const lateLoss = () => new Promise((resolve, reject) => setTimeout(() => reject(gone), 20));

/** A device whose buffers hold what `status` says of a pass. */
function fakeDevice({ status = 1, mapAsync = async () => {}, popErrorScope = async () => null } = {}) {
  const device = {
    live: 0,
    pushErrorScope() {},
    popErrorScope,
    createBuffer({ size }) {
      device.live++;
      const getMappedRange = () => Uint32Array.of(7, status).buffer;
      return { size, mapAsync, getMappedRange, unmap() {}, destroy: () => device.live-- };
    },
  };
  return /** @type {any} */ (device);
}

/** What is read of a device, or why not; and how many buffers are neither kept for the next tile nor freed. */
async function read(device, lost) {
  const buffers = new TileBuffers(new Arena(device));
  let found;
  const outcome = await readBack(buffers, lost, 4, () => {}, (bytes) => (found = [...bytes])).then(() => found, (error) => error); // prettier-ignore
  buffers.free();
  return [outcome, device.live];
}

test('what the GPU computed is read, if it computed all of it', async () => {
  assert.deepEqual(await read(fakeDevice(), never), [[7, 0, 0, 0], 0]);
  for (const [status, message] of /** @type {[number, RegExp][]} */ ([
    [0, /did not compute all pixels/],
    [3, /not numbers/],
  ])) {
    const [error, live] = await read(fakeDevice({ status }), never);
    assert(error instanceof BackendLost && message.test(error.message));
    assert.equal(live, 0);
  }
});

test('a device that goes away is lost, whatever its promises say first', async () => {
  for (const failing of [{ mapAsync: unmapped }, { popErrorScope: unmapped }]) {
    assert.deepEqual(await read(fakeDevice(failing), lateLoss()), [gone, 0]);
  }
  const running = { tf: { backend: () => ({ device: fakeDevice() }) }, backend: 'webgpu', lost: lateLoss() };
  const network = { compute: unmapped };
  await assert.rejects(run(/** @type {any} */ ({ ...running, network }), /** @type {any} */ ({})), gone);
});

test('a promise that fails on a device that stays is a failure of the GPU, never a cancel', async () => {
  mock.timers.enable({ apis: ['setTimeout'] });
  const answer = answerOf(unmapped(), never);
  await new Promise(setImmediate);
  mock.timers.tick(10_000);
  await assert.rejects(answer, { name: 'BackendLost', message: 'WebGPU failed: Buffer unmapped' });
  await assert.rejects(answerOf(Promise.reject(new RangeError('a mistake of ours')), never), RangeError);
});

/**
 * A network on a GPU whose sets take so many milliseconds a tile, on a clock of its own.
 * @param {Record<string, number>} times
 * @param {{trip?: number, failing?: Record<string, Error>, onBatch?: (network: any, set: string) => void}} [options]
 *   `trip`: milliseconds to the GPU and back
 */
function fakeNetwork(times, { trip = 0, failing = {}, onBatch = () => {} } = {}) {
  let now = 0;
  mock.method(performance, 'now', () => now);
  const network = {
    sets: Object.keys(times).map((name) => ({ name })),
    programs: /** @type {any} */ ({}),
    runs: 0,
    made: /** @type {string[]} */ ([]),
    dropped: /** @type {string[]} */ ([]),
    rested: 0,
    get now() {
      return now;
    },
    rest: () => network.rested++,
    async makeProgram(set) {
      network.made.push(set.name);
      if (!times[set.name]) throw new Error('it is wrong');
      return { set };
    },
    dropProgram: ({ set }) => network.dropped.push(set.name),
    async repeat(count, { width }, { set }) {
      if (failing[set.name]) throw failing[set.name];
      now += trip + (count * times[set.name] * width ** 2) / 256 ** 2;
      onBatch(network, set.name);
    },
  };
  return /** @type {any} */ (network);
}

test('a measurement leaves out the way to the GPU and back', async () => {
  for (const trip of [0.1, 101]) {
    const network = fakeNetwork({ A: 1.3 }, { trip });
    const [set] = network.sets;
    const time = /** @type {number} */ (await timeOf(network, /** @type {any} */ ({ set }), 256));
    assert(Math.abs(time - 1.3) < 1e-6, `${time} ms`);
    assert(network.now < 4000, `it took ${network.now} ms`);
  }
});

test('a slow device is measured in a few tiles', async () => {
  const network = fakeNetwork({ A: 4000 });
  const [set] = network.sets;
  assert.equal(await timeOf(network, /** @type {any} */ ({ set }), 256), 4000);
  assert.equal(network.now, 8000);
});

test('the fastest sets are chosen of those that are right and do not fail', async () => {
  const failing = { C: new BackendLost('WebGPU did not compute all pixels of a tile') };
  const network = fakeNetwork({ A: 3, B: 2, C: 1, D: 0 }, { failing });
  const tuning = new Tuning(network);
  assert.equal(await tuning.go(), true);
  assert.deepEqual(tuning.choose(), { usual: 'B', small: 'B', milliseconds: 2 });
  assert.equal(network.programs.usual.set.name, 'B');
  assert.deepEqual(network.dropped, ['C', 'A']);
});

test('a device that goes away ends the measuring, and gives no figure', async () => {
  const tuning = new Tuning(fakeNetwork({ A: 3, B: 2 }, { failing: { B: gone } }));
  await assert.rejects(tuning.go(), gone);
});

test('other work stops the measuring at once, and what is known stays known', async () => {
  let batches = 0;
  const after = [];
  const onBatch = (network, name) => {
    after.push([name, network.runs]);
    if (++batches % 20 === 0) network.runs++; // an image begins
  };
  const network = fakeNetwork({ A: 60, B: 50, C: 70 }, { onBatch });
  const tuning = new Tuning(network);
  let rounds = 1;
  while (!(await tuning.go())) rounds++;
  assert(rounds > 2);
  assert.equal(network.rested, rounds);
  assert.deepEqual(network.made, ['A', 'B', 'C']);
  assert.deepEqual(tuning.choose(), { usual: 'B', small: 'B', milliseconds: 50 });
  assert(
    after.every(([, runs], i) => runs === Math.floor(i / 20)),
    'a batch followed after other work had come',
  );
});

test('measuring that never comes to an end is given up', async () => {
  const network = fakeNetwork({ A: 60, B: 50 }, { onBatch: () => network.runs++ });
  const tuning = new Tuning(network);
  let rounds = 0;
  while (!(await tuning.go())) rounds++;
  assert(rounds > 10);
  assert(network.now < 31_000);
  assert.equal(tuning.choose(), null);
  assert.deepEqual(network.dropped, ['A', 'B']);
});

test('measuring has an end on a device of any speed', async () => {
  const network = fakeNetwork({ A: 20_000, B: 30_000, C: 10_000 });
  const tuning = new Tuning(network);
  assert.equal(await tuning.go(), true);
  assert.equal(network.now, 40_000);
  assert.deepEqual(tuning.choose(), { usual: 'A', small: 'A', milliseconds: 20_000 });
});

test('the largest tile has no buffer that the device cannot bind', () => {
  const [limit, sets] = [128 * 2 ** 20, [{ layout: PLANES }]];
  for (const [channels, scale, expected] of [
    [48, 4, 836],
    [48, 8, 418],
    [200, 2, 409],
  ]) {
    const side = largestSide({ channels, scale }, sets, limit);
    assert.equal(side, expected);
    assert((side * scale) ** 2 * 12 <= limit && PLANES.bytes(channels, side, side) <= limit);
  }
});

test('what was kept is good for some days, in the browser that kept it', () => {
  Object.assign(globalThis, { navigator: globalThis.navigator ?? { userAgent: 'this one' } }); // Node 20 has none
  const kept = stamp();
  assert(isFresh(kept, 1));
  assert(!isFresh({ ...kept, time: kept.time - 2 * 24 * 3600 * 1000 }, 1));
  assert(!isFresh({ ...kept, agent: 'another' }, 1));
  assert(!isFresh({}, 1));
});

/** A small network, all zeros. */
function zeros() {
  const table = weightTable({ scale: 2, channels: 4, blocks: 1 });
  const weightSpecs = table.map(({ layer, weight, shape }) => ({
    name: `${layer}/${weight}`,
    shape,
    dtype: 'float32',
  }));
  const layers = [
    { class_name: 'LeakyReLU', config: { name: 'block_1_act1', alpha: 0.1 } },
    { class_name: 'Activation', config: { name: 'block_1_sym' } },
  ];
  const weightData = new ArrayBuffer(4 * table.reduce((sum, { size }) => sum + size, 0));
  return /** @type {any} */ ({ modelTopology: { model_config: { config: { layers } } }, weightSpecs, weightData });
}

test('a network that cannot be made leaves no device open', async () => {
  let isOpen = true;
  const limits = { maxComputeWorkgroupStorageSize: 16384 };
  const device = { limits, lost: never, features: new Set(), destroy: () => (isOpen = false) };
  const adapter = { limits, info: {}, features: new Set(), requestDevice: async () => device };
  const gpu = /** @type {any} */ ({ requestAdapter: async () => adapter });
  const config = /** @type {any} */ ({
    channels: 4,
    blocks: 1,
    scale: 2,
    variant: 'span',
    imgRange: 1,
    rgbMean: [0, 0, 0],
  });
  await assert.rejects(GpuNetwork.start({ ...zeros(), weightSpecs: [] }, config, { device: { gpu } }), TypeError);
  assert(!isOpen);
});

test('a device that starts when nobody waits any more is closed', async () => {
  mock.timers.enable({ apis: ['setTimeout'] });
  let start;
  mock.method(GpuNetwork, 'start', () => new Promise((resolve) => (start = resolve)));
  const loading = new RunningModel().load(zeros(), { backend: 'webgpu' }).catch(() => {}); // nothing else runs here either
  let isOver = false;
  loading.then(() => (isOver = true));
  while (!isOver) {
    await new Promise(setImmediate);
    mock.timers.tick(100_000);
  }
  let isClosed = false;
  start({ programs: {}, dispose: () => (isClosed = true) });
  await new Promise(setImmediate);
  assert(isClosed);
});
