/**
 * Limits on waiting: browsers leave some promises open for ever where a worker, a GPU, a disk or a server fails. And on
 * keeping a thread's other work waiting.
 */

/** Milliseconds after which a long computation lets the thread's other work be done: half of a frame. */
const SLICE = 8;

/**
 * Await work, but not for ever. The work itself goes on.
 * @template T
 * @param {Promise<T>} work
 * @param {number} milliseconds
 * @param {string} what did not happen, as a sentence without its full stop: "The worker did not start"
 * @returns {Promise<T>} rejects with a `TimeoutError` when the time is over
 */
export async function within(work, milliseconds, what) {
  let timer;
  const limit = new Promise((resolve, reject) => {
    const late = () => reject(new DOMException(`${what} within ${milliseconds / 1000} s`, 'TimeoutError'));
    timer = setTimeout(late, milliseconds);
  });
  try {
    return await Promise.race([work, limit]);
  } finally {
    clearTimeout(timer);
    Promise.resolve(work).catch(() => {}); // it may fail later, when nobody listens any more
  }
}

/**
 * Let messages (a cancel among them) be handled between two pieces of work; `setTimeout` would wait for 4 ms.
 * @returns {Promise<void>}
 */
export function nextTask() {
  return new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      resolve();
    };
    port2.postMessage(null);
  });
}

/**
 * Take all steps of a long computation, and let other work of the thread be done between them.
 * @template T
 * @param {Generator<void, T, void>} steps
 * @returns {Promise<T>} what they return
 */
export async function inSlices(steps) {
  for (let since = performance.now(); ;) {
    const { done, value } = steps.next();
    if (done) return value;
    if (performance.now() - since < SLICE) continue;
    await nextTask();
    since = performance.now();
  }
}
