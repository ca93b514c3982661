/** Transparency and the way of pixels to the network and back. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ALPHA_BLEED } from '../../web_demo/constants.js';
import { alphaOf, alphaRange, bled, bleed, storeAlpha } from '../../web_demo/images/alpha.js';
import { crop, store, storeGrey } from '../../web_demo/images/pixels.js';
import { planAxis, planTiles } from '../../web_demo/images/tiling.js';

/** RGBA of (height, width) by place. */
function paint(width, height, color, Type = Uint8ClampedArray) {
  const data = new Type(width * height * 4);
  for (let y = 0, i = 0; y < height; y++) for (let x = 0; x < width; x++, i += 4) data.set(color(x, y), i);
  return { width, height, data };
}

const pixel = ({ width, data }, x, y) => [...data.slice((y * width + x) * 4, (y * width + x) * 4 + 4)];

test('colours bleed into what is transparent, as far as they reach', () => {
  const image = paint(30, 3, (x) => (x < 2 ? [0.25, 0.5, 1, 1] : [0, 0, 0, 0]), Float32Array);
  bleed(image);
  for (let x = 0; x < 30; x++) {
    const color = x < 2 + ALPHA_BLEED ? [0.25, 0.5, 1] : [0, 0, 0];
    assert.deepEqual(pixel(image, x, 1), [...color, x < 2 ? 1 : 0], `at ${x}`);
  }
});

test('a transparent pixel between two colours takes their mean', () => {
  const image = paint(3, 1, (x) => [x / 2, 0, 0, x === 1 ? 0 : 1], Float32Array);
  image.data[4] = 0.9; // what it holds is nobody's colour
  bleed(image);
  assert.deepEqual(pixel(image, 1, 0), [0.5, 0, 0, 0]);
});

test('nothing bleeds where all or nothing is visible', () => {
  for (const alpha of [0, 1]) {
    const image = paint(4, 4, (x, y) => [x / 4, y / 4, 0, alpha], Float32Array);
    const before = [...image.data];
    bleed(image);
    assert.deepEqual([...image.data], before);
  }
});

test('alpha is kept within the range of its neighbourhood', () => {
  const image = paint(4, 4, (x, y) => [0, 0, 0, 10 * x + y]);
  assert.deepEqual(alphaRange(image, 0, 0), [0 / 255, 11 / 255]);
  assert.deepEqual(alphaRange(image, 1, 2), [1 / 255, 23 / 255]);
  assert.deepEqual(alphaRange(image, 3, 3), [22 / 255, 33 / 255]);
});

test('a tile is cut out, and its colours know what lies beyond', () => {
  const image = paint(20, 12, (x, y) => [x, y, 9, x === 0 ? 255 : 0]);
  const x = { start: 3, size: 5, from: 4, to: 7 };
  const y = { start: 2, size: 4, from: 2, to: 6 };
  const cut = crop(image, x, y);
  assert.deepEqual([cut.width, cut.height], [5, 4]);
  assert.deepEqual(pixel(cut, 0, 0), [3, 2, 9, 0]);
  assert.deepEqual(pixel(cut, 4, 3), [7, 5, 9, 0]);
  // The only visible column lies outside of the tile.
  const tile = bled(image, x, y);
  assert.ok(Math.abs(pixel(tile, 0, 1)[2] - 9 / 255) < 1e-6);
  assert.equal(pixel(tile, 0, 1)[0], 0);
  assert.deepEqual([...alphaOf(paint(2, 1, (column) => [1, 2, 3, column * 255])).data], [0, 0, 0, 0, 255, 255, 255, 0]);
});

test('stored tiles make up the whole image, at every size', () => {
  const scale = 2;
  for (const [width, height] of [
    [5, 4],
    [17, 23],
    [40, 9],
  ]) {
    const { columns, rows } = planTiles(width, height, 16, 3);
    const image = paint(width, height, (x, y) => [0, 0, 0, (x * y) % 200]);
    const whole = new Uint8ClampedArray(width * height * scale * scale * 4);
    for (const y of rows) {
      for (const x of columns) {
        // A network that tells of every pixel of its result where it lies in the whole.
        const values = [];
        for (let row = y.start * scale; row < (y.start + y.size) * scale; row++) {
          for (let column = x.start * scale; column < (x.start + x.size) * scale; column++) {
            values.push(column / 255, row / 255, 0.5 / 255);
          }
        }
        store(values, { x, y, left: 0, top: 0, width: width * scale }, scale, whole);
      }
    }
    for (let row = 0, i = 0; row < height * scale; row++) {
      for (let column = 0; column < width * scale; column++, i += 4) {
        assert.deepEqual([...whole.slice(i, i + 4)], [column, row, 1, 255]); // halves are rounded up
      }
    }
    const [x] = planAxis(width, width, 0);
    const [y] = planAxis(height, height, 0);
    const ones = new Float32Array(width * height * scale * scale * 3).fill(1);
    storeAlpha(ones, image, { x, y, left: 0, top: 0, width: width * scale }, scale, whole);
    for (let row = 0; row < height; row++) {
      for (let column = 0; column < width; column++) {
        const high = Math.round(alphaRange(image, column, row)[1] * 255);
        assert.equal(whole[(row * scale * width * scale + column * scale) * 4 + 3], high);
      }
    }
  }
});

test('a grey image stays grey: the luma of what the network made of it', () => {
  const out = new Uint8ClampedArray(8);
  const one = { start: 0, size: 1, from: 0, to: 1 };
  storeGrey([1, 0, 0, 0, 1, 0], { x: { ...one, size: 2, to: 2 }, y: one, left: 0, top: 0, width: 2 }, 1, out);
  assert.deepEqual([...out], [76, 76, 76, 255, 150, 150, 150, 255]);
});
