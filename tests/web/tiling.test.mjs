/** Tiles: every pixel is kept once, and sees as far as the network does. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { planAxis, planTiles } from '../../web_demo/images/tiling.js';

const SIZES = [
  [8, 3],
  [7, 3],
  [16, 3],
  [20, 9],
  [64, 21],
  [43, 21],
];

test('tiles cover every pixel once and see enough', () => {
  for (const [tile, halo] of SIZES) {
    for (let length = 1; length < 200; length++) {
      let next = 0;
      for (const span of planAxis(length, tile, halo)) {
        const { start, size, from, to } = span;
        const about = JSON.stringify({ length, tile, halo, span });
        assert.equal(from, next, about);
        assert.ok(to > from, about);
        assert.equal(size, Math.min(tile, length), about); // one shape: backends compile and keep memory for each
        assert.ok(start >= 0 && start + size <= length, about);
        assert.ok(from - start >= Math.min(halo, from), about);
        assert.ok(start + size - to >= Math.min(halo, length - to), about);
        // A border of the tile that is none of the image must not be kept: the network pads there.
        assert.ok(start === 0 || start < from, about);
        next = to;
      }
      assert.equal(next, length);
    }
  }
});

test('no more tiles than needed', () => {
  for (const [tile, halo] of SIZES) {
    for (let length = tile + 1; length < 400; length += 7) {
      const needed = Math.ceil((length - 2 * halo) / (tile - 2 * halo));
      assert.equal(planAxis(length, tile, halo).length, needed, `${length} pixels in tiles of ${tile}, halo ${halo}`);
    }
  }
});

test('a part of a side is tiled like the whole', () => {
  const spans = planAxis(100, 20, 4, 30, 61);
  assert.deepEqual(spans, [
    { start: 26, size: 20, from: 30, to: 42 },
    { start: 38, size: 20, from: 42, to: 54 },
    { start: 50, size: 20, from: 54, to: 61 },
  ]);
});

test('a tile must exceed its halo', () => {
  const message = 'A tile of 40 pixels must be larger than twice the halo of 21.';
  assert.throws(() => planAxis(100, 40, 21), { name: 'RangeError', message });
  assert.throws(() => planAxis(100, 42, 21), RangeError);
  assert.equal(planAxis(40, 40, 21).length, 1); // one tile needs no halo
});

test('an image is tiled along both sides', () => {
  const { columns, rows, count } = planTiles(50, 30, 32, 8);
  assert.deepEqual(columns, planAxis(50, 32, 8));
  assert.deepEqual(rows, [{ start: 0, size: 30, from: 0, to: 30 }]);
  assert.equal(count, columns.length);
});
