/** PNG files, read back with zlib and the PNG specification's own formulas. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import zlib from 'node:zlib';
import { readProfile } from '../../web_demo/images/icc.js';
import { PngEncoder } from '../../web_demo/images/png.js';

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

/** Pixels of an 8-bit file of the Paeth filter alone: section 9.4 of the specification. */
function decode(file) {
  const parts = chunks(file);
  const header = parts[0][1];
  const [width, height, channels] = [header.readUInt32BE(0), header.readUInt32BE(4), { 2: 3, 6: 4 }[header[9]]];
  const stored = zlib.inflateSync(Buffer.concat(parts.filter(([type]) => type === 'IDAT').map(([, data]) => data)));
  const stride = width * channels;
  assert.equal(stored.length, height * (stride + 1));
  const pixels = new Uint8Array(height * stride);
  for (let y = 0; y < height; y++) {
    assert.equal(stored[y * (stride + 1)], 4);
    for (let x = 0; x < stride; x++) {
      const at = y * stride + x;
      const a = x < channels ? 0 : pixels[at - channels];
      const b = y ? pixels[at - stride] : 0;
      const c = x < channels || !y ? 0 : pixels[at - stride - channels];
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
