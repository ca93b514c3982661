/** What is said before a training that would take very long here. */

import { LABELS } from '../../engine/backend.js';
import { count, longDuration } from '../../ui/format.js';
import { SIZES } from '../settings.js';

/** Milliseconds that timing a step may take: a device that needs more is slow enough. */
export const TIMING_LIMIT = 20_000;
/** Milliseconds of a step, and of a training, from which on it is asked whether that is meant. */
const SLOW_STEP = 5000;
const SLOW_TRAINING = 12 * 3600_000;

/**
 * @param {{backend: import('../../engine/backend.js').BackendName, milliseconds: number, steps: number}} timed what the
 *   session tells of a step and the steps to come
 * @returns {string} how long the training takes and what to choose instead; empty if it is not long
 */
export function describeLength({ backend, milliseconds, steps }) {
  if (milliseconds < SLOW_STEP && milliseconds * steps < SLOW_TRAINING) return '';
  const all = `${longDuration(milliseconds * steps)} for ${count(steps)} steps`;
  return `This device needs about ${longDuration(milliseconds)} per step on ${LABELS[backend]}: ${all}. ${ADVICE}`;
}

const { network, settings } = SIZES.quick;
const ADVICE =
  `The size ${SIZES.quick.label} trains a new ×${network.scale} network of ${network.channels} channels and ` +
  `${network.blocks} blocks, with patches of ${settings.patch} pixels.`;

/** For a device that did no step in time. */
export const TOO_SLOW = `A step takes more than ${TIMING_LIMIT / 1000} s here, even with a small patch. ${ADVICE}`;
