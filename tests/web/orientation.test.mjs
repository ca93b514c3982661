/** The eight orientations of an image. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FROM_EXIF, INVERSE, turned } from '../../web_demo/images/orientation.js';

/** Three by two pixels of one channel, with an F's asymmetry. */
const IMAGE = { data: Float32Array.of(1, 2, 3, 4, 5, 6), width: 3, height: 2 };

test('each orientation of EXIF is made upright', () => {
  // EXIF 2.32, 4.6.4: where row 0 and column 0 of the stored image are to be seen.
  const upright = {
    ...{ 1: [1, 2, 3, 4, 5, 6], 2: [3, 2, 1, 6, 5, 4], 3: [6, 5, 4, 3, 2, 1], 4: [4, 5, 6, 1, 2, 3] },
    ...{ 5: [1, 4, 2, 5, 3, 6], 6: [4, 1, 5, 2, 6, 3], 7: [6, 3, 5, 2, 4, 1], 8: [3, 6, 2, 5, 1, 4] },
  };
  for (const [orientation, data] of Object.entries(upright)) {
    const [width, height] = Number(orientation) < 5 ? [3, 2] : [2, 3];
    const found = turned(IMAGE, FROM_EXIF[Number(orientation)], 1);
    assert.deepEqual(found, { data: Float32Array.from(data), width, height }, orientation);
  }
});

test('each orientation is undone by its inverse', () => {
  for (let number = 0; number < 8; number++) {
    const rgba = { data: Uint8ClampedArray.from({ length: 24 }, (_, i) => i), width: 3, height: 2 };
    assert.deepEqual(turned(turned(rgba, number), INVERSE[number]), rgba);
  }
});
