/** What whoever runs a network on a GPU may find. */
import { within } from '../limit.js';

/** The GPU took the work away: the context or device is gone, or its memory ran out. */
export class BackendLost extends Error {
  name = 'BackendLost';
}

/** The device itself is gone, as after a computer's sleep: a fresh one may do the same work. */
export class DeviceLost extends BackendLost {}

/** Milliseconds within which a browser tells that a device is lost whose work it gave up. */
const LOSS_LIMIT = 1000;

/**
 * Await what WebGPU answers. Where a device goes away, Firefox rejects with an `AbortError` before it says so, which
 * would pass for a cancel.
 * @template T
 * @param {Promise<T>} answer
 * @param {Promise<never>} lost rejects with a `BackendLost` if the device goes away or fails
 * @returns {Promise<T>}
 * @throws {BackendLost} in place of every `DOMException`
 */
export async function answerOf(answer, lost) {
  try {
    return await Promise.race([answer, lost]);
  } catch (error) {
    if (!(error instanceof DOMException)) throw error;
    const reason = await within(lost, LOSS_LIMIT, 'nothing was lost').catch((late) => late);
    throw reason instanceof BackendLost ? reason : new BackendLost(`WebGPU failed: ${error.message}`);
  }
}
