/** Errors of a piece of work, kept from whoever else uses the device. */

/**
 * Do work whose errors are told to the caller alone, not to the page that owns the device.
 * @param {GPUDevice} device
 * @param {() => void} work that awaits nothing: scopes of the page's must not come between
 * @returns {Promise<GPUError | undefined>} the first error, once the browser knows
 * @throws {any} what the work throws
 */
export function guarded(device, work) {
  device.pushErrorScope('validation');
  device.pushErrorScope('out-of-memory');
  let failing = Promise.resolve(/** @type {(GPUError | null)[]} */ ([]));
  try {
    work();
  } finally {
    failing = Promise.all([device.popErrorScope(), device.popErrorScope()]);
    failing.catch(() => {}); // where the work throws, nobody awaits it
  }
  return failing.then((errors) => errors.find(Boolean) ?? undefined);
}
