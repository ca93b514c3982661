/** Which size the training view begins with: the largest that this device can carry. */

import { LABELS } from '../../engine/backend.js';
import { longDuration } from '../../ui/format.js';
import { SIZES } from '../settings.js';
import { startThread } from './client.js';

/** Milliseconds that timing may take: a device that needs more carries the smallest size. */
const LIMIT = 15_000;

/**
 * @typedef {object} Proposal
 * @property {keyof typeof SIZES} size
 * @property {string} text why
 */

/** Times steps in a thread of its own, so that neither the view nor a training waits for it. */
export class Sizing {
  /** @type {import('../../rpc.js').Thread | null} */
  #thread = null;

  /**
   * @param {string | undefined} backend tried first
   * @returns {Promise<Proposal | null>} null if it was ended
   */
  async propose(backend) {
    const thread = startThread(() => {});
    this.#thread = thread;
    const timer = setTimeout(() => thread.end(), LIMIT);
    try {
      return describe(await thread.call('fitSize', backend));
    } catch {
      return this.#thread ? { size: 'quick', text: TOO_SLOW } : null;
    } finally {
      clearTimeout(timer);
      this.end();
    }
  }

  /** Nobody wants to know any more. */
  end() {
    const thread = this.#thread;
    this.#thread = null;
    thread?.end();
  }
}

/** @param {import('../session/timing.js').Fit} fit @returns {Proposal} */
function describe({ size, backend, beyond }) {
  if (!beyond) return { size, text: `This device is fast enough for ${SIZES[size].label} on ${LABELS[backend]}.` };
  const length = longDuration(beyond.milliseconds);
  const text = `${SIZES[beyond.size].label} would take about ${length} on ${LABELS[backend]} here, so ${SIZES[size].label} is chosen.`;
  return { size, text };
}

const TOO_SLOW = `A training step takes long here, so ${SIZES.quick.label} is chosen.`;
