/** From an image file to its pixels, as stored: straight alpha, the file's own colour values, upright. */
import { readProfile } from './icc.js';

/** Images are read in pieces of this side at most: a canvas beyond a browser's limit reads as empty, without an error. */
const PIECE = 4096;
const SRGB = /** @type {PredefinedColorSpace} */ ('srgb');

/** An image that cannot be used; the message says why. */
export class ImageError extends Error {
  name = 'ImageError';
}

/**
 * @typedef {object} Pixels
 * @property {number} width
 * @property {number} height
 * @property {Uint8ClampedArray | Uint16Array} data RGBA, straight alpha
 * @property {boolean} alpha whether any pixel is transparent
 * @property {boolean} grey whether red, green and blue are equal everywhere: a browser does not tell how they were stored
 * @property {Uint8Array} [icc] the colour profile of the values
 * @property {PredefinedColorSpace | null} [colorSpace] `null` if canvases do not know that of the profile
 * @property {boolean} [rounded] colours were multiplied by alpha on the way, which rounds them
 * @property {string[]} [notes] sentences about what of the file is not there
 */

/**
 * @param {Blob | ImageBitmap | ImageData} source files keep their colour values: a profile for RGB is not applied
 * @returns {Promise<Pixels>}
 */
export async function decode(source) {
  if (source instanceof ImageData) return decodeData(source);
  const profile = source instanceof Blob ? await profileOf(source) : { icc: undefined, colorSpace: SRGB };
  const bitmap = source instanceof Blob ? await openFile(source, profile.icc) : source;
  try {
    return { ...readBitmap(bitmap), ...profile };
  } finally {
    bitmap.close();
  }
}

/**
 * Read the colour profile of a file.
 * @param {Blob} file
 * @returns {Promise<Pick<Pixels, 'icc' | 'colorSpace'>>} as if without one, if the file is damaged: decoding tells
 */
export async function profileOf(file) {
  const icc = await readProfile(file).catch(() => undefined);
  return { icc, colorSpace: icc ? (await import('./color-space.js')).colorSpaceOf(icc) : SRGB };
}

/** Values of a wider space than sRGB need its profile, which the browser itself writes into files. */
async function decodeData({ width, height, data, colorSpace }) {
  const pixels = describe(width, height, data);
  if (colorSpace === SRGB) return pixels;
  const canvas = new OffscreenCanvas(1, 1);
  canvas.getContext('2d', { colorSpace });
  return { ...pixels, ...(await profileOf(await canvas.convertToBlob())) };
}

/**
 * Open an image file by the browser.
 * @param {Blob & {name?: string}} blob
 * @param {Uint8Array} [icc] its profile, which is not applied
 * @returns {Promise<ImageBitmap>}
 * @throws {ImageError} the browser does not read it
 */
export async function openFile(blob, icc) {
  const name = blob.name ?? 'The image';
  if (blob.size === 0) throw new ImageError(`${name} is empty; choose another file.`);
  try {
    // Premultiplication and colour conversion would change values that the output file should keep. Colours that are
    // described otherwise than by a profile for RGB, which is kept, become sRGB.
    return await createImageBitmap(blob, { premultiplyAlpha: 'none', colorSpaceConversion: icc ? 'none' : 'default' });
  } catch {
    const { headOf, refusalOf } = await import('./kinds.js');
    const refusal = refusalOf(await headOf(blob), name);
    if (refusal) throw new ImageError(`${name} is ${refusal}.`);
    const kind = blob.type ? ` (${blob.type})` : '';
    throw new ImageError(
      `${name}${kind} is damaged or not an image that this browser reads; try PNG, JPEG, WebP or AVIF.`,
    );
  }
}

function readBitmap(bitmap) {
  const { width, height } = bitmap;
  let data;
  try {
    data = new Uint8ClampedArray(width * height * 4);
    for (let y = 0; y < height; y += PIECE) for (let x = 0; x < width; x += PIECE) readPiece(bitmap, x, y, data);
  } catch {
    throw new ImageError(`An image of ${width} × ${height} pixels does not fit into this browser's memory.`);
  }
  const pixels = describe(width, height, data);
  // A 2D canvas stores colours multiplied by alpha, which rounds them; a WebGL texture does not.
  if (!pixels.alpha) return pixels;
  const straight = readStraight(bitmap);
  return straight ? describe(width, height, straight) : { ...pixels, rounded: true };
}

function readPiece(bitmap, left, top, data) {
  const [width, height] = [Math.min(PIECE, bitmap.width - left), Math.min(PIECE, bitmap.height - top)];
  const context = new OffscreenCanvas(width, height).getContext('2d', { willReadFrequently: true });
  if (!context) throw new Error('the browser gives no canvas');
  context.drawImage(bitmap, -left, -top);
  const piece = context.getImageData(0, 0, width, height).data;
  for (let y = 0; y < height; y++) {
    data.set(piece.subarray(y * width * 4, (y + 1) * width * 4), ((top + y) * bitmap.width + left) * 4);
  }
}

/** @param {ArrayLike<number>} data of 8 or 16 bits @returns {number} its highest level */
export const whiteOf = (data) => (data instanceof Uint16Array ? 65535 : 255);

/**
 * Describe pixels: whether they are transparent or grey.
 * @param {number} width
 * @param {number} height
 * @param {Uint8ClampedArray | Uint16Array} data RGBA
 * @returns {Pixels}
 */
export function describe(width, height, data) {
  const white = whiteOf(data);
  let alpha = false;
  for (let i = 3; i < data.length && !alpha; i += 4) alpha = data[i] !== white;
  let grey = true;
  for (let i = 0; i < data.length && grey; i += 4) {
    grey = data[i + 3] === 0 || (data[i] === data[i + 1] && data[i] === data[i + 2]);
  }
  return { width, height, data, alpha, grey };
}

function readStraight(bitmap) {
  const { width, height } = bitmap;
  const gl = new OffscreenCanvas(1, 1).getContext('webgl', { alpha: true, premultipliedAlpha: false });
  if (!gl || Math.max(width, height) > gl.getParameter(gl.MAX_TEXTURE_SIZE)) return null;
  gl.pixelStorei(gl.UNPACK_PREMULTIPLY_ALPHA_WEBGL, false);
  gl.pixelStorei(gl.UNPACK_COLORSPACE_CONVERSION_WEBGL, gl.NONE);
  gl.bindTexture(gl.TEXTURE_2D, gl.createTexture());
  gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, gl.RGBA, gl.UNSIGNED_BYTE, bitmap);
  gl.bindFramebuffer(gl.FRAMEBUFFER, gl.createFramebuffer());
  gl.framebufferTexture2D(
    gl.FRAMEBUFFER,
    gl.COLOR_ATTACHMENT0,
    gl.TEXTURE_2D,
    gl.getParameter(gl.TEXTURE_BINDING_2D),
    0,
  );
  const data = new Uint8ClampedArray(width * height * 4);
  gl.readPixels(0, 0, width, height, gl.RGBA, gl.UNSIGNED_BYTE, new Uint8Array(data.buffer));
  const failed = gl.getError() !== gl.NO_ERROR || gl.isContextLost();
  gl.getExtension('WEBGL_lose_context')?.loseContext();
  return failed ? null : data;
}
