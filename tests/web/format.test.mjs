/** How numbers are written. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bytes, duration, size } from '../../web_demo/ui/format.js';

test('durations', () => {
  const written = { 0: '0 ms', 12.4: '12 ms', 999: '999 ms', 999.6: '1.0 s', 9949: '9.9 s', 9951: '10 s' };
  for (const [ms, text] of Object.entries(written)) assert.equal(duration(Number(ms)), text);
  assert.deepEqual([59_499, 59_500, 60_400, 119_600, 3_600_000].map(duration), [
    '59 s',
    '1 min 0 s',
    '1 min 0 s',
    '2 min 0 s',
    '1 h 0 min',
  ]);
});

test('no time is longer than one that is written longer', () => {
  const seconds = (text) => {
    const {
      min = 0,
      s = 0,
      ms = 0,
    } = Object.fromEntries([...text.matchAll(/([\d.]+) (min|s|ms)/g)].map(([, n, unit]) => [unit, Number(n)]));
    return 60 * min + s + ms / 1000;
  };
  for (let ms = 0, last = 0; ms < 200_000; ms += 37) {
    const now = seconds(duration(ms));
    assert.ok(now >= last && Math.abs(now - ms / 1000) <= 0.5, `${ms} ms as ${duration(ms)}`);
    last = now;
  }
});

test('bytes', () => {
  assert.deepEqual([0, 1, 999, 1000, 999_949, 999_950, 1_234_567, 5e9, 5e13].map(bytes), [
    '0 B',
    '1 B',
    '999 B',
    '1.0 kB',
    '999.9 kB',
    '1.0 MB',
    '1.2 MB',
    '5.0 GB',
    '50000.0 GB',
  ]);
});

test('sizes', () => assert.equal(size(640, 480), '640 × 480'));
