/** The page's side of `../session/worker.js`. */

import { TrainingError } from '../errors.js';

export class TrainingClient {
  /** @param {(event: {type: string}) => void} onEvent */
  constructor(onEvent) {
    this.worker = new Worker(new URL('../session/worker.js', import.meta.url), { type: 'module' });
    this.waiting = new Map();
    this.nextId = 1;
    this.worker.onmessage = ({ data: { event, id, result, error } }) => {
      if (event) return onEvent(event);
      const { resolve, reject } = this.waiting.get(id);
      this.waiting.delete(id);
      return error ? reject(Object.assign(new TrainingError(error.message), { name: error.name })) : resolve(result);
    };
    this.worker.onerror = (event) => {
      event.preventDefault();
      const reason = event.message || 'train/session/worker.js or a file that it needs could not be loaded';
      this.failure = new TrainingError(`The training thread stopped (${reason}); reload the page.`);
      for (const { reject } of this.waiting.values()) reject(this.failure);
      this.waiting.clear();
    };
  }

  /** Call a method of `TrainingSession`: `peek`, `start`, `stop`, `export`, `keepNow` or `remove`. */
  call(method, argument) {
    if (this.failure) return Promise.reject(this.failure);
    const id = this.nextId++;
    return new Promise((resolve, reject) => {
      this.waiting.set(id, { resolve, reject });
      this.worker.postMessage({ id, method, argument });
    });
  }
}
