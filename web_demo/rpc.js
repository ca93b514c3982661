/**
 * The one protocol between the page and its workers: calls with an answer each, events on the way, and cancelling.
 *
 *     // worker.js
 *     serve({ async enlarge({ image }, { signal, emit }) { emit('progress', 0.5); return withTransfer(result, [buffer]); } });
 *     // the page
 *     const thread = new Thread(new Worker(...));
 *     const result = await thread.call('enlarge', { image }, { on: { progress: show }, signal });
 *     thread.end();
 *
 * | message                | from   | meaning                                                   |
 * | ---------------------- | ------ | --------------------------------------------------------- |
 * | {id, method, argument} | page   | call a method                                             |
 * | {abort}                | page   | the answer to the call of this id is no longer wanted     |
 * | {id, event, detail}    | worker | something happened in a call; without `id` it is of none  |
 * | {id, result}           | worker | the call's answer                                         |
 * | {id, error}            | worker | the call failed; `error` is `{name, message}`             |
 * | {serving}              | worker | it has started                                            |
 */

/** Milliseconds within which a worker has started: its modules come over the network. */
const START_LIMIT = 60_000;

/**
 * @typedef {object} Call what a method learns of its call, beside the argument
 * @property {AbortSignal} signal aborts when the caller loses interest
 * @property {(event: string, detail: unknown, transfer?: Transferable[]) => void} emit tells the caller of an event
 */

/** @typedef {(argument: any, call: Call) => unknown} Method its result, or that of its promise, is the answer */

/** @type {WeakMap<object, Transferable[]>} what goes along with an answer instead of being copied */
const transfers = new WeakMap();

/**
 * Let an answer's buffers, bitmaps or streams move to the caller instead of being copied.
 * @template {object} T
 * @param {T} result
 * @param {Transferable[]} transfer parts of it; the worker loses them
 * @returns {T} the same
 */
export function withTransfer(result, transfer) {
  transfers.set(result, transfer);
  return result;
}

/**
 * Send the page an event that belongs to no call. In a worker only.
 * @param {string} event
 * @param {unknown} detail
 */
export const notify = (event, detail) => self.postMessage({ event, detail });

/**
 * Answer the page's calls. In a worker only.
 * @param {Record<string, Method>} methods what can be called; nothing else of the worker can
 * @param {(error: any) => void} [onError] called with what a method throws, before the page is told
 */
export function serve(methods, onError = () => {}) {
  /** @type {Map<number, AbortController>} calls under way */
  const controllers = new Map();
  self.addEventListener('message', async ({ data: { id, method, argument, abort } }) => {
    if (abort) return controllers.get(abort)?.abort();
    const controller = new AbortController();
    controllers.set(id, controller);
    const { signal } = controller;
    /** @type {Call['emit']} */
    const emit = (event, detail, transfer = []) => self.postMessage({ id, event, detail }, { transfer });
    try {
      if (!Object.hasOwn(methods, method)) throw new TypeError(`This worker has no method ${method}.`);
      const result = await methods[method](argument, { signal, emit });
      self.postMessage({ id, result }, { transfer: transfers.get(/** @type {object} */ (result)) ?? [] });
    } catch (error) {
      onError(error);
      self.postMessage({ id, error: { name: error?.name, message: String(error?.message ?? error) } });
    } finally {
      controllers.delete(id);
    }
  });
  self.postMessage({ serving: true });
}

/** The page's side of a worker that runs `serve`. */
export class Thread {
  /** @type {Worker} */
  #worker;
  /** @type {Map<number, {resolve: (result: any) => void, reject: (error: any) => void, on: Record<string, ((detail: any) => void) | undefined>}>} */
  #calls = new Map();
  #lastId = 0;
  /** @type {Error | null} why nothing will be answered any more */
  #ended = null;
  /** Of the limit on the worker's start. @type {ReturnType<typeof setTimeout>} */
  #starting;

  /**
   * @param {Worker} worker not used otherwise; one that does not start within a minute counts as failed
   * @param {object} [options]
   * @param {(event: string, detail: any) => void} [options.onEvent] receives events that belong to no call
   * @param {(reason: string) => Error} [options.explain] what calls reject with after the worker has failed; the
   *   reason is empty where the browser tells none, as for a file that could not be loaded
   */
  constructor(worker, { onEvent = () => {}, explain = (reason) => new Error(`The worker stopped (${reason}).`) } = {}) {
    this.#worker = worker;
    const isLate = () => this.end(explain(`it did not start within ${START_LIMIT / 1000} s`));
    this.#starting = setTimeout(isLate, START_LIMIT);
    worker.onmessage = ({ data: { id, event, detail, result, error } }) => {
      clearTimeout(this.#starting);
      const call = this.#calls.get(id);
      if (event && id === undefined) return onEvent(event, detail);
      if (event) return call?.on[event]?.(detail);
      this.#calls.delete(id);
      if (error) call?.reject(revive(error));
      else call?.resolve(result);
    };
    worker.onerror = (event) => {
      event.preventDefault();
      this.end(explain(event.message ?? ''));
    };
    worker.onmessageerror = () => this.end(explain('a message could not be read'));
  }

  /**
   * Call a method of the worker.
   * @param {string} method
   * @param {unknown} [argument] anything that can be cloned
   * @param {object} [options]
   * @param {Record<string, ((detail: any) => void) | undefined>} [options.on] receives the call's events by name
   * @param {Transferable[]} [options.transfer] parts of the argument that move to the worker
   * @param {AbortSignal} [options.signal] tells the worker that the answer is no longer wanted. The promise rejects when
   *   the worker has stopped, so that the next call finds it free; `end` does not wait.
   * @returns {Promise<any>} rejects with an error of the `name` and `message` that the method threw, with the signal's
   *   reason even if the answer was on its way, and with why the worker ended
   */
  async call(method, argument, { on = {}, transfer = [], signal } = {}) {
    if (this.#ended) throw this.#ended;
    signal?.throwIfAborted();
    const id = ++this.#lastId;
    const abort = () => this.#worker.postMessage({ abort: id });
    const answer = new Promise((resolve, reject) => this.#calls.set(id, { resolve, reject, on }));
    signal?.addEventListener('abort', abort, { once: true });
    try {
      this.#worker.postMessage({ id, method, argument }, transfer);
      const result = await answer;
      signal?.throwIfAborted(); // the worker may have finished before it heard of it
      return result;
    } finally {
      this.#calls.delete(id); // it is there still if the argument could not be cloned
      signal?.removeEventListener('abort', abort);
    }
  }

  /**
   * End the worker at once, whatever it does, and free all that it holds.
   * @param {Error} [reason] with which calls under way and later ones reject
   */
  end(reason = new DOMException('The worker was ended.', 'AbortError')) {
    clearTimeout(this.#starting);
    this.#worker.terminate();
    this.#ended ??= reason;
    for (const { reject } of this.#calls.values()) reject(this.#ended);
    this.#calls.clear();
  }
}

/**
 * An error as the worker threw it, as far as it can cross.
 * @param {{name?: string, message: string}} error
 * @returns {Error}
 */
function revive({ name = 'Error', message }) {
  return name === 'AbortError' ? new DOMException(message, name) : Object.assign(new Error(message), { name });
}
