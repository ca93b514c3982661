/** PNG files, on one thread and on several, read back with zlib and the PNG specification's own formulas. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import zlib from 'node:zlib';
import { readProfile } from '../../web_demo/images/icc.js';
import { Worker } from '../../benchmarks/web/workers.mjs';
import { PngEncoder } from '../../web_demo/engine/png.js';

/** CRC-32 bit by bit, from section 5.5 of the specification; `zlib.crc32` came with Node 22. */
function crc32(bytes) {
  let crc = ~0;
  for (const byte of bytes) {
    crc ^= byte;
    for (let k = 0; k < 8; k++) crc = crc & 1 ? 0xedb88320 ^ (crc >>> 1) : crc >>> 1;
  }
  return ~crc >>> 0;
}

/** Chunks of a PNG file as `[type, data]`, with their checksums checked. */
function chunks(file) {
  assert.deepEqual([...file.subarray(0, 8)], [137, 80, 78, 71, 13, 10, 26, 10]);
  const found = [];
  for (let at = 8; at < file.length;) {
    const length = file.readUInt32BE(at);
    const body = file.subarray(at + 4, at + 8 + length);
    assert.equal(file.readUInt32BE(at + 8 + length), crc32(body));
    found.push([body.toString('latin1', 0, 4), body.subarray(4)]);
    at += 12 + length;
  }
  return found;
}

/** Bytes of the pixels of a file of the Paeth filter alone: section 9.4 of the specification. */
function decode(file) {
  const parts = chunks(file);
  const header = parts[0][1];
  const [width, height, channels] = [header.readUInt32BE(0), header.readUInt32BE(4), { 2: 3, 6: 4 }[header[9]]];
  const stored = zlib.inflateSync(Buffer.concat(parts.filter(([type]) => type === 'IDAT').map(([, data]) => data)));
  const step = (channels * header[8]) / 8;
  const stride = width * step;
  assert.equal(stored.length, height * (stride + 1));
  const pixels = new Uint8Array(height * stride);
  for (let y = 0; y < height; y++) {
    assert.equal(stored[y * (stride + 1)], 4);
    for (let x = 0; x < stride; x++) {
      const at = y * stride + x;
      const a = x < step ? 0 : pixels[at - step];
      const b = y ? pixels[at - stride] : 0;
      const c = x < step || !y ? 0 : pixels[at - stride - step];
      const p = a + b - c;
      const [toA, toB, toC] = [a, b, c].map((value) => Math.abs(p - value));
      pixels[at] = stored[y * (stride + 1) + 1 + x] + (toA <= toB && toA <= toC ? a : toB <= toC ? b : c);
    }
  }
  return { width, height, channels, pixels, types: parts.map(([type]) => type) };
}

/** RGBA values that no filter predicts. */
const noise = (count) => Uint8ClampedArray.from({ length: count }, (_, i) => Math.imul(i + 1, 2654435761) >>> 24);
const withoutAlpha = (rgba) => rgba.filter((_, i) => i % 4 !== 3);
const bytesOf = async (blob) => Buffer.from(await blob.arrayBuffer());

for (const alpha of [false, true]) {
  test(`rows come back as they were, ${alpha ? 'with' : 'without'} transparency`, async () => {
    for (const [width, height] of [
      [1, 1],
      [7, 11],
      [300, 5],
    ]) {
      const rgba = noise(width * height * 4);
      const encoder = new PngEncoder(width, height, { alpha });
      const half = (height >> 1) * width * 4;
      if (half) await encoder.rows(rgba.subarray(0, half));
      await encoder.rows(rgba.subarray(half));
      const blob = await encoder.finish();
      assert.equal(blob.type, 'image/png');
      const found = decode(await bytesOf(blob));
      assert.deepEqual([found.width, found.height, found.channels], [width, height, alpha ? 4 : 3]);
      assert.deepEqual([...found.pixels], [...(alpha ? rgba : withoutAlpha(rgba))]);
      assert.deepEqual([found.types[0], found.types.at(-1)], ['IHDR', 'IEND']);
    }
  });
}

test('a colour profile goes along and is found again', async () => {
  const profile = Uint8Array.from({ length: 3000 }, (_, i) => i * 7);
  profile.set(Buffer.from('RGB '), 16);
  const encoder = new PngEncoder(2, 1, { icc: profile });
  await encoder.rows(noise(8));
  const blob = await encoder.finish();
  assert.deepEqual(decode(await bytesOf(blob)).types.slice(0, 3), ['IHDR', 'iCCP', 'IDAT']);
  assert.deepEqual(await readProfile(blob), profile);
});

test('a stream takes the file instead of a blob', async () => {
  const parts = [];
  const write = async (bytes) => void parts.push(Buffer.from(bytes));
  const encoder = new PngEncoder(64, 64, { write });
  const rgba = noise(64 * 64 * 4);
  for (let y = 0; y < 64; y += 16) await encoder.rows(rgba.subarray(y * 256, (y + 16) * 256));
  assert.equal(await encoder.finish(), null);
  assert.deepEqual([...decode(Buffer.concat(parts)).pixels], [...withoutAlpha(rgba)]);
});

test('a stream that fails ends the rows or the file, at once', { timeout: 20_000 }, async () => {
  let room = 3;
  const write = async () => {
    if (!room--) throw new Error('the disk is full');
  };
  const encoder = new PngEncoder(500, 500, { write });
  const work = async () => {
    for (let y = 0; y < 500; y += 10) await encoder.rows(noise(500 * 10 * 4));
    return encoder.finish();
  };
  await assert.rejects(work(), { message: 'the disk is full' });
  await encoder.abort();
});

/** An image that two more threads pay for, of sixteen pieces. */
const LARGE = { width: 2100, height: 2560 };
const large = new Uint8ClampedArray(LARGE.width * LARGE.height * 4);
for (let at = 0, some = noise(99_991); at < large.length; at += some.length) {
  large.set(some.subarray(0, large.length - at), at);
}

/** The file of `large`, in bands; nothing is written, and so only the first pieces are encoded, before `ready`. */
async function encodeLarge(ready) {
  const parts = [];
  const write = async (bytes) => {
    await ready;
    parts.push(bytes);
  };
  const encoder = new PngEncoder(LARGE.width, LARGE.height, { write });
  for (let y = 0; y < LARGE.height; y += 777) {
    await encoder.rows(large.subarray(y * LARGE.width * 4, (y + 777) * LARGE.width * 4));
  }
  await encoder.finish();
  return Buffer.concat(parts);
}

/** Let encoders find workers, and cores for two of them. @returns {Worker[]} those that they start */
function installWorkers(t) {
  const workers = [];
  globalThis.Worker = class extends Worker {
    constructor(url) {
      super(url);
      workers.push(this);
    }
  };
  const before = Object.getOwnPropertyDescriptor(globalThis, 'navigator');
  Object.defineProperty(globalThis, 'navigator', { value: { hardwareConcurrency: 3 }, configurable: true });
  t.after(() => {
    delete globalThis.Worker;
    delete globalThis.navigator;
    if (before) Object.defineProperty(globalThis, 'navigator', before);
    for (const worker of workers) worker.terminate();
  });
  return workers;
}

/** Resolves when a worker has answered its first call. */
const isReady = (worker) => new Promise((resolve) => worker.on('message', ({ id }) => id && resolve()));

test('threads make the same file as one, and end', { timeout: 60_000 }, async (t) => {
  const alone = await encodeLarge();
  const workers = installWorkers(t);
  let start;
  const work = encodeLarge(new Promise((resolve) => (start = resolve)));
  assert.equal(workers.length, 2);
  await Promise.all(workers.map(isReady));
  const answers = workers.map((worker) => once(worker, 'message'));
  const ends = workers.map((worker) => once(worker, 'exit'));
  start();
  assert.ok(alone.equals(await work));
  for (const [answer] of await Promise.all(answers)) assert.ok(answer.result.idat);
  await Promise.all(ends);
});

test('threads that fail or never start leave the work to this one', { timeout: 60_000 }, async (t) => {
  const alone = await encodeLarge();
  const workers = installWorkers(t);
  let start;
  const work = encodeLarge(new Promise((resolve) => (start = resolve)));
  workers[0].terminate();
  let failures = 0;
  const { postMessage } = workers[1];
  workers[1].postMessage = function (message, transfer) {
    if (message.method !== 'encode') return postMessage.call(this, message, transfer);
    failures++;
    this.onerror({ message: 'out of memory', preventDefault: () => {} });
  };
  await isReady(workers[1]);
  start();
  assert.ok(alone.equals(await work));
  assert.equal(failures, 1);
});

test('16 bits come back as they were', async () => {
  const [width, height] = [300, 450]; // more than one piece
  const rgba = Uint16Array.from({ length: width * height * 4 }, (_, i) => (i * 40503) & 0xffff);
  const encoder = new PngEncoder(width, height, { alpha: true, bits: 16 });
  await encoder.rows(rgba);
  const { pixels } = decode(await bytesOf(await encoder.finish()));
  const view = new DataView(pixels.buffer);
  assert.ok(rgba.every((value, i) => view.getUint16(2 * i) === value));
});

test('rows wait for a stream that takes nothing, and end when the file is given up', { timeout: 20_000 }, async () => {
  let writes = 0;
  const write = () => new Promise(() => void writes++);
  const encoder = new PngEncoder(2000, 1000, { write });
  let isDone = false;
  const rows = encoder.rows(new Uint8ClampedArray(2000 * 1000 * 4)).finally(() => (isDone = true));
  await new Promise((resolve) => setTimeout(resolve, 100));
  assert.ok(!isDone);
  assert.equal(writes, 1);
  encoder.abort();
  await assert.rejects(rows, { name: 'AbortError' });
  await assert.rejects(encoder.finish(), { name: 'AbortError' });
});

test('what repeats, as drawings do, is found by a search', async () => {
  const row = noise(300 * 4);
  const rgba = new Uint8ClampedArray(300 * row.length);
  for (let y = 0; y < 300; y++) rgba.set(row, y * row.length);
  const encoder = new PngEncoder(300, 300);
  await encoder.rows(rgba);
  const { size } = await encoder.finish();
  assert.ok(size < 9000, String(size)); // without it ten times as large
});
