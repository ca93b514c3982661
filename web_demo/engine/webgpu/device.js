/** A WebGPU device of our own, with what the kernels can use and nothing more. */
import { BackendLost, DeviceLost } from '../../network/lost.js';

/** Larger ones than WebGPU promises let larger shapes and tiles be used. */
const LIMITS = [
  'maxComputeWorkgroupStorageSize',
  'maxStorageBufferBindingSize',
  'maxBufferSize',
  'maxTextureDimension2D',
];

/**
 * @typedef {object} Gpu
 * @property {GPUDevice} device
 * @property {string} name of the adapter, as far as the browser tells
 * @property {boolean} software whether it computes on the CPU
 * @property {boolean} owned whether to destroy the device when the work is done
 * @property {Promise<never>} lost rejects with a `BackendLost` if the device goes away or fails
 */

/**
 * Open a device.
 * @param {object} [options]
 * @param {Record<string, number>} [options.limits] to be requested in place of the adapter's
 * @param {GPUDevice} [options.device] of somebody else, to be used in place of an own one
 * @param {GPU} [options.gpu] by default the browser's
 * @returns {Promise<Gpu>}
 * @throws {Error} there is no WebGPU here, or not with these limits
 */
export async function openDevice({ limits = {}, device, gpu = globalThis.navigator?.gpu } = {}) {
  if (device) return describe(device, device.adapterInfo, false);
  if (!gpu) throw new Error('this browser has no WebGPU');
  const adapter = await gpu.requestAdapter({ powerPreference: 'high-performance' });
  if (!adapter) throw new Error('this browser offers no WebGPU adapter');
  const wanted = Object.fromEntries(LIMITS.map((name) => [name, adapter.limits[name]]));
  return describe(await adapter.requestDevice({ requiredLimits: { ...wanted, ...limits } }), adapter.info, true);
}

/** What programs that play a GPU call themselves. */
const SOFTWARE = /swiftshader|llvmpipe|lavapipe|softpipe|software|basic render/i;

/** @param {string} name of a GPU @returns {boolean} whether it is a program */
export const isSoftware = (name) => SOFTWARE.test(name);

/** @param {GPUDevice} device @param {GPUAdapterInfo} info @param {boolean} owned @returns {Gpu} */
function describe(device, info, owned) {
  const name = nameOf(info);
  return {
    device,
    name: name || 'unnamed adapter',
    software: Boolean(info?.isFallbackAdapter) || isSoftware(name),
    owned,
    lost: watch(device),
  };
}

/** @param {Partial<GPUAdapterInfo>} [info] @returns {string} what the browser tells of an adapter */
export const nameOf = ({ vendor, architecture, device, description } = {}) =>
  [vendor, architecture, device, description].filter(Boolean).join(' ');

/** @returns {Promise<never>} */
function watch(device) {
  /** @type {Promise<never>} */
  const lost = new Promise((resolve, reject) => {
    device.lost.then(({ message, reason }) => {
      reject(new DeviceLost(`WebGPU was lost: ${message || reason || 'the device went away'}`));
    });
    device.addEventListener?.('uncapturederror', ({ error }) => {
      reject(new BackendLost(`WebGPU failed: ${error.message}`));
    });
  });
  lost.catch(() => {}); // whoever races against it handles it
  return lost;
}
