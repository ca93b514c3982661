/** The training session's own thread. A request `{id, method, argument}` is answered with `{id, result}` or `{id, error}`. */

import { TrainingError } from '../errors.js';
import { TrainingSession } from './session.js';

const METHODS = new Set(['peek', 'start', 'stop', 'export', 'keepNow', 'remove']);
const session = new TrainingSession((event) => self.postMessage({ event }));

self.onmessage = async ({ data: { id, method, argument } }) => {
  if (!METHODS.has(method)) return;
  try {
    self.postMessage({ id, result: await session[method](argument) });
  } catch (error) {
    if (!(error instanceof TrainingError) && error.name !== 'ModelError') console.error(error);
    self.postMessage({ id, error: { name: error.name, message: error.message } });
  }
};
