/** Frames of a video, one after another: starting the kernels for them, starting again after a loss, and the end. */
import { nameOf } from '../images/source.js';
import { BackendLost, DeviceLost } from '../network/lost.js';
import { fetchModel } from '../network/model.js';
import { checkTarget, isTexture, sizeOf } from './frame-arguments.js';
import { FrameDrawer } from './frame-drawer.js';

/**
 * @typedef {HTMLVideoElement | VideoFrame | ImageBitmap | HTMLImageElement | HTMLCanvasElement | OffscreenCanvas
 *   | GPUTexture} FrameSource a texture has the format rgba8unorm, bgra8unorm, rgb10a2unorm, rgba16float or rgba32float,
 *   values of sRGB, and the usage TEXTURE_BINDING
 */
/**
 * @typedef {HTMLCanvasElement | OffscreenCanvas | GPUTexture} FrameTarget a canvas without another kind of context gets
 *   the size of the result; a texture has it, the format rgba8unorm and the usage STORAGE_BINDING
 */

/**
 * @typedef {object} Frame what was drawn
 * @property {number} width of the result
 * @property {number} height
 * @property {number} milliseconds of the call: until the frame was handed to the GPU, and the one before it was drawn
 * @property {string} kernels adapter, kernel sets and, once measured, their time; for reports
 */

/** @typedef {({url: string} | {artifacts: import('../network/model.js').ModelArtifacts})} Model where it is */

/**
 * @typedef {object} Running
 * @property {GPUDevice} [device] of the page; else an own one
 * @property {Promise<FrameDrawer>} drawer
 */

export class Frames {
  /** @type {Model & {precision: import('./webgpu/device.js').Precision}} */
  #source;
  /** @type {Running | null} null before the first frame and after a loss */
  #running = null;
  /** The last call's end: calls take their turns. @type {Promise<unknown>} */
  #last = Promise.resolve();
  /** What rejects the calls that are not done. @type {Set<(reason: any) => void>} */
  #waiting = new Set();
  /** Why there are no more frames. @type {DOMException | null} */
  #end = null;

  /** @param {Model & {precision: import('./webgpu/device.js').Precision}} source of the model */
  constructor(source) {
    this.#source = source;
  }

  /**
   * Enlarge a frame, when it is its turn.
   * @param {FrameSource} source
   * @param {{target: FrameTarget, device?: GPUDevice}} options
   * @returns {Promise<Frame>} when it was handed to the GPU, and the one before it is drawn
   * @throws {TypeError} an argument is of a wrong kind
   * @throws {Error} the source is empty, or the target cannot take the result: of this call alone
   * @throws {import('../network/lost.js').BackendLost} the GPU failed, perhaps with the frame before; the next call starts
   *   again
   */
  draw(source, options) {
    /** @type {Promise<Frame>} */
    const call = new Promise((resolve, reject) => {
      this.#waiting.add(reject);
      const work = async () => {
        if (this.#waiting.has(reject)) resolve(await this.#draw(source, options));
      };
      this.#last
        .then(work)
        .catch(reject)
        .finally(() => this.#waiting.delete(reject));
    });
    this.#last = call.catch(() => {});
    return call;
  }

  /** End the calls under way, and free everything. @param {DOMException} reason with which they and later ones reject */
  dispose(reason) {
    this.#end = reason;
    this.#giveUp(reason);
  }

  async #draw(source, options) {
    if (this.#end) throw this.#end;
    const { target, device } = options ?? {};
    sizeOf(source);
    checkTarget(target);
    const running = this.#runOn(device, isTexture(source) || isTexture(target));
    const drawer = await running.drawer;
    if (this.#end) throw this.#end; // nobody hears it
    try {
      return await drawer.draw(source, target);
    } catch (error) {
      if (error instanceof BackendLost && this.#running === running) this.#giveUp(lossOf(error, running.device));
      throw error;
    }
  }

  /** Start where nothing runs. @param {GPUDevice | undefined} device @param {boolean} takesTextures @returns {Running} */
  #runOn(device, takesTextures) {
    if (device !== undefined && typeof device?.createTexture !== 'function') {
      throw new TypeError(`device must be a GPUDevice; found ${nameOf(device)}.`);
    }
    const used = this.#running ? this.#running.device : device;
    if (device && used !== device) {
      throw new TypeError('The frames before were drawn on another device; keep to one, or load another upscaler.');
    }
    if (takesTextures && !used) throw new TypeError('Textures need the option device: the one that they belong to.');
    this.#running ??= this.#start(device);
    return this.#running;
  }

  /** @param {GPUDevice | undefined} device @returns {Running} */
  #start(device) {
    const running = { device, drawer: this.#open(device) };
    running.drawer.then(
      (drawer) => drawer.lost.catch((error) => this.#running === running && this.#giveUp(lossOf(error, device))),
      () => this.#running === running && (this.#running = null),
    );
    return running;
  }

  async #open(device) {
    if (device && (await Promise.race([device.lost, null]))) {
      throw new DeviceLost('The device is lost; open another, and pass that one from now on.');
    }
    if ('url' in this.#source) {
      const { url, precision } = this.#source;
      this.#source = { artifacts: await fetchModel(url), precision }; // also for a start after a loss
    }
    const { artifacts, precision } = this.#source;
    return FrameDrawer.start(artifacts, { device, precision });
  }

  /** Let calls under way reject, and what runs go. */
  #giveUp(reason) {
    for (const reject of this.#waiting) reject(reason);
    this.#waiting.clear();
    this.#running?.drawer.then((drawer) => drawer.dispose()).catch(() => {});
    this.#running = null;
  }
}

/** @param {any} error @param {GPUDevice | undefined} device of the page */
function lossOf(error, device) {
  if (!device || !(error instanceof DeviceLost)) return error;
  return new DeviceLost(`${error.message}; open another device, and pass that one from now on.`);
}
