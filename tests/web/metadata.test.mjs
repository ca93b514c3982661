/** Metadata in files: what is read, kept and written. The whole against Pillow: tests/browser/test_page_metadata.py. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { join, jpegSegments, latin1, pngChunks, webpChunks } from '../../web_demo/images/containers.js';
import { descriptive, parseExif, resized, resolutionOf, writeExif } from '../../web_demo/metadata/exif.js';
import { readMetadata } from '../../web_demo/metadata/metadata.js';
import { unseen } from '../../web_demo/metadata/unseen.js';
import { intoJpeg, intoWebp } from '../../web_demo/metadata/write.js';
import { scaledXmp } from '../../web_demo/metadata/xmp.js';

/** A directory entry of one value within it. */
const entry = (tag, type, ...value) => ({ tag, type, count: 1, value: Uint8Array.from(value) });
const MAKE = { tag: 271, type: 2, count: 6, value: latin1('Nikon\0') };
const EXIF = {
  little: false,
  image: [MAKE, entry(274, 3, 0, 6), entry(256, 4, 0, 0, 0, 20)],
  exif: [entry(40962, 4, 0, 0, 0, 20), { tag: 37500, type: 7, count: 5, value: latin1('notes') }],
  gps: [entry(1, 2, 78)],
};

test('EXIF comes back as it was written, in either byte order', () => {
  for (const little of [false, true]) {
    const sorted = (entries) => [...entries].sort((a, b) => a.tag - b.tag);
    const found = parseExif(writeExif({ ...EXIF, little }));
    assert.deepEqual(found, { little, image: sorted(EXIF.image), exif: sorted(EXIF.exif), gps: EXIF.gps });
  }
});

test('what describes the photograph stays, what describes the file goes', () => {
  const kept = descriptive(EXIF);
  assert.deepEqual([kept.image, kept.exif, kept.gps], [[MAKE], [EXIF.exif[0]], EXIF.gps]);
  assert.equal(descriptive({ little: true, image: [entry(274, 3, 6, 0)], exif: [], gps: [] }), undefined);
  const larger = resized(kept, 300, 200).exif.map(({ tag, value }) => [tag, [...value]]);
  assert.deepEqual(larger, [
    [40962, [0, 0, 1, 44]],
    [40963, [0, 0, 0, 200]],
  ]);
  assert.equal(resized({ ...kept, exif: [] }, 300, 200).exif.length, 0); // none is invented
});

test('a resolution needs a unit of length', () => {
  const ratio = (tag) => ({ tag, type: 5, count: 1, value: Uint8Array.of(0, 0, 1, 44, 0, 0, 0, 1) });
  const of = (...image) => resolutionOf({ little: false, image, exif: [], gps: [] });
  assert.deepEqual(of(ratio(282), ratio(283)), [300, 300]);
  assert.deepEqual(of(ratio(282), ratio(283), entry(296, 3, 0, 3)), [762, 762]);
  assert.equal(of(ratio(282), ratio(283), entry(296, 3, 0, 1)), undefined);
  assert.equal(of(ratio(282)), undefined);
});

const packet = (attributes, elements = '') =>
  `<?xpacket begin="\ufeff"?><x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">` +
  `<rdf:Description rdf:about='' xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:tiff="http://ns.adobe.com/tiff/1.0/"
   xmlns:exif="http://ns.adobe.com/exif/1.0/" xmlns:GCamera="http://ns.google.com/photos/1.0/camera/"
   xmlns:C="http://ns.google.com/photos/1.0/container/" xmlns:Item="http://ns.google.com/photos/1.0/container/item/"
   xmlns:hdrgm="http://ns.adobe.com/hdr-gain-map/1.0/" xmlns:GPano="http://ns.google.com/photos/1.0/panorama/"` +
  `${attributes}>${elements}</rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end="w"?>`;

for (const [title, given, expected] of [
  [
    'parts behind the picture are forgotten',
    packet(' GCamera:MotionPhoto="1" hdrgm:Version="1.0" dc:title="t > u" GCamera:HdrPlusMakernote="x"'),
    packet(' dc:title="t > u" GCamera:HdrPlusMakernote="x"'),
  ],
  [
    'with all that is in them',
    packet('', "<C:Directory><rdf:Seq><rdf:li Item:Mime='video/mp4'/></rdf:Seq></C:Directory><dc:title>t</dc:title>"),
    packet('', '<dc:title>t</dc:title>'),
  ],
  [
    'sizes follow',
    packet(' tiff:ImageWidth="14" tiff:ImageLength=\'9\'', '<exif:PixelXDimension>14</exif:PixelXDimension>'),
    packet(' tiff:ImageWidth="56" tiff:ImageLength=\'36\'', '<exif:PixelXDimension>56</exif:PixelXDimension>'),
  ],
  ['an empty size stays empty', packet('', '<tiff:ImageWidth/>'), packet('', '<tiff:ImageWidth/>')],
  [
    'those of a panorama go by its cropped area',
    packet(' GPano:CroppedAreaImageWidthPixels="14" GPano:FullPanoWidthPixels="28" GPano:CroppedAreaLeftPixels="3"'),
    packet(' GPano:CroppedAreaImageWidthPixels="56" GPano:FullPanoWidthPixels="112" GPano:CroppedAreaLeftPixels="12"'),
  ],
  ['or go, where nobody knows of which size they are', packet(' GPano:FullPanoWidthPixels="28"'), packet('')],
  ['zeros at its ends are no part of it', `${packet('')}\0\0`, packet('')],
  ['broken XML stays', '<x:broken', '<x:broken'],
  ['unless it names such parts', "<x GCamera:MotionPhoto='1'", undefined],
  [
    'entities are not looked into',
    "<!DOCTYPE x [<!ENTITY a 'b'>]><x xmlns:h='http://ns.adobe.com/hdr-gain-map/1.0/' h:Version='&a;'/>",
    undefined,
  ],
]) {
  test(`XMP: ${title}`, () => assert.equal(scaledXmp(given, 56, 36), expected));
}

const SCAN = [0xff, 0xda, 0, 2, 1, 2, 0xff, 0, 0xff, 0xd0, 3];
const JPEG = Uint8Array.from([0xff, 0xd8, 0xff, 0xe0, 0, 4, 7, 7, 0xff, 0xdb, 0, 3, 9, ...SCAN, 0xff, 0xd9]);

test('a JPEG keeps its tables and pixels, and metadata come back', async () => {
  const metadata = {
    exif: descriptive(EXIF),
    xmp: '<é/>',
    iptc: latin1('\x1c\x02x'),
    dpi: [300, 299.6],
    texts: { Comment: 'Grüße' },
  };
  const icc = new Uint8Array(70000).map((_, i) => i);
  const { file, lost } = intoJpeg(JPEG, { ...metadata, icc });
  assert.deepEqual(lost, []);
  const found = await readMetadata(file);
  assert.deepEqual(found.metadata, { ...metadata, dpi: [300, 300] });
  const parts = [...jpegSegments(file)];
  assert.deepEqual(
    parts.map(({ name }) => name),
    ['e0', 'e1', 'e1', 'e2', 'e2', 'ed', 'fe', 'db', 'da', 'd9'],
  );
  const profile = join(parts.filter(({ name }) => name === 'e2').map(({ data }) => data.subarray(14)));
  assert.deepEqual(profile, icc);
  assert.deepEqual([...file.subarray(-13)], [...SCAN, 0xff, 0xd9]);
});

test('a JPEG tells no resolution that nobody knows', () => {
  const [jfif] = jpegSegments(intoJpeg(JPEG, {}).file);
  assert.deepEqual([...jfif.data], [...latin1('JFIF\0'), 1, 1, 0, 0, 1, 0, 1, 0, 0]);
});

test('what a format cannot hold is named', () => {
  const iptc = new Uint8Array(70000);
  assert.deepEqual(intoJpeg(JPEG, { iptc, texts: { Title: 't' } }).lost, ['text “Title”', 'IPTC']);
  const webp = join([latin1('RIFF\x0c\0\0\0WEBPVP8L\0\0\0\0')]);
  const { lost } = intoWebp(webp, { iptc, dpi: [72, 72], texts: { Comment: 'c' }, width: 1, height: 1 });
  assert.deepEqual(lost, ['IPTC', 'resolution', 'text “Comment”']);
});

test('a WebP says in its first chunk what it holds', async () => {
  const pixels = Uint8Array.of(0x2f, 0, 0, 0, 0x10); // lossless, with alpha
  const simple = join([latin1('RIFF\x12\0\0\0WEBPVP8L\x05\0\0\0'), pixels, [0]]);
  const metadata = { exif: descriptive(EXIF), xmp: '<é/>' };
  const { file } = intoWebp(simple, { ...metadata, icc: latin1('profile'), width: 300, height: 2 });
  assert.deepEqual((await readMetadata(file)).metadata, metadata);
  const [first, ...others] = webpChunks(file);
  assert.deepEqual([...first.data], [0x20 | 0x10 | 0x08 | 0x04, 0, 0, 0, 43, 1, 0, 1, 0, 0]);
  assert.deepEqual(
    others.map(({ name }) => name),
    ['ICCP', 'VP8L', 'EXIF', 'XMP '],
  );
  assert.equal(new DataView(file.buffer).getUint32(4, true), file.length - 8);
});

/** A PNG chunk whose checksum is right or not. */
async function chunk(name, data, isRight = true) {
  const { crc32 } = await import('../../web_demo/images/containers.js');
  const body = join([latin1(name), data]);
  const bytes = new Uint8Array(8 + body.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, data.length);
  bytes.set(body, 4);
  view.setUint32(4 + body.length, crc32(body) ^ Number(!isRight));
  return bytes;
}

test('damaged metadata are left out and told', async () => {
  const png = join([
    latin1('\x89PNG\r\n\x1a\n'),
    await chunk('tEXt', latin1('Title\0good')),
    await chunk('tEXt', latin1('Author\0bad'), false),
    await chunk('eXIf', latin1('MM\0*\xff\xff\xff\xff')),
    await chunk('IEND', []),
  ]);
  const { metadata, notes } = await readMetadata(png);
  assert.deepEqual(metadata, { texts: { Title: 'good' } });
  assert.deepEqual(notes, ['A damaged tEXt chunk is left out.', 'Its EXIF data are damaged and left out.']);
  assert.equal([...pngChunks(png.subarray(0, -1))].length, 3); // a chunk that is cut off is none
});

const gifFrame = [0x2c, 0, 0, 0, 0, 1, 0, 1, 0, 0, 2, 2, 0x2c, 0x3b, 0];
const GIF = (frames) =>
  join([
    latin1('GIF89a'),
    [1, 0, 1, 0, 0x80, 0, 0, 1, 2, 3, 4, 5, 6], // two colours
    [0x21, 0xf9, 4, 0, 0, 0, 0, 0],
    ...Array.from({ length: frames }, () => gifFrame),
    [0x3b],
  ]);

test('frames, HDR and what lies behind the picture are told', async () => {
  assert.deepEqual(unseen(GIF(1)), []);
  assert.deepEqual(unseen(GIF(3)), ['It holds 3 frames; only the first is used.']);
  const png = async (...parts) => join([latin1('\x89PNG\r\n\x1a\n'), ...(await Promise.all(parts))]);
  assert.deepEqual(unseen(await png(chunk('acTL', [0, 0, 0, 5, 0, 0, 0, 0]))), [
    'It holds 5 frames; only the first is used.',
  ]);
  const hdr = unseen(await png(chunk('cICP', [9, 16, 0, 1])));
  assert.deepEqual(hdr, ['It is an HDR image (PQ); its result has the colours of usual screens.']);
  assert.deepEqual(unseen(join([JPEG, [0, 0, 0]])), []);
  assert.deepEqual(unseen(join([JPEG, latin1('\0\0\0\x18ftypmp42')])), [
    'It holds a video of 12 bytes behind the picture, left out.',
  ]);
  const xmp = latin1('http://ns.adobe.com/xap/1.0/\0<x hdrgm:Version="1.0"/>');
  const gainMap = join([[0xff, 0xd8, 0xff, 0xe1, 0, xmp.length + 2], xmp, JPEG.subarray(2)]);
  assert.deepEqual(unseen(gainMap), ['It is an HDR photograph; its gain map for bright screens is left out.']);
  const avif = (...parts) => join([latin1('\0\0\0\x14ftypavif'), ...parts]);
  assert.deepEqual(unseen(avif(latin1('colrnclx'), [0, 9, 0, 18, 0, 9], latin1('av1C'), [0x81, 0, 0x40])), [
    'It is an HDR image (HLG); its result has the colours of usual screens.',
    'Its 10 bits per sample became 8.',
  ]);
  assert.deepEqual(unseen(avif(latin1('av1C'), [0x81, 0, 0])), []);
});
