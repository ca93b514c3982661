/** The protocol over a MessageChannel: answers, errors, events, transfers, cancelling and the end. Workers: tests/browser. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { Thread, notify, serve, withTransfer } from '../../web_demo/rpc.js';

/** An answer that never comes fails its test. */
const BOUNDED = { timeout: 20_000 };
const ports = [];
after(() => ports.forEach((port) => port.close()));

/** A `Thread` whose worker is the other end of a channel, where `methods` are served. */
function connect(methods, { onError, ...options } = {}) {
  const { port1, port2 } = new MessageChannel();
  ports.push(port1, port2);
  globalThis.self = {
    addEventListener: (type, listener) => {
      port2.addEventListener(type, listener);
      port2.start();
    },
    postMessage: (message, { transfer = [] } = {}) => port2.postMessage(message, transfer),
  };
  serve(methods, onError);
  const worker = port1;
  worker.terminate = () => port1.close();
  return { thread: new Thread(worker, options), worker };
}

/** Methods that wait until they are told, and tell that they wait. */
function waiting() {
  let begin;
  const begun = new Promise((resolve) => (begin = resolve));
  const wait = (argument, { signal }) =>
    new Promise((resolve, reject) => {
      begin();
      signal.addEventListener('abort', () => reject(signal.reason));
    });
  return { methods: { wait, echo: (argument) => argument }, begun };
}

test('answers come to their calls, in whatever order they are given', BOUNDED, async () => {
  const release = [];
  const later = (argument) => new Promise((resolve) => release.push(() => resolve(argument)));
  const { thread } = connect({
    later,
    now(argument) {
      release.reverse().forEach((one) => one());
      return argument;
    },
  });
  const calls = [thread.call('later', 1), thread.call('later', { two: [2] }), thread.call('now', 'three')];
  assert.deepEqual(await Promise.all(calls), [1, { two: [2] }, 'three']);
});

test('an error keeps its name and message, and the worker learns of it', BOUNDED, async () => {
  const failures = [];
  const methods = {
    throws() {
      throw Object.assign(new TypeError('wrong'), { name: 'ModelError' });
    },
    // eslint-disable-next-line prefer-promise-reject-errors -- others' code may do so
    rejects: () => Promise.reject('no error object'),
    aborts: () => Promise.reject(new DOMException('enough', 'AbortError')),
  };
  const { thread } = connect(methods, { onError: (error) => failures.push(String(error)) });
  await assert.rejects(thread.call('throws'), { name: 'ModelError', message: 'wrong' });
  await assert.rejects(thread.call('rejects'), { name: 'Error', message: 'no error object' });
  const aborted = await thread.call('aborts').catch((error) => error);
  assert.ok(aborted instanceof DOMException);
  assert.equal(aborted.name, 'AbortError');
  assert.deepEqual(failures, ['ModelError: wrong', 'no error object', 'AbortError: enough']);
});

test('what cannot be called or sent rejects, and disturbs no other call', BOUNDED, async () => {
  const { thread } = connect({ echo: (argument) => argument, unclonable: () => () => {} });
  const other = thread.call('echo', 'kept');
  await assert.rejects(thread.call('missing'), { name: 'TypeError', message: 'This worker has no method missing.' });
  await assert.rejects(thread.call('toString'), { name: 'TypeError' });
  await assert.rejects(
    thread.call('echo', () => {}),
    { name: 'DataCloneError' },
  );
  await assert.rejects(thread.call('unclonable'), { name: 'DataCloneError' });
  assert.equal(await other, 'kept');
});

test('events come to their calls, and others to the thread', BOUNDED, async () => {
  const told = [];
  const methods = {
    count({ to }, { emit }) {
      for (let i = 0; i < to; i++) emit('counted', i);
      emit('unheard', null);
      return to;
    },
    announce: (argument) => notify('announced', argument),
  };
  const { thread } = connect(methods, { onEvent: (...event) => told.push(event) });
  const counts = [[], []];
  const calls = [2, 3].map((to, i) => thread.call('count', { to }, { on: { counted: (n) => counts[i].push(n) } }));
  assert.deepEqual(await Promise.all(calls), [2, 3]);
  assert.deepEqual(counts, [
    [0, 1],
    [0, 1, 2],
  ]);
  await thread.call('announce', { a: 1 });
  assert.deepEqual(told, [['announced', { a: 1 }]]);
});

test('buffers move both ways instead of being copied', BOUNDED, async () => {
  const given = new Uint8Array([1, 2, 3]);
  const { thread } = connect({
    double(bytes) {
      const result = bytes.map((byte) => 2 * byte);
      return withTransfer({ result }, [result.buffer]);
    },
  });
  const { result } = await thread.call('double', given, { transfer: [given.buffer] });
  assert.deepEqual([...result], [2, 4, 6]);
  assert.equal(given.length, 0);
});

test('a signal stops a call and no other', BOUNDED, async () => {
  const { methods, begun } = waiting();
  const { thread } = connect(methods);
  const controller = new AbortController();
  const reason = new Error('changed my mind');
  const call = thread.call('wait', null, { signal: controller.signal });
  await begun;
  controller.abort(reason);
  await assert.rejects(call, { name: 'AbortError' });
  assert.equal(await thread.call('echo', 1), 1);
  await assert.rejects(thread.call('echo', 1, { signal: controller.signal }), reason);
});

test('a signal that comes while the answer is on its way still counts', BOUNDED, async () => {
  const { thread } = connect({ echo: (argument) => argument });
  const controller = new AbortController();
  const call = thread.call('echo', 1, { signal: controller.signal });
  controller.abort();
  await assert.rejects(call, { name: 'AbortError' });
});

test('the end rejects calls under way and later ones', BOUNDED, async () => {
  const { methods, begun } = waiting();
  const { thread } = connect(methods);
  const call = thread.call('wait');
  await begun;
  const reason = new Error('disposed of');
  thread.end(reason);
  thread.end(); // a second end changes nothing
  await assert.rejects(call, reason);
  await assert.rejects(thread.call('echo', 1), reason);
});

test('a worker that fails is explained', BOUNDED, async () => {
  const explain = (reason) => new Error(`stopped: ${reason || 'nobody knows'}`);
  for (const [fail, message] of [
    [(worker) => worker.onerror({ message: 'out of memory', preventDefault() {} }), 'stopped: out of memory'],
    [(worker) => worker.onerror({ preventDefault() {} }), 'stopped: nobody knows'],
    [(worker) => worker.onmessageerror(), 'stopped: a message could not be read'],
  ]) {
    const { methods, begun } = waiting();
    const { thread, worker } = connect(methods, { explain });
    const call = thread.call('wait');
    await begun;
    fail(worker);
    await assert.rejects(call, { message });
  }
});
