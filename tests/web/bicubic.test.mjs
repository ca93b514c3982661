/** Bicubic resizing against what is known of Keys' kernel; Python's bytes are compared with these in the browser tests. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { downscale, dropAlpha, toUint8, upscale } from '../../web_demo/images/bicubic.js';

/** An image of (height, width) whose three channels are `value(y, x)`. */
function image(height, width, value) {
  const data = new Uint8ClampedArray(height * width * 3);
  for (let y = 0, to = 0; y < height; y++) {
    for (let x = 0; x < width; x++, to += 3) data.fill(value(y, x), to, to + 3);
  }
  return { height, width, data };
}

const row = ({ width, data }, y) => Array.from({ length: width }, (_, x) => data[(y * width + x) * 3]);

test('a grey image stays grey at every size and factor', () => {
  for (let side = 1; side < 24; side++) {
    for (const scale of [1, 2, 3, 4, 7]) {
      for (const resize of [downscale, upscale]) {
        const { height, width, data } = resize(
          image(side, 25 - side, () => 77),
          scale,
        );
        const expected = (length) => (resize === upscale ? length * scale : Math.ceil(length / scale));
        assert.deepEqual([height, width], [expected(side), expected(25 - side)]);
        assert.ok(data.every((level) => level === 77));
      }
    }
  }
});

test('enlarging a point by 2 shows the kernel at its quarter points', () => {
  const { width, height, data } = upscale(
    image(9, 9, (y, x) => (x === 4 ? 128 : 0)),
    2,
  );
  const large = row({ width, data }, height / 2);
  // 128 times Keys' kernel (a = -0.5) at distances of 1/4 and 3/4; what is negative is clipped.
  assert.deepEqual(large.slice(4, 14), [0, 0, 0, 29, 111, 111, 29, 0, 0, 0]);
});

test('reducing by 2 weighs eight neighbours with the widened kernel', () => {
  const found = row(
    downscale(
      image(16, 16, (y, x) => (x === 8 ? 255 : 0)),
      2,
    ),
    4,
  );
  // 255 times the kernel at 1/4 and 3/4 of a pixel of the result, halved; then at 5/4, which is negative.
  assert.deepEqual(found, [0, 0, 0, 29, 111, 0, 0, 0]);
});

test('a reduced ramp is a ramp inside, and is mirrored at its ends', () => {
  const found = row(
    downscale(
      image(6, 60, (y, x) => 4 * x),
      3,
    ),
    0,
  );
  const middle = found.slice(2, -2);
  assert.deepEqual(
    middle,
    middle.map((_, i) => 4 * (3 * (i + 2) + 1)),
  );
  assert.deepEqual(
    found.map((level, i) => level + found[found.length - 1 - i]),
    found.map(() => 4 * 59),
  );
});

test('only whole factors are taken', () => {
  for (const scale of [0, 1.5, -2, NaN, undefined]) {
    const message = new RegExp(`^(downscale|upscale) expects a whole factor of 1 or more, found ${scale}\\.$`);
    for (const resize of [downscale, upscale]) {
      assert.throws(
        () =>
          resize(
            image(4, 4, () => 0),
            scale,
          ),
        { name: 'RangeError', message },
      );
    }
  }
});

test('values become levels: clipped, halves up', () => {
  assert.deepEqual([...toUint8([-1, 0, 0.5 / 255, 1.49 / 255, 1.5 / 255, 0.5, 1, 2])], [0, 0, 1, 1, 2, 128, 255, 255]);
});

test('transparency is dropped', () => {
  assert.deepEqual([...dropAlpha([1, 2, 3, 0, 4, 5, 6, 255])], [1, 2, 3, 4, 5, 6]);
});
