/** What is said before a training that would take very long here. */

import { LABELS } from '../../engine/backend.js';
import { within } from '../../limit.js';
import { longDuration } from '../../ui/format.js';
import { SIZES } from '../settings.js';
import { TrainingEnded } from './client.js';

/** Milliseconds that timing a step may take; a device that needs more is slow enough. */
const LIMIT = 20_000;
/** Milliseconds of a step, and of a training, from which on it is asked whether that is meant. */
const SLOW_STEP = 5000;
const SLOW_TRAINING = 12 * 3600_000;

/**
 * Time a step, and ask whether the training is meant if it would take long.
 * @param {import('./client.js').SessionThread} session is started anew if it does not answer
 * @param {{settings: import('../settings.js').Settings}} request as for `TrainingSession.start`
 * @param {number} done steps that are done already
 * @param {ReturnType<typeof import('./question.js').mountQuestion>} ask
 * @returns {Promise<'yes' | 'other' | 'no'>} 'other': the size Quick is wanted instead
 * @throws {Error} the training cannot start
 */
export async function confirmLength(session, request, done, ask) {
  const warning = await warnOfLength(session, request, done);
  return warning ? ask(warning, 'Start Anyway', `Take ${SIZES.quick.label}`) : 'yes';
}

/** @returns {Promise<string>} a sentence; empty if the training does not take long */
async function warnOfLength(session, request, done) {
  const { settings } = request;
  const steps = settings.epochs * settings.stepsPerEpoch - done;
  let found;
  try {
    found = await within(session.call('estimate', request), LIMIT, 'no step was done');
  } catch (error) {
    if (error.name !== 'TimeoutError') throw error;
    session.restart();
    return `A step takes more than ${LIMIT / 1000} s here, even with a small patch. ${advice()}`;
  }
  const { backend, milliseconds } = found;
  if (milliseconds < SLOW_STEP && milliseconds * steps < SLOW_TRAINING) return '';
  const all = `${longDuration(milliseconds * steps)} for ${steps.toLocaleString('en')} steps`;
  return `This device needs about ${longDuration(milliseconds)} per step on ${LABELS[backend]}: ${all}. ${advice()}`;
}

/** @param {unknown} error */
export const isEnded = (error) => error instanceof TrainingEnded;

function advice() {
  const { network, settings } = SIZES.quick;
  return (
    `The size ${SIZES.quick.label} trains a new ×${network.scale} network of ${network.channels} channels and ` +
    `${network.blocks} blocks, with patches of ${settings.patch} pixels.`
  );
}
