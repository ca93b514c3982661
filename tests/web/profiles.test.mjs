/** Colour profiles in image files, and the colour space that a profile's description names. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import zlib from 'node:zlib';
import { colorSpaceOf } from '../../web_demo/images/color-space.js';
import { readProfile } from '../../web_demo/images/icc.js';

const ascii = (text) => Buffer.from(text, 'latin1');
const u16 = (value) => Buffer.from([value >> 8, value & 255]);
const u32 = (value) => Buffer.from([value >>> 24, (value >> 16) & 255, (value >> 8) & 255, value & 255]);
const little = (value) => u32(value).reverse();

/** A profile of one tag, its description: ASCII as in version 2, or UTF-16 as in version 4. */
function profile(name, { unicode = false, space = 'RGB ' } = {}) {
  const utf16 = Buffer.from(name, 'utf16le').swap16();
  const description = unicode
    ? Buffer.concat([ascii('mluc'), u32(0), u32(1), u32(12), ascii('enUS'), u32(utf16.length), u32(28), utf16])
    : Buffer.concat([ascii('desc'), u32(0), u32(name.length + 1), ascii(`${name}\0`), Buffer.alloc(20)]);
  const header = Buffer.alloc(128);
  header.set(ascii(space), 16);
  return Buffer.concat([header, u32(1), ascii('desc'), u32(144), u32(description.length), description]);
}

function pngOf(icc, { method = 'iCCP', before = [] } = {}) {
  const chunk = (type, data) => Buffer.concat([u32(data.length), ascii(type), data, u32(0)]);
  const compressed = Buffer.concat([ascii('some name\0\0'), zlib.deflateSync(icc)]);
  return Buffer.concat([
    Buffer.from([137, 80, 78, 71, 13, 10, 26, 10]),
    chunk('IHDR', Buffer.alloc(13)),
    ...before.map((type) => chunk(type, Buffer.alloc(5))),
    chunk(method, compressed),
    chunk('IDAT', Buffer.alloc(2)),
  ]);
}

/** A JPEG file that spreads a profile over several segments, in any order. */
function jpegOf(icc, order = [1, 2, 3]) {
  const size = Math.ceil(icc.length / order.length);
  const segment = (number) => {
    const part = icc.subarray((number - 1) * size, number * size);
    const body = Buffer.concat([ascii('ICC_PROFILE\0'), Buffer.from([number, order.length]), part]);
    return Buffer.concat([Buffer.from([0xff, 0xe2]), u16(body.length + 2), body]);
  };
  const exif = Buffer.concat([Buffer.from([0xff, 0xe1]), u16(8), ascii('Exif\0\0')]);
  return Buffer.concat([Buffer.from([0xff, 0xd8]), exif, ...order.map(segment), Buffer.from([0xff, 0xda, 0, 2])]);
}

function webpOf(icc) {
  const chunk = (type, data) => Buffer.concat([ascii(type), little(data.length), data, Buffer.alloc(data.length % 2)]);
  const body = Buffer.concat([ascii('WEBP'), chunk('VP8X', Buffer.alloc(9)), chunk('ICCP', icc)]);
  return Buffer.concat([ascii('RIFF'), little(body.length), body]);
}

function avifOf(icc) {
  const box = (type, data) => Buffer.concat([u32(data.length + 8), ascii(type), data]);
  return Buffer.concat([
    box('ftyp', ascii('avif')),
    box('colr', Buffer.concat([ascii('prof'), icc])),
    Buffer.alloc(40),
  ]);
}

const P3 = profile('Display P3', { unicode: true });
const found = async (file) => {
  const bytes = await readProfile(new Blob([file]));
  return bytes && Buffer.from(bytes);
};

test('a profile is found in every kind of file', async () => {
  assert.deepEqual(await found(pngOf(P3)), P3);
  assert.deepEqual(await found(pngOf(P3, { before: ['gAMA', 'sBIT'] })), P3);
  assert.deepEqual(await found(jpegOf(P3)), P3);
  assert.deepEqual(await found(jpegOf(P3, [3, 1, 2])), P3);
  assert.deepEqual(await found(webpOf(P3)), P3);
  assert.deepEqual(await found(avifOf(P3)), P3);
});

test('there is none where there is none', async () => {
  const cut = pngOf(P3);
  for (const file of [
    ascii(''),
    ascii('RIFF'),
    ascii('GIF89a, and what follows is no profile'),
    pngOf(P3, { before: ['IDAT'] }), // a profile comes before the pixels
    pngOf(P3, { method: 'tEXt' }),
    cut.subarray(0, cut.length - 100), // deflate breaks off
    webpOf(Buffer.alloc(0)),
    jpegOf(profile('US Web Coated (SWOP) v2', { space: 'CMYK' })), // the browser has made RGB of it
  ]) {
    assert.equal(await found(file), undefined);
  }
});

test('a profile that inflates without end is left alone', async () => {
  const long = (length) => Buffer.concat([P3, Buffer.alloc(length - P3.length)]);
  assert.equal((await found(pngOf(long(3_000_000)))).length, 3_000_000);
  assert.equal(await found(pngOf(long(5_000_000))), undefined);
});

test('a description names the colour space', () => {
  for (const unicode of [false, true]) {
    const spaceOf = (name) => colorSpaceOf(profile(name, { unicode }));
    for (const name of ['Display P3', 'Display P3 Gamut with sRGB Transfer']) assert.equal(spaceOf(name), 'display-p3');
    for (const name of ['sRGB IEC61966-2.1', 'sRGB', 'sRGB built-in', 'GIMP built-in sRGB']) {
      assert.equal(spaceOf(name), 'srgb', name);
    }
    for (const name of ['Adobe RGB (1998)', 'Linear sRGB', 'sRGB linear', '']) assert.equal(spaceOf(name), null, name);
  }
});

test('a damaged profile names nothing', () => {
  assert.equal(colorSpaceOf(P3.subarray(0, 150)), null);
  const astray = Buffer.from(P3);
  astray.writeUInt32BE(0xfffffff0, 136); // the tag lies beyond the end
  assert.equal(colorSpaceOf(astray), null);
  const many = Buffer.from(P3);
  many.writeUInt32BE(0xffffffff, 128); // more tags than there are bytes
  assert.equal(colorSpaceOf(many), 'display-p3');
});
