/** Handing files to the user. */
import { size } from './format.js';

/** @param {Blob} blob */
export function save(blob, name) {
  const link = Object.assign(document.createElement('a'), { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

/** Save a finished image as a file of its own. */
export async function saveOne(item, type) {
  save(await convert(item, type), resultName(item.name, item.scale, type));
}

/** Save finished images as one archive. */
export async function saveAll(items, type) {
  const { zip } = await import('./zip.js');
  const files = [];
  for (const item of items) files.push({ name: resultName(item.name, item.scale, type), blob: await convert(item, type) });
  save(await zip(files), 'span.zip');
}

/**
 * Ask for a file that takes a result as it is made.
 * @returns {Promise<FileSystemWritableFileStream | null | undefined>} null if there is none yet, nothing if the browser
 *   lets the page ask for none, as in a frame of another site
 */
export async function askForFile({ name, scale }) {
  const suggestedName = resultName(name, scale, 'image/png');
  try {
    const handle = await showSaveFilePicker({ suggestedName, types: [{ accept: { 'image/png': ['.png'] } }] });
    return await handle.createWritable();
  } catch (error) {
    return error.name === 'SecurityError' ? undefined : null;
  }
}

/** Encoders take sides up to these (JPEG's is libjpeg's, below the format's own) and silently cut off what is beyond. */
const LONGEST = { 'image/jpeg': 65500, 'image/webp': 16383 };
const NAMES = { 'image/jpeg': 'JPEG', 'image/webp': 'WebP' };

/**
 * A finished image in another format.
 * @param {{name: string, result: import('../span.js').Result}} item
 * @param {string} type image/png, image/jpeg or image/webp
 * @returns {Promise<Blob>}
 * @throws {Error} with a sentence, if the file would not be what the user asked for
 */
export async function convert({ name, result }, type) {
  const { blob: png, width, height, colorSpace } = result;
  if (type === png.type) return png;
  const refuse = (reason) => new Error(`${name} cannot be saved as ${NAMES[type]}: ${reason}; take PNG.`);
  const pixels = size(width, height);
  if (Math.max(width, height) > LONGEST[type]) {
    throw refuse(`its sides may have ${LONGEST[type]} pixels at most, and the result has ${pixels}`);
  }
  const blob = await encode(png, type, { width, height, colorSpace }).catch((error) => {
    throw refuse(`this browser failed on its ${pixels} pixels (${error.message.replace(/\.$/, '')})`);
  });
  if (blob.type !== type) throw refuse('this browser does not write that format'); // it gives PNG instead
  return blob;
}

/** A canvas of the result's own colour space keeps colours beyond sRGB, and its file carries the profile. */
async function encode(png, type, { width, height, colorSpace }) {
  const bitmap = await createImageBitmap(png);
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext('2d', { colorSpace });
  if (type === 'image/jpeg') {
    context.fillStyle = '#fff'; // JPEG has no transparency
    context.fillRect(0, 0, width, height);
  }
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  return canvas.convertToBlob({ type, quality: 0.95 });
}

/** photo.jpeg, 4 -> photo-x4.png */
const resultName = (name, scale, type) => `${name.replace(/\.[^.]*$/, '')}-x${scale}.${type.split('/')[1].replace('jpeg', 'jpg')}`;
