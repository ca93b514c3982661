/** Handing files to the user. */
import { loadZip } from '../engine/tf.js';
import { reasonOf } from '../errors.js';
import { isCanvasTrue } from '../images/canvas.js';
import { profileOf } from '../images/decode.js';
import { MAX_SIDES, NAMES } from '../images/formats.js';
import { listed } from './chosen.js';
import { size } from './format.js';
import { announce } from './page.js';

/**
 * Let the browser save a file as it does with downloads.
 * @param {Blob} blob
 * @param {string} name of the file
 */
export function save(blob, name) {
  const link = Object.assign(document.createElement('a'), { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

/**
 * Save a finished image as a file of its own.
 * @param {import('./item.js').Item} item
 * @param {string} type as for `convert`
 * @returns {Promise<void>}
 */
export async function saveOne(item, type) {
  save(await fileOf(item, type), resultName(item, type));
}

/**
 * Hand a finished image to another app, as a file of its own.
 * @param {import('./item.js').Item} item
 * @param {string} type as for `convert`
 * @returns {Promise<boolean>} whether the user went through with it
 */
export async function shareOne(item, type) {
  const file = new File([await fileOf(item, type)], resultName(item, type), { type });
  try {
    await navigator.share({ files: [file] });
    return true;
  } catch (error) {
    if (error.name === 'AbortError') return false;
    throw new Error(`${file.name} could not be shared (${reasonOf(error)}); take Download.`);
  }
}

/** A finished image in a format; what that cannot hold is said. @returns {Promise<Blob>} */
async function fileOf(item, type) {
  const { blob, notes } = await convert(item, type);
  if (notes.length) announce(`${item.name} as ${NAMES[type]}: ${notes.join(' ')}`);
  return blob;
}

/**
 * Save finished images as one archive; what bears the same name is numbered. Those that are not in it are said.
 * @param {Array<import('./item.js').Item>} items
 * @param {string} type of the files in it, as for `convert`
 * @returns {Promise<number[]>} places of those that are in it
 * @throws {Error} none can be saved
 */
export async function saveAll(items, type) {
  const { downloadZip } = await loadZip();
  const saved = [];
  const blobs = [];
  /** @type {Set<string>} */
  const said = new Set();
  /** @type {Set<string>} */
  const refused = new Set();
  for (const [i, item] of items.entries()) {
    if (!item.result?.blob) continue;
    try {
      const { blob, notes } = await convert(item, type);
      saved.push(i);
      blobs.push(blob);
      for (const note of notes) said.add(note);
    } catch (error) {
      refused.add(error.message);
    }
  }
  if (!saved.length) throw new Error([...refused].join(' '));
  const names = unique(saved.map((i) => resultName(items[i], type)));
  save(await downloadZip(blobs.map((input, i) => ({ name: names[i], input }))).blob(), 'span.zip');
  const without = items.filter(({ result }) => !result).map(({ name }) => name);
  const apart = items.filter(({ result }) => result && !result.blob).map(({ name }) => name);
  const told = [
    ...(without.length ? [`Not in the archive, because there is no result: ${listed(without)}.`] : []),
    ...(apart.length ? [`Not in the archive, because files of their own hold them: ${listed(apart)}.`] : []),
    ...refused,
    ...(said.size ? [`As ${NAMES[type]}: ${[...said].join(' ')}`] : []),
  ];
  if (told.length) announce(told.join(' '));
  return saved;
}

/** a.png, a.png, A.png -> a.png, a (2).png, A (3).png: on many systems A.png would replace a.png */
function unique(names) {
  const seen = new Map();
  return names.map((name) => {
    const count = (seen.get(name.toLowerCase()) ?? 0) + 1;
    seen.set(name.toLowerCase(), count);
    return count === 1 ? name : name.replace(/(\.[^.]*)?$/, ` (${count})$1`);
  });
}

/**
 * Ask for a file that takes a result as it is made.
 * @param {Pick<import('./item.js').Item, 'name' | 'scale' | 'made'>} item
 * @returns {Promise<FileSystemWritableFileStream | null | undefined>} null if there is none yet, nothing if the browser
 *   lets the page ask for none, as in a frame of another site
 */
export async function askForFile(item) {
  const suggestedName = resultName(item, 'image/png');
  try {
    const handle = await showSaveFilePicker({ suggestedName, types: [{ accept: { 'image/png': ['.png'] } }] });
    return await handle.createWritable();
  } catch (error) {
    return error.name === 'SecurityError' ? undefined : null;
  }
}

/** Bytes at the beginning of a result in which its metadata and its profile lie. */
const HEAD = 16e6;

/**
 * A finished image in another format, with the profile and the metadata of its PNG.
 * @param {{name: string, result?: import('../span.js').FileResult}} item one with a result that was not written elsewhere
 * @param {string} type image/png, image/jpeg or image/webp
 * @returns {Promise<{blob: Blob, notes: string[]}>} `notes`: sentences about what the format cannot hold
 * @throws {Error} with a sentence, if the file would not be what the user asked for
 */
export async function convert({ name, result }, type) {
  if (!result?.blob) throw new Error(`${name} has no result yet; wait until it is done.`);
  const { blob: png, width, height, alpha } = result;
  if (type === png.type) return { blob: png, notes: [] };
  const refuse = (reason) => new Error(`${name} cannot be saved as ${NAMES[type]}: ${reason}; take PNG.`);
  const pixels = size(width, height);
  if (Math.max(width, height) > MAX_SIDES[type]) {
    throw refuse(`its sides may have ${MAX_SIDES[type]} pixels at most, and the result has ${pixels}`);
  }
  const head = png.slice(0, HEAD);
  const { icc } = await profileOf(head);
  const encoded = await encode(png, type, { width, height, icc }).catch((error) => {
    throw refuse(`this browser failed on its ${pixels} pixels (${reasonOf(error)})`);
  });
  const { intoFormat } = await import('../metadata/convert.js');
  const { blob, notes } = await intoFormat(encoded, head, { type, width, height, icc });
  if (alpha && type === 'image/jpeg') notes.push('JPEG has no transparency; what was transparent is white.');
  return { blob, notes };
}

/** Values stay what they are under a profile, which is written into the file later. */
async function encode(png, type, { width, height, icc }) {
  if (!isCanvasTrue()) return encodeItself(png, type);
  const bitmap = await createImageBitmap(png, { colorSpaceConversion: icc ? 'none' : 'default' });
  const canvas = new OffscreenCanvas(width, height);
  const context = /** @type {OffscreenCanvasRenderingContext2D} */ (canvas.getContext('2d'));
  if (type === 'image/jpeg') {
    context.fillStyle = '#fff'; // JPEG has no transparency
    context.fillRect(0, 0, width, height);
  }
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  const blob = await canvas.convertToBlob({ type, quality: QUALITY });
  return blob.type === type ? blob : encodeItself(png, type); // Safari gives PNG for WebP
}

const QUALITY = 0.95;

/** Where canvases do not give back what was drawn, or do not write the format. */
async function encodeItself(png, type) {
  const { decodeFile, encodeFile } = await import('../engine/codecs.js');
  const image = await decodeFile(png);
  const { data } = image;
  for (let i = 0; type === 'image/jpeg' && i < data.length; i += 4) {
    const opacity = data[i + 3] / 255;
    for (let c = i; c < i + 3; c++) data[c] = data[c] * opacity + 255 * (1 - opacity); // on white
  }
  return encodeFile(image, type, QUALITY);
}

/**
 * photo.jpeg -> photo-x4.png, or photo-w1920.png for a result that was to be so wide
 * @param {Pick<import('./item.js').Item, 'name' | 'scale' | 'made'>} item
 * @param {string} type
 */
function resultName({ name, scale, made }, type) {
  const label = made?.width ? `w${made.width}` : `x${scale}`;
  return `${name.replace(/\.[^.]*$/, '')}-${label}.${type.split('/')[1].replace('jpeg', 'jpg')}`;
}
