// What workers.mjs starts: a module in a scope like a browser's worker.
import { parentPort, workerData } from 'node:worker_threads';

Object.assign(globalThis, {
  self: globalThis,
  postMessage: (message, { transfer = [] } = {}) => parentPort.postMessage(message, transfer),
  addEventListener: (type, listener) => parentPort.on(type, (data) => listener({ data })),
});
await import(workerData);
