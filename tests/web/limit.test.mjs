/** Limits on waiting: for promises, for a worker's start, and for servers. */
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { after, afterEach, mock, test } from 'node:test';
import { inSlices, within } from '../../web_demo/limit.js';
import { fetchModel } from '../../web_demo/network/model.js';
import { Thread } from '../../web_demo/rpc.js';

afterEach(() => mock.timers.reset());

test('what comes in time is passed on, failures too', async () => {
  assert.equal(await within(Promise.resolve(5), 1000, 'Nothing came'), 5);
  await assert.rejects(within(Promise.reject(new Error('broken')), 1000, 'Nothing came'), { message: 'broken' });
});

test('what never comes is given up with a sentence', async () => {
  mock.timers.enable({ apis: ['setTimeout'] });
  const waiting = within(new Promise(() => {}), 2500, 'Nothing came');
  mock.timers.tick(2500);
  await assert.rejects(waiting, { name: 'TimeoutError', message: 'Nothing came within 2.5 s' });
});

test('other work has its turn during a long computation', async () => {
  let [now, turns] = [0, 0];
  mock.method(performance, 'now', () => (now += 3)); // a step takes this long
  const other = setImmediate(() => turns++);
  function* steps() {
    for (let i = 0; i < 40; i++) yield;
    return 'done';
  }
  assert.equal(await inSlices(steps()), 'done');
  clearImmediate(other);
  mock.restoreAll();
  assert.equal(turns, 1);
});

const silentWorker = () => ({ postMessage() {}, terminate() {} });

test('a worker that never starts counts as failed', async () => {
  mock.timers.enable({ apis: ['setTimeout'] });
  const thread = new Thread(silentWorker());
  const call = thread.call('echo', 1);
  mock.timers.tick(60_000);
  await assert.rejects(call, { message: 'The worker stopped (it did not start within 60 s).' });
});

test('a worker that has started may take its time', async () => {
  mock.timers.enable({ apis: ['setTimeout'] });
  const worker = silentWorker();
  const thread = new Thread(worker);
  worker.onmessage({ data: { serving: true } });
  const call = thread.call('echo', 1);
  mock.timers.tick(600_000);
  worker.onmessage({ data: { id: 1, result: 'late' } });
  assert.equal(await call, 'late');
});

const WEIGHTS = new Float32Array([1, 2]).buffer;
const MODEL = JSON.stringify({
  modelTopology: { model_config: { config: { layers: [] } } },
  weightsManifest: [{ paths: ['group1.bin'], weights: [{ name: 'a', shape: [2], dtype: 'float32' }] }],
});
const asked = [];
const server = createServer((request, response) => {
  asked.push(request.url);
  const { pathname, searchParams } = new URL(request.url, 'http://localhost');
  const folder = pathname.split('/')[1];
  const isModel = pathname.endsWith('.json');
  if (folder === 'page' || (folder === 'pageful' && !isModel)) return response.end('<!DOCTYPE html><p>Start</p>');
  if (folder === 'private' && searchParams.get('token') !== 'x') return response.writeHead(403).end();
  if (folder === 'broken') return response.writeHead(503).end();
  if (folder === 'silent') return response.write('{');
  response.end(isModel ? MODEL : Buffer.from(WEIGHTS));
});
await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
after(() => server.close() && server.closeAllConnections());
const address = (path) => `http://127.0.0.1:${server.address().port}/${path}`;

test("a token in the model's address goes along to its weights", async () => {
  const { weightData } = await fetchModel(address('private/model.json?token=x'));
  assert.deepEqual(new Float32Array(weightData), new Float32Array([1, 2]));
  assert.equal(asked.at(-1), '/private/group1.bin?token=x');
});

test('every way in which a server gives no model has its sentence', async () => {
  for (const [path, message] of [
    ['private/model.json', /model\.json was refused \(status 403\); check the rights and the address's token\.$/],
    ['broken/model.json', /model\.json could not be read \(status 503\); try again later\.$/],
    ['page/model.json', /model\.json is a web page; expected the model\.json that span-export writes/],
    ['pageful/model.json', /group1\.bin is a web page, not weights/],
  ]) {
    await assert.rejects(fetchModel(address(path)), { name: 'ModelError', message });
  }
});

test('a server that falls silent is given up', async () => {
  mock.timers.enable({ apis: ['setTimeout'] });
  const loading = fetchModel(address('silent/model.json'));
  while (asked.at(-1) !== '/silent/model.json') await new Promise(setImmediate);
  mock.timers.tick(30_000);
  await assert.rejects(loading, {
    message: /model\.json sent nothing for 30 s; check the address and the connection\.$/,
  });
});
