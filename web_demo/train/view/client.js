/** The page's side of `../session/worker.js`. */

import { Thread } from '../../rpc.js';
import { TrainingError } from '../errors.js';

const MISSING = 'train/session/worker.js or a file that it needs could not be loaded';

/**
 * Start the training session's thread; its methods are `peek`, `start`, `stop`, `export`, `keepNow` and `remove` of
 * `TrainingSession`.
 * @param {(event: string, detail: any) => void} onEvent receives what the session sends
 * @returns {Thread}
 */
export function startSession(onEvent) {
  return new Thread(
    new Worker(new URL('../session/worker.js', import.meta.url), { type: 'module', name: 'training' }),
    {
      onEvent,
      explain: (reason) => new TrainingError(`The training thread stopped (${reason || MISSING}); reload the page.`),
    },
  );
}
