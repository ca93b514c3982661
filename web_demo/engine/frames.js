/** Frames of a video: from a texture through the network into a texture, without a way through the CPU. */
import { planAxis } from '../images/tiling.js';
import { readConfig } from '../network/model.js';
import { startOwn } from './own.js';
import { tileAt } from './webgpu/tile.js';

/**
 * @typedef {HTMLVideoElement | VideoFrame | ImageBitmap | HTMLCanvasElement | OffscreenCanvas | GPUTexture} FrameSource a
 *   texture must have the usage TEXTURE_BINDING
 */
/**
 * @typedef {HTMLCanvasElement | OffscreenCanvas | GPUTexture} FrameTarget a canvas without another kind of context gets
 *   the size of the result; a texture has it, the format rgba8unorm and the usage STORAGE_BINDING
 */

/**
 * @typedef {object} Frame what was drawn
 * @property {number} width of the result
 * @property {number} height
 * @property {number} milliseconds until the GPU had drawn it
 */

/** Longest side of a tile, in pixels of the input: a larger one gains little and takes much memory. */
const MAX_TILE = 512;
// `GPUTextureUsage`, which is there only where WebGPU is.
const [COPY_DST, TEXTURE_BINDING, STORAGE_BINDING, RENDER_ATTACHMENT] = [2, 4, 8, 16];

export class Frames {
  /** What images and videos are copied into. @type {GPUTexture | null} */
  #texture = null;
  /** @type {WeakMap<HTMLCanvasElement | OffscreenCanvas, GPUCanvasContext>} */
  #contexts = new WeakMap();

  /**
   * Start our kernels for frames.
   * @param {import('../network/model.js').ModelArtifacts} artifacts
   * @param {object} [options]
   * @param {GPUDevice} [options.device] that textures belong to; else an own one
   * @param {import('./webgpu/device.js').Precision} [options.precision] the lowest that kernels may have
   * @returns {Promise<Frames>}
   * @throws {Error} they do not run here
   */
  static async start(artifacts, options) {
    const config = readConfig(artifacts);
    const network = await startOwn(artifacts, config, options).catch((error) => {
      throw new Error(`Frames need WebGPU, which does not run here (${error.message}); use upscale() instead.`);
    });
    return new Frames(network, config);
  }

  /**
   * @param {import('./webgpu/network.js').GpuNetwork} network
   * @param {import('../network/model.js').SpanConfig} config
   */
  constructor(network, config) {
    this.network = network;
    this.config = config;
    this.device = network.gpu.device;
  }

  /**
   * Enlarge a frame.
   * @param {FrameSource} source to be kept open until then
   * @param {FrameTarget} target
   * @returns {Promise<Frame>} when it is drawn
   * @throws {Error} the source is empty, or the target cannot take the result; the device was lost
   */
  async draw(source, target) {
    const { network, config, device } = this;
    const started = performance.now();
    const { width, height } = sizeOf(source);
    if (!width || !height) throw new Error('The frame has no pixels yet; wait until the video has loaded some.');
    const result = { width: width * config.scale, height: height * config.scale };
    const program = network.programFor(width * height);
    await program.prepare('texture', 'texture');
    const input = this.#textureOf(source, width, height).createView();
    const output = this.#targetOf(target, result).createView();
    for (const y of planAxis(height, evenTile(height, config.halo), config.halo)) {
      for (const x of planAxis(width, evenTile(width, config.halo), config.halo)) {
        const from = { kind: /** @type {const} */ ('texture'), resource: input };
        const place = { x: x.from * config.scale, y: y.from * config.scale };
        const tile = { ...tileAt(x, y, config.scale), place };
        network.runner.submit(program, from, { ...from, resource: output }, tile);
      }
    }
    await Promise.race([device.queue.onSubmittedWorkDone(), network.lost]);
    return { ...result, milliseconds: performance.now() - started };
  }

  /** Free everything. */
  dispose() {
    this.#texture?.destroy();
    this.network.dispose();
  }

  /** @returns {GPUTexture} that holds the frame */
  #textureOf(source, width, height) {
    if (isTexture(source)) return source;
    let texture = this.#texture;
    if (!texture || texture.width !== width || texture.height !== height) {
      texture?.destroy();
      texture = this.device.createTexture({
        size: [width, height],
        format: 'rgba8unorm',
        usage: COPY_DST | TEXTURE_BINDING | RENDER_ATTACHMENT,
      });
      this.#texture = texture;
    }
    this.device.queue.copyExternalImageToTexture({ source }, { texture }, [width, height]);
    return texture;
  }

  /** @returns {GPUTexture} of the target, as large as the result */
  #targetOf(target, { width, height }) {
    if (isTexture(target)) {
      if (target.width === width && target.height === height) return target;
      const found = `${target.width}×${target.height}`;
      throw new Error(`Expected a target of ${width}×${height} pixels, found ${found}; create a texture of that size.`);
    }
    if (target.width !== width) target.width = width;
    if (target.height !== height) target.height = height;
    let context = this.#contexts.get(target);
    if (!context) {
      context = /** @type {GPUCanvasContext | null} */ (target.getContext('webgpu')) ?? undefined;
      if (!context) throw new Error('The canvas has another kind of context; use one that nothing was drawn on.');
      context.configure({ device: this.device, format: 'rgba8unorm', usage: STORAGE_BINDING, alphaMode: 'opaque' });
      this.#contexts.set(target, context);
    }
    return context.getCurrentTexture();
  }
}

/** @returns {source is GPUTexture} */
const isTexture = (source) => typeof source.createView === 'function';

/** @param {any} source */
const sizeOf = (source) => ({
  width: source.videoWidth ?? source.displayWidth ?? source.width,
  height: source.videoHeight ?? source.displayHeight ?? source.height,
});

/**
 * @param {number} length of a side
 * @param {number} halo
 * @returns {number} side of the fewest tiles that are not longer than `MAX_TILE`, as short as they may be
 */
export function evenTile(length, halo) {
  if (length <= MAX_TILE) return length;
  const count = Math.ceil((length - 2 * halo) / (MAX_TILE - 2 * halo));
  return Math.ceil((length - 2 * halo) / count) + 2 * halo;
}
