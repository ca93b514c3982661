/** What an image takes, and what would take less. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { alternatives, costOf } from '../../web_demo/ui/cost.js';
import { qualityOf } from '../../web_demo/ui/qualities.js';

const PHOTO_4 = { name: 'Photo ×4', url: 'a', scale: 4, channels: 48 };
const PHOTO_2 = { name: 'Photo ×2', url: 'b', scale: 2, channels: 48 };
const FAST_4 = { name: 'Fast ×4', url: 'c', scale: 4, channels: 28 };
const FAST_2 = { name: 'Fast ×2', url: 'd', scale: 2, channels: 28 };
const FAITHFUL_3 = { name: 'Faithful ×3', url: 'e', scale: 3, channels: 48 };
const LISTED = [PHOTO_4, FAST_2, PHOTO_2, FAITHFUL_3, FAST_4];
const WORK = { from: { width: 4032, height: 3024 }, milliseconds: 28 * 60_000 };

test('a quicker model of the same factor and a smaller factor of the same quality are offered, with size and time', () => {
  assert.deepEqual(alternatives(LISTED, PHOTO_4, WORK), [
    { model: FAST_4, label: 'Take Fast ×4 (about 10 min)' },
    { model: PHOTO_2, label: 'Take Photo ×2 (8064 × 6048, about 28 min)' },
  ]);
  assert.deepEqual(alternatives(LISTED, FAST_2, WORK), []);
});

test('where the width is given, a smaller factor changes nothing', () => {
  const offered = alternatives(LISTED, PHOTO_4, { ...WORK, width: 5000 });
  assert.deepEqual(offered.map(({ model }) => model), [FAST_4]); // prettier-ignore
});

test('the size of a result is that of the factor, or the width', () => {
  const work = { from: { width: 600, height: 400 }, scale: 4, pixelTime: 1, backend: 'wasm' };
  const cost = costOf(work);
  assert.equal(cost.text, '600 × 400 becomes 2400 × 1600; about 4 min on WebAssembly');
  assert.equal(cost.pixels, 2400 * 1600);
  assert.ok(cost.isLong);
  assert.equal(costOf({ ...work, width: 1920, pixelTime: 0.1 }).text, '600 × 400 becomes 1920 × 1280');
  assert.equal(costOf({ ...work, width: 9000, pixelTime: 0.1 }).text, '600 × 400 becomes 2400 × 1600');
});

test('only titles of the package name a quality', () => {
  assert.equal(qualityOf(PHOTO_4), 'Photo');
  for (const name of ['x4', 'mine ×4', 'constructor ×2']) assert.equal(qualityOf({ name }), undefined);
});
