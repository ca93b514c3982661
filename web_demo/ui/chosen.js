/** Which files of a choice, a folder or a drop are images, and what to say of the others. */

/** What some systems give no type for. Those that browsers do not decode are said to be that when they are read. */
const IMAGE_ENDING = /\.(apng|avif|bmp|dng|gif|hei[cf]|hif|jfif|jpe?g?|jxl|mpo|png|svg|tiff?|webp)$/i;
const MODEL_ENDING = /\.(bin|ckpt|h5|json|keras|onnx|pth?|safetensors|tflite)$/i;
/** Names that a sentence lists; more are counted. */
const MAX_NAMES = 3;

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
  const names = others.length > MAX_NAMES ? `${others.length} files` : others.join(', ');
  if (images.length) return { images, problem: `Left out, because they are no images: ${names}.` };
  const are = others.length > 1 ? 'are no images' : 'is not an image';
  return { images, problem: `${names} ${are}; choose PNG, JPEG, WebP, AVIF, BMP or GIF.` };
}
