/** A WebGPU device of our own, with what the kernels can use and nothing more. */
import { BackendLost, DeviceLost } from '../../network/lost.js';

/** Larger ones than WebGPU promises let larger shapes and tiles be used. */
const LIMITS = [
  'maxComputeWorkgroupStorageSize',
  'maxStorageBufferBindingSize',
  'maxBufferSize',
  'maxTextureDimension2D',
];

/** What products of matrices need; browsers have the last one behind a flag. */
const FEATURES = /** @type {any[]} */ (['shader-f16', 'subgroups', 'chromium-experimental-subgroup-matrix']);

/** @typedef {'float32' | 'float16'} Precision of the factors; sums are always float32 */

/** What an adapter is called of which the browser tells nothing, as Firefox does of all. */
export const UNNAMED = 'unnamed adapter';

/**
 * @typedef {object} Gpu
 * @property {GPUDevice} device
 * @property {string} name of the adapter, as far as the browser tells
 * @property {boolean} software whether it computes on the CPU
 * @property {import('./shaders/matrix.js').Matrix | null} matrix that it multiplies at once, if that was asked for
 * @property {boolean} owned whether to destroy the device when the work is done
 * @property {Promise<never>} lost rejects with a `BackendLost` if the device goes away, or fails and is our own
 */

/**
 * Open a device.
 * @param {object} [options]
 * @param {Record<string, number>} [options.limits] to be requested in place of the adapter's
 * @param {GPUDevice} [options.device] of somebody else, to be used in place of an own one
 * @param {GPU} [options.gpu] by default the browser's
 * @param {Precision} [options.precision] the lowest that kernels may have
 * @returns {Promise<Gpu>}
 * @throws {Error} there is no WebGPU here, or not with these limits
 */
export async function openDevice({ limits = {}, device, gpu = globalThis.navigator?.gpu, precision = 'float32' } = {}) {
  const tell = (opened, info, owned) => {
    const matrix = precision === 'float16' ? matrixOf(opened.features, info) : null;
    return { ...describe(opened, info), matrix, owned, lost: watch(opened, owned) };
  };
  if (device) return tell(device, device.adapterInfo, false);
  if (!gpu) throw new Error('this browser has no WebGPU');
  const adapter = await gpu.requestAdapter({ powerPreference: 'high-performance' });
  if (!adapter) throw new Error('this browser offers no WebGPU adapter');
  const wanted = Object.fromEntries(LIMITS.map((name) => [name, adapter.limits[name]]));
  const requiredFeatures = precision === 'float16' && matrixOf(adapter.features, adapter.info) ? FEATURES : [];
  const opened = await adapter.requestDevice({ requiredFeatures, requiredLimits: { ...wanted, ...limits } });
  return tell(opened, adapter.info, true);
}

/** What programs that play a GPU call themselves. */
const SOFTWARE = /swiftshader|llvmpipe|lavapipe|softpipe|software|basic render/i;

/** @param {string} name of a GPU @returns {boolean} whether it is a program */
export const isSoftware = (name) => SOFTWARE.test(name);

/**
 * What an adapter or device multiplies at once: factors of f16 to sums of f32, whose blocks follow each other from one
 * convolution to the next.
 * @param {{has: (name: any) => boolean}} features
 * @param {any} [info] of which TypeScript does not know all
 * @returns {import('./shaders/matrix.js').Matrix | null}
 */
export function matrixOf(features, { subgroupMatrixConfigs = [], subgroupMinSize, subgroupMaxSize } = {}) {
  if (!FEATURES.every((name) => features.has(name)) || subgroupMinSize !== subgroupMaxSize) return null;
  const fit = [...subgroupMatrixConfigs].find(({ componentType, resultComponentType, N, K }) => {
    return componentType === 'f16' && resultComponentType === 'f32' && N === K && N % 4 === 0;
  });
  return fit ? { pixels: fit.M, block: fit.N, lanes: subgroupMinSize } : null;
}

/** @param {GPUDevice} device @param {GPUAdapterInfo} info */
function describe(device, info) {
  const name = nameOf(info);
  return {
    device,
    name: name || UNNAMED,
    software: Boolean(info?.isFallbackAdapter) || isSoftware(name),
  };
}

/** @param {Partial<GPUAdapterInfo>} [info] @returns {string} what the browser tells of an adapter */
export const nameOf = ({ vendor, architecture, device, description } = {}) =>
  [vendor, architecture, device, description].filter(Boolean).join(' ');

/**
 * @param {GPUDevice} device
 * @param {boolean} owned an error that nobody expects is then ours; on another's device it may be anybody's
 * @returns {Promise<never>}
 */
function watch(device, owned) {
  /** @type {Promise<never>} */
  const lost = new Promise((resolve, reject) => {
    device.lost.then(({ message, reason }) => {
      reject(new DeviceLost(`WebGPU was lost: ${message || reason || 'the device went away'}`));
    });
    if (!owned) return;
    device.addEventListener?.('uncapturederror', ({ error }) => {
      reject(new BackendLost(`WebGPU failed: ${error.message}`));
    });
  });
  lost.catch(() => {}); // whoever races against it handles it
  return lost;
}
