/** Starts the worker of `span.js`, wherever that file and the page lie. */
import { Thread } from './rpc.js';

/** @typedef {import('./engine/running-model.js').Status} Status */

/** @typedef {{thread: Thread, onStatus: (status: Status) => void}} Launched */

/** A worker that was started before anybody asked for it. @type {Launched | null} */
let spare = null;

/** Start a worker for the first `startThread`, which then finds its modules loaded. */
export function prepareThread() {
  try {
    spare = launch();
  } catch {
    // `startThread` tries again, and its caller learns why it fails.
  }
}

/** @param {(status: Status) => void} onStatus called when the worker takes another backend or tile */
export function startThread(onStatus) {
  const launched = spare ?? launch();
  spare = null;
  launched.onStatus = onStatus;
  return launched.thread;
}

/** @returns {Launched} */
function launch() {
  const thread = new Thread(startWorker(), {
    onEvent: (event, status) => launched.onStatus(status),
    explain: (reason) =>
      new Error(`The worker stopped (${reason || 'worker.js or a file that it needs could not be loaded'}).`),
  });
  /** @type {Launched} */
  const launched = { thread, onStatus: () => {} };
  return launched;
}

/** @throws {Error} the page's security policy forbids it, or this is no page, as where a server renders one */
function startWorker() {
  if (!globalThis.Worker) {
    throw new Error(
      'Expected a browser, found no Worker; load the model in the page, or take span-upscaler/node in Node.',
    );
  }
  const options = /** @type {WorkerOptions} */ ({ type: 'module', name: 'span' });
  try {
    return new Worker(new URL('./worker.js', import.meta.url), { type: 'module', name: 'span' });
  } catch (error) {
    // Browsers start no worker of another site, such as a delivery network; one of this page may import it.
    const url = workerAddress();
    const isElsewhere = url.origin !== location.origin;
    const shim = new Blob([`import ${JSON.stringify(url.href)};`], { type: 'text/javascript' });
    const address = isElsewhere ? URL.createObjectURL(shim) : url.href;
    // A page that demands Trusted Types lets only its policies name scripts.
    const policy = /** @type {any} */ (globalThis).trustedTypes?.createPolicy('span-keras', {
      createScriptURL: (text) => text,
    });
    if (!isElsewhere && !policy) throw error;
    return new Worker(policy?.createScriptURL(address) ?? address, options);
  }
}

/** Bundlers put the worker's own address in place of such words, wherever they stand. */
function workerAddress() {
  class Worker {
    constructor(url, { type }) {
      Object.assign(this, { url, type });
    }
  }
  return new URL(/** @type {any} */ (new Worker(new URL('./worker.js', import.meta.url), { type: 'module' })).url);
}
