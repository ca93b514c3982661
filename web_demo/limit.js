/** Limits on waiting: browsers leave some promises open for ever where a worker, a GPU, a disk or a server fails. */

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
