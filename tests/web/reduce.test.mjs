/** Reduction of images that come in bands: the same whatever the bands, and the twin of whole factors. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { downscale, dropAlpha } from '../../web_demo/images/bicubic.js';
import { Reducer } from '../../web_demo/images/reduce.js';

const FROM = { width: 44, height: 36 };
const IMAGE = Uint8ClampedArray.from({ length: FROM.width * FROM.height * 4 }, (_, i) => (i * 7919) % 256);

function reduce(width, rows) {
  const reducer = new Reducer(FROM, width);
  const step = rows * FROM.width * 4;
  const parts = [];
  for (let at = 0; at < IMAGE.length; at += step) parts.push(...reducer.push(IMAGE.subarray(at, at + step)));
  assert.equal(parts.length, reducer.width * reducer.height * 4);
  return parts;
}

test('the result does not depend on the bands', () => {
  for (const width of [1, 17, 31, 43]) {
    const whole = reduce(width, FROM.height);
    for (const rows of [1, 5]) assert.deepEqual(reduce(width, rows), whole);
  }
});

test('sides keep their proportion', () => {
  assert.equal(new Reducer(FROM, 22).height, 18);
  assert.equal(new Reducer(FROM, 21).height, 17);
});

test('a whole factor gives what its twin gives, which rounds once more', () => {
  const reduced = dropAlpha(reduce(22, 9));
  const { data } = downscale({ ...FROM, data: dropAlpha(IMAGE) }, 2);
  assert.ok(reduced.every((value, i) => Math.abs(value - data[i]) <= 1));
});

test('16 bits are kept, and end at white and black', () => {
  const deep = Uint16Array.from(IMAGE, (level, i) => (i % 4 === 3 ? 65535 : level < 128 ? 0 : 65535));
  const reduced = new Reducer(FROM, 22).push(deep);
  const bytes = new Reducer(FROM, 22).push(Uint8ClampedArray.from(deep, (level) => level / 257));
  assert.ok(reduced instanceof Uint16Array);
  assert.ok(reduced.every((level, i) => Math.abs(level / 257 - bytes[i]) <= 0.51)); // both round
});
