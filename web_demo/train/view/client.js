/** The page's side of `../session/worker.js`. */

import { Thread } from '../../rpc.js';
import { TrainingError } from '../errors.js';

const MISSING = 'train/session/worker.js or a file that it needs could not be loaded';

/** The thread was ended because somebody wanted it to stop at once. */
export class TrainingEnded extends TrainingError {
  name = 'TrainingEnded';
}

/**
 * @param {(event: string, detail: any) => void} onEvent receives what the session sends
 * @returns {Thread} of a `TrainingSession`
 */
export function startThread(onEvent) {
  const worker = new Worker(new URL('../session/worker.js', import.meta.url), { type: 'module', name: 'training' });
  const explain = (reason) => new TrainingError(`The training thread stopped (${reason || MISSING}); reload the page.`);
  return new Thread(worker, { onEvent, explain });
}

/** The training session's thread, which can be ended in the middle of a step: what it had kept goes on in a new one. */
export class SessionThread {
  /** @type {Thread} */
  #thread;
  #onEvent;
  /** What the last thread kept and could not store. @type {object | null} */
  #unsaved = null;

  /** @param {(event: string, detail: any) => void} onEvent receives what the session sends */
  constructor(onEvent) {
    this.#onEvent = onEvent;
    this.#start();
  }

  /**
   * Call a method of `TrainingSession` that `../session/worker.js` serves.
   * @param {string} method
   * @param {unknown} [argument]
   * @returns {Promise<any>}
   */
  call(method, argument) {
    return this.#thread.call(method, argument);
  }

  /** End what runs, at once; calls under way reject with a `TrainingEnded`. */
  restart() {
    this.#thread.end(new TrainingEnded('The training was stopped in the middle of a step.'));
    this.#start();
    this.#thread.call('adopt', this.#unsaved).catch(() => {});
  }

  #start() {
    this.#thread = startThread((event, detail) => {
      if (event === 'saved') this.#unsaved = null;
      if (event === 'unsaved') this.#unsaved = detail.kept;
      this.#onEvent(event, detail);
    });
  }
}
