/** The training session's own thread. A request `{id, method, argument}` is answered with `{id, result}` or `{id, error}`. */

import { TrainingSession } from './session.js';

const METHODS = new Set(['peek', 'start', 'stop', 'export', 'keepNow', 'remove']);
const session = new TrainingSession((event) => self.postMessage({ event }));

self.onmessage = async ({ data: { id, method, argument } }) => {
  if (!METHODS.has(method)) return;
  try {
    self.postMessage({ id, result: await session[method](argument) });
  } catch (error) {
    if (!['TrainingError', 'ModelError', 'StorageError', 'DamagedError'].includes(error.name)) console.error(error);
    self.postMessage({ id, error: { name: error.name, message: error.message } });
  }
};
