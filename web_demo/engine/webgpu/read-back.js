/** Reading what passes computed, and how they went. */
import { BackendLost, answerOf } from '../../network/lost.js';
import { guarded } from './guarded.js';
import { STATUS_BYTES } from './runner.js';
import { STATUS } from './shaders/epilogue.js';

/** `GPUMapMode.READ` */
const READ = 1;

/**
 * Submit work and read its end.
 * @param {import('./tile-buffers.js').TileBuffers} buffers
 * @param {Promise<never>} lost rejects with a `BackendLost` if the device goes away or fails
 * @param {number} bytes of the result
 * @param {(readable: GPUBuffer) => void} submit copies the result into the buffer, and behind it the status of its pass
 * @param {(bytes: Uint8Array) => void} use can read the result until it returns
 * @throws {BackendLost} the GPU failed, left pixels out, or computed what is not finite
 */
export async function readBack(buffers, lost, bytes, submit, use) {
  const whole = bytes + STATUS_BYTES;
  let readable = /** @type {any} */ (null);
  const failing = guarded(buffers.arena.device, () => {
    readable = buffers.takeReadable(whole);
    submit(readable);
  });
  const mapping = readable.mapAsync(READ, 0, whole).then(() => readable.getMappedRange(0, whole));
  mapping.catch(() => {}); // it fails when the scopes do
  try {
    const failure = await answerOf(failing, lost);
    if (failure) throw new BackendLost(`WebGPU failed: ${failure.message}`);
    const mapped = await answerOf(mapping, lost);
    checkStatus(new Uint32Array(mapped, bytes, 1)[0]);
    use(new Uint8Array(mapped, 0, bytes));
  } catch (error) {
    buffers.drop(readable);
    throw error;
  }
  readable.unmap();
  buffers.giveBack(readable);
}

/** @param {number} status of a pass @throws {BackendLost} its pixels cannot be used */
export function checkStatus(status) {
  if (status & STATUS.notFinite) throw new BackendLost('WebGPU returned values that are not numbers');
  if (status !== STATUS.done) throw new BackendLost('WebGPU did not compute all pixels of a tile');
}
