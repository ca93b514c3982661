/** What `upscaler.frame` asks of its arguments, before the GPU sees them. */
import { nameOf } from '../images/source.js';

/** @typedef {import('./frames.js').FrameSource} FrameSource */
/** @typedef {import('./frames.js').FrameTarget} FrameTarget */
/** @typedef {{width: number, height: number}} Size */

/** Formats of a source texture whose values are those of sRGB, around [0, 1]. */
const FORMATS = ['rgba8unorm', 'bgra8unorm', 'rgb10a2unorm', 'rgba16float', 'rgba32float'];
// `GPUTextureUsage`, which is there only where WebGPU is.
const [TEXTURE_BINDING, STORAGE_BINDING] = [4, 8];

/** Sides of a source by its kind: elements may be laid out in another size than they have. */
const SIZES = {
  HTMLVideoElement: ({ readyState, videoWidth, videoHeight }) => (readyState < 2 ? [0, 0] : [videoWidth, videoHeight]),
  VideoFrame: ({ displayWidth, displayHeight }) => [displayWidth, displayHeight],
  HTMLImageElement: ({ naturalWidth, naturalHeight }) => [naturalWidth, naturalHeight],
  ImageBitmap: ({ width, height }) => [width, height],
  HTMLCanvasElement: ({ width, height }) => [width, height],
  OffscreenCanvas: ({ width, height }) => [width, height],
};

/** What a source without pixels lacks, as an error. */
const EMPTY = {
  HTMLVideoElement: () => new Error('The frame has no pixels yet; wait until the video has loaded some.'),
  HTMLImageElement: () => new Error('The image element has no pixels yet; await its decode().'),
  VideoFrame: () => new TypeError('The VideoFrame is closed; close it when frame() has resolved.'),
  ImageBitmap: () => new TypeError('The ImageBitmap is closed; close it when frame() has resolved.'),
  HTMLCanvasElement: () => new Error('The source canvas has no pixels.'),
  OffscreenCanvas: () => new Error('The source canvas has no pixels.'),
};

/** @param {any} value @returns {value is GPUTexture} */
export const isTexture = (value) => typeof value?.createView === 'function';

/**
 * Measure a source.
 * @param {FrameSource} source
 * @returns {Size} in pixels
 * @throws {TypeError} it is nothing that a frame is drawn from, or closed
 * @throws {Error} it has no pixels yet
 */
export function sizeOf(source) {
  if (isTexture(source)) {
    checkTexture(source);
    return { width: source.width, height: source.height };
  }
  const kind = nameOf(source);
  if (!(kind in SIZES)) {
    throw new TypeError(`Expected a source of the kind ${Object.keys(SIZES).join(', ')} or GPUTexture; found ${kind}.`);
  }
  const [width, height] = SIZES[kind](source);
  if (!width || !height) throw EMPTY[kind]();
  return { width, height };
}

/** @param {GPUTexture} source @throws {TypeError} kernels cannot read it, or would read other colours */
function checkTexture({ format, usage }) {
  if (!FORMATS.includes(format)) {
    const remedy = format.endsWith('-srgb')
      ? `copy it into one of ${format.slice(0, -5)}`
      : 'draw it into one of these';
    throw new TypeError(`Expected a source texture of ${FORMATS.join(', ')}; found ${format}: ${remedy}.`);
  }
  if (!(usage & TEXTURE_BINDING)) {
    throw new TypeError('The source texture lacks the usage TEXTURE_BINDING; create it with that.');
  }
}

/**
 * Check what is drawn into.
 * @param {FrameTarget} target
 * @throws {TypeError} it is no target, or not of the right format or usage
 */
export function checkTarget(target) {
  if (!isTexture(target)) {
    const kind = nameOf(target);
    if (/^(HTMLCanvasElement|OffscreenCanvas)$/.test(kind)) return;
    throw new TypeError(`Expected a target: a canvas, OffscreenCanvas or GPUTexture; found ${kind}.`);
  }
  if (target.format !== 'rgba8unorm') {
    throw new TypeError(`Expected a target of rgba8unorm, found ${target.format}; create a texture of that format.`);
  }
  if (!(target.usage & STORAGE_BINDING)) {
    throw new TypeError('The target texture lacks the usage STORAGE_BINDING; create it with that.');
  }
}

/**
 * Check whether a result fits.
 * @param {Size} result
 * @param {FrameTarget} target
 * @param {{maxTextureDimension2D: number}} limits of the device
 * @throws {Error} the target is a texture of another size, or a canvas cannot be as large
 */
export function checkFit({ width, height }, target, { maxTextureDimension2D: most }) {
  if (Math.max(width, height) > most) {
    throw new Error(`The result has ${width}×${height} pixels, and textures here at most ${most} a side; take less.`);
  }
  if (!isTexture(target) || (target.width === width && target.height === height)) return;
  const found = `${target.width}×${target.height}`;
  throw new Error(`Expected a target of ${width}×${height} pixels, found ${found}; create a texture of that size.`);
}
