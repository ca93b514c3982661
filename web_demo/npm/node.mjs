/**
 * Upscale pixels with a SPAN network in Node, on its GPU:
 *
 *     import { create, globals } from 'webgpu';
 *     Object.assign(globalThis, globals);
 *     const upscaler = await loadUpscaler('model.json', { gpu: create([]) });
 *     const { data, width, height } = await upscaler.upscale(pixels);
 *     upscaler.dispose();
 *
 * Only our own WebGPU kernels run here: there is no other backend to fall back on.
 */
import { readFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { startOwn } from '../engine/own.js';
import { computeTiles, placeTile } from '../engine/tiles.js';
import { describe } from '../images/decode.js';
import { assemble, parse, readConfig } from '../network/model.js';

/** @typedef {import('../network/model.js').ModelArtifacts} ModelArtifacts */
/** @typedef {import('../network/model.js').SpanConfig} Config */

/**
 * @typedef {object} NodeOptions
 * @property {GPU} [gpu] by default that of `navigator`
 * @property {number} [tile] side of the tiles in pixels of the input
 * @property {'float32' | 'float16'} [precision] as in a page
 */

/**
 * @typedef {object} Image
 * @property {Uint8Array | Uint8ClampedArray} data RGBA, straight alpha
 * @property {number} width
 * @property {number} height
 */

/**
 * Load a model.
 * @param {string | URL | ModelArtifacts} model path or `file:` address of a `model.json`, or its content
 * @param {NodeOptions} [options]
 * @returns {Promise<NodeUpscaler>}
 * @throws {Error} the model cannot be used, there is no GPU, or it does not reproduce the model's self-check
 */
export async function loadUpscaler(model, { gpu, tile, precision } = {}) {
  if (!gpu && !globalThis.navigator?.gpu) {
    throw new Error(
      'Expected the option gpu, for Node has no WebGPU of its own; pass create([]) of the package webgpu.',
    );
  }
  const isPlace = typeof model === 'string' || model instanceof URL;
  const artifacts = isPlace ? await readModel(model) : model;
  const config = readConfig(artifacts);
  const network = await startOwn(artifacts, config, { gpu, precision });
  return new NodeUpscaler(network, config, Math.max(tile ?? network.tile, 2 * config.halo + 8));
}

/** A loaded model on the GPU; `loadUpscaler` makes one. */
export class NodeUpscaler {
  /**
   * @internal
   * @param {import('../engine/webgpu/network.js').GpuNetwork} network
   * @param {Config} config
   * @param {number} tile
   */
  constructor(network, config, tile) {
    this.network = network;
    this.config = config;
    this.tile = tile;
  }

  /**
   * Upscale one image.
   * @param {Image} image
   * @param {{signal?: AbortSignal, onProgress?: (progress: {done: number, total: number}) => void}} [options] as in a page
   * @returns {Promise<Image>}
   */
  async upscale({ data, width, height }, { signal, onProgress = () => {} } = {}) {
    if (data?.length !== width * height * 4) {
      throw new TypeError(`Expected RGBA, ${width}×${height}×4 values; found ${data?.length}.`);
    }
    const { scale } = this.config;
    const pixels = describe(width, height, new Uint8ClampedArray(data.buffer, data.byteOffset, data.length));
    const engine = { ...this, tf: null, backend: /** @type {const} */ ('webgpu'), lost: this.network.lost };
    const result = {
      data: new Uint8ClampedArray(data.length * scale ** 2),
      width: width * scale,
      height: height * scale,
    };
    for await (const part of computeTiles(engine, pixels, { signal })) {
      placeTile(part, result.data, result.width);
      onProgress(part.progress);
    }
    return result;
  }

  /** Free the GPU. */
  dispose() {
    this.network.dispose();
  }
}

/** @param {string | URL} place of a `model.json` @returns {Promise<ModelArtifacts>} */
async function readModel(place) {
  const path = /^file:/.test(String(place)) ? fileURLToPath(place) : String(place);
  const text = await readFile(path, 'utf8').catch(({ code }) => {
    throw new Error(`Expected a model.json at ${path}, found none that can be read (${code}); check the path.`);
  });
  const json = parse(text, path);
  return assemble(json, async (name) => new Uint8Array(await readFile(resolve(dirname(path), name))));
}
