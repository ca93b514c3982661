/** Which files are images, and what is said of the others. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { latin1 } from '../../web_demo/images/containers.js';
import { headOf, refusalOf } from '../../web_demo/images/kinds.js';
import { isModel, sortFiles, typed } from '../../web_demo/ui/chosen.js';
import { filesIn } from '../../web_demo/ui/drop.js';

const file = (name, type = '') => /** @type {File} */ ({ name, type });

test('images are told by type or ending, others are named or counted', () => {
  const images = [file('a', 'image/png'), file('b.HEIC'), file('c.jfif'), file('d.svg'), file('e.dng'), file('f.mpo')];
  assert.deepEqual(sortFiles(images), { images, problem: '' });
  const texts = ['1.txt', '2.txt', '3.txt', '4.txt'].map((name) => file(name));
  assert.deepEqual(sortFiles([images[0], texts[0]]).images, [images[0]]);
  assert.equal(
    sortFiles([images[0], texts[0], texts[1]]).problem,
    'Left out, because they are no images: 1.txt, 2.txt.',
  );
  assert.equal(sortFiles([images[0], ...texts]).problem, 'Left out, because they are no images: 4 files.');
  assert.equal(sortFiles(texts).problem, '4 files are no images; choose PNG, JPEG, WebP, AVIF, BMP or GIF.');
  assert.equal(sortFiles([]).problem, 'There is no image in it.');
});

test('files of a model are those of one alone', () => {
  assert.equal(isModel([file('model.json'), file('group1-shard1of1.bin')]), true);
  assert.equal(isModel([file('x4.safetensors')]), true);
  assert.equal(isModel([file('x4.pth'), file('a.png', 'image/png')]), false);
  assert.equal(isModel([]), false);
});

test('what browsers do not decode is called what it is', () => {
  const kinds = {
    '\0\0\0\x18ftypheic': /^a HEIC photograph, which this browser does not read/,
    '<?xml version="1.0"?>\n<!-- by hand -->\n<svg xmlns=""': /^a drawing \(SVG\)/,
    'II*\0': /^a TIFF image/,
    'MM\0*': /^a TIFF image/,
    '\0\0\0\x0cJXL \r\n\x87\n': /^a JPEG XL image/,
    '8BPS': /^a Photoshop file/,
    '<!DOCTYPE html>': /^a web page; download the image itself/,
    '%PDF-1.7': /^a PDF document/,
    '\0\0\0\x18ftypmp42': /^a video; extract a frame/,
  };
  for (const [head, refusal] of Object.entries(kinds)) assert.match(refusalOf(head, 'a.jpg') ?? '', refusal);
  assert.match(refusalOf('II*\0', 'IMG_1.DNG') ?? '', /^a camera’s raw file/);
  for (const head of ['\x89PNG\r\n\x1a\n', '\xff\xd8\xff', 'RIFF....WEBP', 'hello']) {
    assert.equal(refusalOf(head, 'a'), undefined);
  }
});

/** As browsers give a folder: some entries at a time, none at the end. */
function folder(name, ...entries) {
  const batches = [entries.slice(0, 2), entries.slice(2), []].filter((batch, i) => batch.length || i === 2);
  return { name, isFile: false, createReader: () => ({ readEntries: (resolve) => resolve(batches.shift()) }) };
}
const entry = (name) => ({ name, isFile: true, file: (resolve) => resolve(file(name)) });

test('a folder gives all that can be read in it and in its folders, in order, but nothing hidden', async () => {
  const unread = [];
  const closed = { name: 'own', createReader: () => ({ readEntries: (_, reject) => reject(new Error('denied')) }) };
  const gone = { name: 'gone.png', isFile: true, file: (_, reject) => reject(new Error('not found')) };
  const inner = folder('b', entry('10.png'), closed, entry('9.png'), entry('.DS_Store'));
  const hidden = folder('.git', entry('x.png'));
  const found = await filesIn(folder('all', entry('c.png'), inner, gone, entry('a.txt'), hidden), unread);
  assert.deepEqual(
    found.map(({ name }) => name),
    ['a.txt', '9.png', '10.png', 'c.png'],
  );
  assert.deepEqual(unread, ['own', 'gone.png']);
});

test('what files are that have no type, their first bytes tell', async () => {
  const starts = {
    IMG_1: ['\xff\xd8\xff\xe0', 'image/jpeg'],
    'photo.jpg_large': ['\x89PNG\r\n\x1a\n', 'image/png'],
    still: ['GIF89a', 'image/gif'],
    web: ['RIFF\x24\0\0\0WEBPVP8 ', 'image/webp'],
    paint: ['BM\x36\0\0\0\0\0\0\0', 'image/bmp'],
    shot: ['\0\0\0\x18ftypheic', 'image/heic'],
    burst: ['\0\0\0\x18ftyphevc', 'image/heic'],
    layers: ['\0\0\0\x18ftypheim', 'image/heic'],
    sequence: ['\0\0\0\x18ftypmsf1', 'image/heic'],
    scan: ['II*\0\x08\0\0\0', 'image/tiff'],
    'camera.cr2': ['II*\0\x10\0\0\0CR\x02\0', 'image/x-dcraw'],
    Makefile: ['BMake it', ''],
    manual: ['%PDF-1.7', ''],
    clip: ['\0\0\0\x18ftypmp42', ''],
    'a.bin': ['\xff\xd8\xff', ''],
  };
  const files = Object.entries(starts).map(([name, [start]]) => new File([latin1(start)], name));
  const types = (await typed(files)).map(({ name, type }) => [name, type]);
  assert.deepEqual(
    types,
    Object.entries(starts).map(([name, [, type]]) => [name, type]),
  );
});

test('an image that browsers do not decode is refused as what it is, also without an ending', async () => {
  for (const [start, refusal] of [
    ['\0\0\0\x18ftyphevc', /^a HEIC photograph/],
    ['\0\0\0\x18ftypmsf1', /^a HEIC photograph/],
    ['MM\0*', /^a TIFF image/],
  ]) {
    const files = await typed([new File([latin1(String(start))], 'IMG_1')]);
    assert.equal(sortFiles(files).problem, ''); // it is read, and that fails
    assert.match(refusalOf(await headOf(files[0]), 'IMG_1') ?? '', /** @type {RegExp} */ (refusal));
  }
});
