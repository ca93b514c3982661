// The `Worker` of browsers for Node, over its own threads.
import { Worker as NodeWorker } from 'node:worker_threads';

const THREAD = new URL('./thread.mjs', import.meta.url);

/** As far as `web_demo/rpc.js` needs it. */
export class Worker extends NodeWorker {
  /** @param {URL} url a module */
  constructor(url) {
    super(THREAD, { workerData: url.href });
    this.on('message', (data) => this.onmessage?.({ data }));
    this.on('error', ({ message }) => this.onerror?.({ message, preventDefault: () => {} }));
  }
}
