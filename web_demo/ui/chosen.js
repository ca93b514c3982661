/** Which files of a choice, a folder or a drop are images, and what to say of the others. */

/** What some systems give no type for. Those that browsers do not decode are said to be that when they are read. */
const IMAGE_ENDING = /\.(apng|avif|bmp|dng|gif|hei[cf]|hif|jfif|jpe?g?|jxl|mpo|png|svg|tiff?|webp)$/i;
const MODEL_ENDING = /\.(bin|ckpt|h5|json|keras|onnx|pth?|safetensors|tflite)$/i;
/** Names that a sentence lists; more are counted. */
const MAX_NAMES = 3;

/**
 * Give files a type that have none and no ending that tells it, such as `IMG_1` and `photo.jpg_large`.
 * @param {File[]} files
 * @returns {Promise<File[]>} the same, but for images among those
 */
export const typed = (files) => Promise.all(files.map(typedFile));

async function typedFile(file) {
  if (file.type || IMAGE_ENDING.test(file.name) || MODEL_ENDING.test(file.name)) return file;
  const { headOf, typeOf } = await import('../images/kinds.js'); // few files need it
  const type = typeOf(await headOf(file).catch(() => '')); // what cannot be read is named as no image
  return type ? new File([file], file.name, { type, lastModified: file.lastModified }) : file;
}

/** @param {string[]} names @returns {string} for a sentence */
export const listed = (names) => (names.length > MAX_NAMES ? `${names.length} files` : names.join(', '));

/** @param {File[]} files @returns {boolean} whether they are a model's, be it of a kind that is not read */
export const isModel = (files) => files.length > 0 && files.every(({ name }) => MODEL_ENDING.test(name));

/**
 * @param {File[]} files
 * @returns {{images: File[], problem: string}} `problem`: a sentence about the others, or nothing
 */
export function sortFiles(files) {
  const images = files.filter(({ type, name }) => type.startsWith('image/') || IMAGE_ENDING.test(name));
  const others = files.filter((file) => !images.includes(file)).map(({ name }) => name);
  if (!others.length) return { images, problem: images.length ? '' : 'There is no image in it.' };
  const names = listed(others);
  if (images.length) return { images, problem: `Left out, because they are no images: ${names}.` };
  const are = others.length > 1 ? 'are no images' : 'is not an image';
  return { images, problem: `${names} ${are}; choose PNG, JPEG, WebP, AVIF, BMP or GIF.` };
}
