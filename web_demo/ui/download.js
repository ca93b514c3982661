/** Handing files to the user. */
import { loadZip } from '../engine/tf.js';
import { isCanvasTrue } from '../images/canvas.js';
import { size } from './format.js';

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
  save(await convert(item, type), resultName(item, type));
}

/**
 * Save finished images as one archive; what bears the same name is numbered.
 * @param {Array<import('./item.js').Item>} items
 * @param {string} type of the files in it, as for `convert`
 * @returns {Promise<void>}
 */
export async function saveAll(items, type) {
  const { downloadZip } = await loadZip();
  const names = unique(items.map((item) => resultName(item, type)));
  const files = [];
  for (const [i, item] of items.entries()) files.push({ name: names[i], input: await convert(item, type) });
  save(await downloadZip(files).blob(), 'span.zip');
}

/** a.png, a.png -> a.png, a (2).png */
function unique(names) {
  const seen = new Map();
  return names.map((name) => {
    const count = (seen.get(name) ?? 0) + 1;
    seen.set(name, count);
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

/** Encoders take sides up to these (JPEG's is libjpeg's, below the format's own) and silently cut off what is beyond. */
const MAX_SIDES = { 'image/jpeg': 65500, 'image/webp': 16383 };
const NAMES = { 'image/jpeg': 'JPEG', 'image/webp': 'WebP' };

/**
 * A finished image in another format.
 * @param {{name: string, result?: import('../span.js').FileResult}} item one with a result that was not written elsewhere
 * @param {string} type image/png, image/jpeg or image/webp
 * @returns {Promise<Blob>}
 * @throws {Error} with a sentence, if the file would not be what the user asked for
 */
export async function convert({ name, result }, type) {
  if (!result?.blob) throw new Error(`${name} has no result yet; wait until it is done.`);
  const { blob: png, width, height, colorSpace } = result;
  if (type === png.type) return png;
  const refuse = (reason) => new Error(`${name} cannot be saved as ${NAMES[type]}: ${reason}; take PNG.`);
  const pixels = size(width, height);
  if (Math.max(width, height) > MAX_SIDES[type]) {
    throw refuse(`its sides may have ${MAX_SIDES[type]} pixels at most, and the result has ${pixels}`);
  }
  return encode(png, type, { width, height, colorSpace }).catch((error) => {
    throw refuse(`this browser failed on its ${pixels} pixels (${error.message.replace(/\.$/, '')})`);
  });
}

/** A canvas of the result's own colour space keeps colours beyond sRGB, and its file carries the profile. */
async function encode(png, type, { width, height, colorSpace }) {
  if (!isCanvasTrue()) return encodeItself(png, type, colorSpace);
  const bitmap = await createImageBitmap(png);
  const canvas = new OffscreenCanvas(width, height);
  const context = /** @type {OffscreenCanvasRenderingContext2D} */ (canvas.getContext('2d', { colorSpace }));
  if (type === 'image/jpeg') {
    context.fillStyle = '#fff'; // JPEG has no transparency
    context.fillRect(0, 0, width, height);
  }
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  const blob = await canvas.convertToBlob({ type, quality: QUALITY });
  return blob.type === type ? blob : encodeItself(png, type, colorSpace); // Safari gives PNG for WebP
}

const QUALITY = 0.95;

/** Where canvases do not give back what was drawn, or do not write the format. */
async function encodeItself(png, type, colorSpace) {
  if (colorSpace !== 'srgb') throw new Error('colours beyond sRGB would be lost');
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
