/** Files made alike for all browsers. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { completed, withoutExif } from '../../web_demo/images/alike.js';
import { crc32, deflate, join, latin1, pngChunks, viewOf, webpChunks } from '../../web_demo/images/containers.js';

const number = (value, little = false) => {
  const bytes = new Uint8Array(4);
  viewOf(bytes).setUint32(0, value, little);
  return bytes;
};
const pngChunk = (name, data) => {
  const body = join([latin1(name), data]);
  return join([number(data.length), body, number(crc32(body))]);
};
const webpChunk = (name, data) => join([latin1(name), number(data.length, true), data, data.length % 2 ? [0] : []]);
const webp = (...chunks) => join([latin1('RIFF'), number(4 + join(chunks).length, true), latin1('WEBP'), ...chunks]);

/** 2 × 2 grey pixels, in two chunks. */
const CODED = await deflate(Uint8Array.of(0, 9, 8, 0, 7, 6));
const HEADER = pngChunk('IHDR', join([number(2), number(2), [8, 0, 0, 0, 0]]));
const PIXELS = [CODED.subarray(0, 5), CODED.subarray(5)].map((part) => pngChunk('IDAT', part));
const EXIF = pngChunk('eXIf', latin1('MM\0*'));
const END = pngChunk('IEND', new Uint8Array());
const PNG = join([latin1('\x89PNG\r\n\x1a\n'), HEADER, EXIF, ...PIXELS, END]);
const WEBP = webp(webpChunk('VP8L', [1, 2, 3]), webpChunk('EXIF', [4]), webpChunk('XMP ', [5, 6]));
/** A frame of one pixel with a table of two colours, and a comment. */
const FRAME = [0x2c, 0, 0, 0, 0, 1, 0, 1, 0, 0, 2, 2, 0x44, 1, 0];
const GIF = join([
  latin1('GIF89a'),
  [1, 0, 1, 0, 0x80, 0, 0, 0, 0, 0, 255, 255, 255],
  FRAME,
  [0x21, 0xfe, 1, 65, 0, 0x3b],
]);

function bmp(height, rows) {
  const bytes = new Uint8Array(54 + 8 * rows);
  bytes.set(latin1('BM'));
  for (const [at, value] of [
    [10, 54],
    [14, 40],
    [18, 2],
    [22, height],
    [28, 24],
  ]) {
    viewOf(bytes).setInt32(at, value, true);
  }
  return bytes;
}

const names = (chunks) => [...chunks].map(({ name }) => name);

test('whole files and those of other kinds stay as they are', async () => {
  const unpadded = webp(webpChunk('VP8L', [1, 2, 3])).subarray(0, -1);
  const strange = join([GIF.subarray(0, 19), [0], GIF.subarray(19)]);
  const images = [PNG, join([PNG, [1, 2]]), WEBP, unpadded, GIF, strange, bmp(3, 3), bmp(-3, 3)];
  for (const bytes of [...images, latin1('\xff\xd8\xff'), latin1('no')]) assert.equal(await completed(bytes), bytes);
});

test('a PNG with all of its pixels gets the end that it lacks', async () => {
  const plain = join([latin1('\x89PNG\r\n\x1a\n'), HEADER, EXIF, pngChunk('IDAT', CODED), END]);
  // Without its last chunk, in the middle of that, and without the checksum of the pixels' chunk.
  for (const lost of [12, 5, 14]) assert.deepEqual(await completed(PNG.subarray(0, -lost)), plain);
});

test('the pixels of an interlaced PNG are counted pass by pass', async () => {
  const header = pngChunk('IHDR', join([number(3), number(3), [4, 0, 0, 0, 1]]));
  const ofPixels = async (bytes) => pngChunk('IDAT', await deflate(new Uint8Array(bytes)));
  const ended = async (bytes) => completed(join([PNG.subarray(0, 8), header, await ofPixels(bytes)]));
  const bytes = 2 + 2 + 2 + 2 * 2 + 3; // of passes 1, 4, 5, 6 and 7; the others have no pixel
  assert.equal(await ended(bytes - 1), null);
  assert.notEqual(await ended(bytes), null);
});

test('a PNG whose few bytes become many is not taken', async () => {
  const bomb = pngChunk('IDAT', await deflate(new Uint8Array(5e6)));
  assert.equal(await completed(join([PNG.subarray(0, 8), HEADER, bomb])), null);
  const large = pngChunk('IHDR', join([number(0xffffffff), number(0xffffffff), [16, 6, 0, 0, 0]]));
  assert.equal(await completed(join([PNG.subarray(0, 8), large, bomb])), null);
});

test('a GIF with its first frame gets the end that it lacks', async () => {
  assert.deepEqual(await completed(GIF.subarray(0, -3)), join([GIF.subarray(0, -6), [0x3b]]));
});

test('files without some of their pixels are told', async () => {
  const cut = [PNG.subarray(0, -18), PNG.subarray(0, PNG.length - END.length - PIXELS[1].length), PNG.subarray(0, 40)];
  const others = [WEBP.subarray(0, -12), GIF.subarray(0, 26), bmp(3, 2), bmp(-3, 2)];
  for (const bytes of [...cut, ...others]) assert.equal(await completed(bytes), null);
});

test('EXIF can be taken out', () => {
  assert.deepEqual(names(pngChunks(withoutExif(PNG))), ['IHDR', 'IDAT', 'IDAT', 'IEND']);
  const plain = withoutExif(WEBP);
  assert.deepEqual(names(webpChunks(plain)), ['VP8L', 'XMP ']);
  assert.equal(viewOf(plain).getUint32(4, true), plain.length - 8);
});
