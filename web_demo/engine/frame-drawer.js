/** Draws frames on a device: from a texture through the network into a texture, without a way through the CPU. */
import { nameOf } from '../images/source.js';
import { planAxis } from '../images/tiling.js';
import { answerOf } from '../network/lost.js';
import { readConfig } from '../network/model.js';
import { checkFit, isTexture, sizeOf } from './frame-arguments.js';
import { settle, startOwn } from './own.js';
import { checkTextures } from './webgpu/check-textures.js';
import { guarded } from './webgpu/guarded.js';
import { checkStatus } from './webgpu/read-back.js';
import { STATUS_BYTES } from './webgpu/runner.js';
import { PLAIN } from './webgpu/sets.js';
import { tileAt } from './webgpu/tile.js';

/** @typedef {import('./frames.js').FrameSource} FrameSource */
/** @typedef {import('./frames.js').FrameTarget} FrameTarget */
/** @typedef {import('./webgpu/program.js').Program} Program */
/** @typedef {import('./webgpu/tile.js').Tile} Tile */

/** Longest side of a tile, in pixels of the input: a larger one gains little and takes much memory. */
const MAX_TILE = 512;
// `GPUTextureUsage` and `GPUMapMode`, which are there only where WebGPU is.
const [COPY_DST, TEXTURE_BINDING, STORAGE_BINDING, RENDER_ATTACHMENT] = [2, 4, 8, 16];
const READ = 1;

export class FrameDrawer {
  /** What images and videos are copied into. @type {GPUTexture | null} */
  #texture = null;
  /** @type {WeakMap<HTMLCanvasElement | OffscreenCanvas, GPUCanvasContext>} */
  #contexts = new WeakMap();
  /** Kinds of sources that the browser copies only as an `ImageBitmap`. @type {Set<string>} */
  #bitmapped = new Set();
  /** What is used in a program's place: itself, if it draws rightly. @type {WeakMap<Program, Promise<Program>>} */
  #checked = new WeakMap();
  /** When the last frame is drawn. @type {Promise<void>} */
  #before = Promise.resolve();
  /** Begun by the first frame. @type {Promise<void> | undefined} */
  #settling;
  #isDisposed = false;

  /**
   * Start our kernels for frames.
   * @param {import('../network/model.js').ModelArtifacts} artifacts
   * @param {object} [options]
   * @param {GPUDevice} [options.device] that textures belong to; else an own one
   * @param {import('./webgpu/device.js').Precision} [options.precision] the lowest that kernels may have
   * @returns {Promise<FrameDrawer>}
   * @throws {Error} they do not run here
   */
  static async start(artifacts, options) {
    const config = readConfig(artifacts);
    /** @type {FrameDrawer | undefined} */
    let drawer;
    try {
      drawer = new FrameDrawer(await startOwn(artifacts, config, options), config);
      await drawer.#programFor(Infinity);
      return drawer;
    } catch (error) {
      drawer?.dispose();
      throw new Error(`Frames need WebGPU, which does not run here (${error.message}); use upscale() instead.`);
    }
  }

  /**
   * @param {import('./webgpu/network.js').GpuNetwork} network
   * @param {import('../network/model.js').SpanConfig} config
   */
  constructor(network, config) {
    this.network = network;
    this.config = config;
    this.device = network.gpu.device;
    this.lost = network.lost;
  }

  /**
   * Enlarge a frame. One may be computed and another wait for it, no more: that hides the browser's way to the GPU and
   * back, which takes Firefox 0.1 s where nothing follows.
   * @param {FrameSource} source to be kept open until then
   * @param {FrameTarget} target of the right kind
   * @returns {Promise<import('./frames.js').Frame>} when it was handed to the GPU, and the one before it is drawn; what
   *   comes later in the device's queue finds the result
   * @throws {Error} as `sizeOf` and `checkFit`, and if the browser refuses to draw
   * @throws {import('../network/lost.js').BackendLost} the GPU failed with the frame before
   */
  async draw(source, target) {
    const { network, config, device } = this;
    const started = performance.now();
    const { width, height } = sizeOf(source);
    const result = { width: width * config.scale, height: height * config.scale };
    checkFit(result, target, device.limits);
    network.runs++; // ends a measurement of kernels that is under way
    const program = await this.#programFor(width * height);
    const { failing, readable, tiles } = await this.#submit(source, target, program, { width, height }, result);
    const failure = await this.#answer(failing);
    if (failure) {
      this.#forget(readable);
      throw new Error(`The browser did not draw the frame: ${failure.message}`);
    }
    const before = this.#before;
    this.#before = this.#finish(readable, tiles);
    this.#before.catch(() => {}); // the next call tells
    await before;
    this.#settling ??= this.settle().catch(() => {}); // the next frame tells what is wrong
    return { ...result, milliseconds: performance.now() - started, kernels: network.description };
  }

  /** Measure the kernels as soon as no frame comes, if that was not done before, and draw with the fastest from then on. */
  async settle() {
    if (!(await settle(this.network, this.config)) || this.#isDisposed) return;
    for (const pixels of [0, Infinity]) await this.#programFor(pixels); // compiled before the next frame
  }

  /** Free everything; frames that were submitted are drawn all the same. */
  async dispose() {
    this.#isDisposed = true;
    this.#texture?.destroy();
    this.network.isRetired = true;
    await this.#settling; // it would measure on buffers that are gone
    this.network.dispose();
  }

  /** @param {number} pixels of a frame @returns {Promise<Program>} one that draws rightly */
  #programFor(pixels) {
    return this.#drawing(this.network.programFor(pixels));
  }

  /** @param {Program} program @returns {Promise<Program>} it, or else the plainest, if that draws rightly */
  #drawing(program) {
    const { network } = this;
    let known = this.#checked.get(program);
    if (!known) {
      known = checkTextures(network, program).then(
        () => program,
        async (error) => {
          if (program.set === PLAIN) throw error;
          return this.#drawing(await network.makeProgram(PLAIN));
        },
      );
      this.#checked.set(program, known);
    }
    return known;
  }

  /**
   * Copy the source and put the passes of all tiles into the queue. Firefox copies no video and no VideoFrame, which it
   * tells with a `TypeError`, but bitmaps of them.
   */
  async #submit(source, target, program, size, result) {
    const kind = nameOf(source);
    const submit = (image) => {
      if (this.#isDisposed) throw new Error('There are no more frames.'); // which nobody hears
      /** @type {any} */
      const made = {};
      made.failing = guarded(this.device, () => {
        const input = viewOf(this.#textureOf(image, size));
        const output = viewOf(this.#targetOf(target, result));
        Object.assign(made, this.#submitTiles(program, input, output, size));
      });
      return made;
    };
    if (!this.#bitmapped.has(kind)) {
      try {
        return submit(source);
      } catch (error) {
        if (error?.name !== 'TypeError' || isTexture(source) || kind === 'ImageBitmap') throw error;
        this.#bitmapped.add(kind);
      }
    }
    const bitmap = await createImageBitmap(source);
    try {
      return submit(bitmap);
    } finally {
      bitmap.close();
    }
  }

  /** @returns {{readable: GPUBuffer, tiles: number}} `readable` gets the status of every tile */
  #submitTiles(program, input, output, { width, height }) {
    const { network, config } = this;
    const most = Math.min(MAX_TILE, network.maxTile);
    const [rows, columns] = [height, width].map((side) => {
      return planAxis(side, evenTile(side, config.halo, most), config.halo);
    });
    const tiles = rows.flatMap((y) => columns.map((x) => [x, y]));
    const readable = network.buffers.takeReadable(STATUS_BYTES * tiles.length);
    const kind = /** @type {const} */ ('texture');
    tiles.forEach(([x, y], i) => {
      const place = { x: x.from * config.scale, y: y.from * config.scale };
      const tile = { ...tileAt(x, y, config.scale), place };
      network.runner.submit(program, { kind, resource: input }, { kind, resource: output }, tile, {
        after: (encoder, status) => encoder.copyBufferToBuffer(status, 0, readable, i * STATUS_BYTES, STATUS_BYTES),
      });
    });
    return { readable, tiles: tiles.length };
  }

  /** Wait until a frame is drawn. @param {GPUBuffer} readable @param {number} tiles @throws {BackendLost} it is not whole */
  async #finish(readable, tiles) {
    await this.#answer(readable.mapAsync(READ));
    new Uint32Array(readable.getMappedRange(), 0, tiles).forEach(checkStatus);
    readable.unmap();
    this.network.buffers.giveBack(readable);
  }

  /** Let go what may not have been allocated; the next frame tries again. @param {GPUBuffer} readable */
  #forget(readable) {
    this.network.buffers.drop(readable);
    this.network.rest();
    this.#texture?.destroy();
    this.#texture = null;
  }

  /**
   * Await what the device answers. That is not raced with its loss, which would hold on to every frame: the loss ends
   * calls by itself.
   * @template T @param {Promise<T>} answer @returns {Promise<T>}
   */
  #answer(answer) {
    return answer.catch((error) => answerOf(Promise.reject(error), this.lost));
  }

  /** @returns {GPUTexture} that holds the frame */
  #textureOf(source, { width, height }) {
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
    if (isTexture(target)) return target;
    let context = this.#contexts.get(target);
    if (!context) {
      context = /** @type {GPUCanvasContext | null} */ (target.getContext('webgpu')) ?? undefined;
      if (!context) throw new Error('The canvas has another kind of context; use one that nothing was drawn on.');
      context.configure({ device: this.device, format: 'rgba8unorm', usage: STORAGE_BINDING, alphaMode: 'opaque' });
      this.#contexts.set(target, context);
    }
    if (target.width !== width) target.width = width;
    if (target.height !== height) target.height = height;
    return context.getCurrentTexture();
  }
}

/** @param {GPUTexture} texture @returns {GPUTextureView} of its first level and layer */
const viewOf = (texture) => texture.createView({ dimension: '2d', mipLevelCount: 1, arrayLayerCount: 1 });

/**
 * @param {number} length of a side
 * @param {number} halo
 * @param {number} longest
 * @returns {number} side of the fewest tiles that are not longer than `longest`, as short as they may be
 */
export function evenTile(length, halo, longest) {
  if (length <= longest) return length;
  const count = Math.ceil((length - 2 * halo) / (longest - 2 * halo));
  return Math.ceil((length - 2 * halo) / count) + 2 * halo;
}
