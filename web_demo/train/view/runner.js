/** One training from Start to Stop, as the page sees it: asked about if it takes long, ended if it does not listen. */

import { count } from '../../ui/format.js';
import { SIZES } from '../settings.js';
import { TrainingEnded } from './client.js';
import { TIMING_LIMIT, TOO_SLOW, describeLength } from './estimate.js';

/** Milliseconds for which a stop waits for the step under way. */
const STOP_LIMIT = 1500;
/** Milliseconds for which it then waits until the training is kept. */
const KEEP_LIMIT = 15_000;

export class Runner {
  /** What the thread does, from its preparation to its end; null while it does nothing. @type {object | null} */
  #run = null;
  #isTooSlow = false;
  /** What the user wants in place of a training that was not meant. @type {'quick' | 'nothing'} */
  #instead = 'nothing';
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  #session;
  #ask;

  /**
   * @param {import('./client.js').SessionThread} session
   * @param {ReturnType<typeof import('./question.js').mountQuestion>} ask
   */
  constructor(session, ask) {
    this.#session = session;
    this.#ask = ask;
  }

  /**
   * Train until the last step, a stop or an error.
   * @param {object} request as for `TrainingSession.start`
   * @returns {Promise<{finished?: boolean, step?: number, declined?: 'quick' | 'nothing'}>} `declined`: it takes too long,
   *   and that is wanted instead
   * @throws {TrainingEnded} it was stopped in the middle of a step
   */
  async start(request) {
    this.#run = {};
    try {
      const end = await this.#start(request);
      return end.declined ? { declined: this.#instead } : end;
    } finally {
      clearTimeout(this.#timer);
      this.#run = null;
      this.#instead = 'nothing';
    }
  }

  async #start(request) {
    try {
      return await this.#session.call('start', request);
    } catch (error) {
      if (!this.#isTooSlow) throw error;
      this.#isTooSlow = false;
      if (!(await this.#isMeant(TOO_SLOW))) return { declined: true };
      return this.#session.call('start', { ...request, untimed: true });
    }
  }

  /** A step is timed; a thread that does not come back from it is ended. */
  onTiming() {
    const run = this.#run;
    this.#timer = setTimeout(() => {
      this.#isTooSlow = run === this.#run;
      if (this.#isTooSlow) this.#session.restart();
    }, TIMING_LIMIT);
  }

  /** @param {Parameters<typeof describeLength>[0]} timed */
  async onTimed(timed) {
    clearTimeout(this.#timer);
    const warning = describeLength(timed);
    await this.#session.call('proceed', !warning || (await this.#isMeant(warning))).catch(() => {}); // it may be stopped
  }

  async #isMeant(warning) {
    const answer = await this.#ask(warning, 'Start Anyway', `Take ${SIZES.quick.label}`);
    if (answer === 'other') this.#instead = 'quick';
    return answer === 'yes';
  }

  /** Stop after the step under way, or in its middle if it takes long: the thread hears nothing then. */
  async stop() {
    const run = this.#run;
    const end = () => run && run === this.#run && this.#session.restart();
    const late = setTimeout(end, STOP_LIMIT);
    try {
      await this.#session.call('stop');
      clearTimeout(late);
      setTimeout(end, KEEP_LIMIT);
    } catch (error) {
      if (!(error instanceof TrainingEnded)) throw error;
    }
  }
}

/**
 * @param {Awaited<ReturnType<Runner['start']>>} end
 * @returns {string} a sentence
 */
export function describeEnd({ finished, step = 0, declined }) {
  if (declined === 'quick') return 'Start Training begins with these settings.';
  if (declined) return 'The training did not start.';
  const done = count(step);
  return finished ? `Finished after ${done} steps.` : `Stopped at step ${done}; Start Training goes on from here.`;
}
