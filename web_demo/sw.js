/**
 * Keeps the page working offline after one visit: its files and the data beside it are kept when this worker is
 * installed, whatever the page fetches later as it passes. The network has the first word when there is one.
 * A new VERSION drops the files of the old one.
 */
const VERSION = '1';
const CACHE = `span-${VERSION}`;

/** The page's files; those that a set-up lacks (vendor/, perceptual/) are passed over. */
const FILES = [
  './', 'index.html', 'style.css', 'alpha.js', 'icon.svg', 'manifest.webmanifest', 'main.js', 'span.js', 'worker.js', 'engine.js',
  'backend.js', 'tf.js', 'libraries.js', 'model.js', 'model-files.js', 'network.js', 'webgpu.js', 'tiling.js', 'decode.js',
  'icc.js', 'color-space.js', 'png.js', 'checksum.js', 'database.js', 'store.js', 'measure.js', 'metrics.js', 'bicubic.js', 'ui/compare.js',
  'ui/download.js', 'ui/format.js', 'ui/intake.js', 'ui/measure.css', 'ui/measure.js', 'ui/pack.js', 'ui/queue.js',
  'ui/settings.js', 'ui/style.js', 'ui/tabs.js', 'ui/zip.js', 'train/chart.js', 'train/client.js', 'train/data.js', 'train/errors.js', 'train/form.js',
  'train/golden.js', 'train/history.js', 'train/init.js', 'train/network.js', 'train/optimizer.js',
  'train/photographs.js', 'train/random.js', 'train/sample-strip.js', 'train/samples.js', 'train/session.js',
  'train/settings.js', 'train/store.js', 'train/train.css', 'train/trainer.js', 'train/vgg-loss.js', 'train/view.js',
  'train/worker.js', 'vendor/tf-core.es2017.min.js', 'vendor/tf-layers.es2017.min.js',
  'vendor/tf-backend-cpu.es2017.min.js', 'vendor/tf-backend-wasm.es2017.min.js',
  'vendor/tf-backend-webgl.es2017.min.js', 'vendor/tf-backend-webgpu.es2017.min.js', 'vendor/tfjs-backend-wasm.wasm',
  'vendor/tfjs-backend-wasm-simd.wasm', 'vendor/tfjs-backend-wasm-threaded-simd.wasm', 'vendor/chart.umd.min.js',
]; // prettier-ignore

addEventListener('install', (event) => {
  const prepare = async () => {
    const cache = await caches.open(CACHE);
    await Promise.allSettled(FILES.map((file) => cache.add(file)));
    const features = keepModel(cache, 'perceptual/model.json');
    await Promise.allSettled([keepFirstModel(cache), keepSamples(cache), features]);
    await skipWaiting();
  };
  event.waitUntil(prepare());
});

addEventListener('activate', (event) => {
  const clean = async () => {
    const old = (await caches.keys()).filter((name) => name.startsWith('span-') && name !== CACHE);
    await Promise.all(old.map((name) => caches.delete(name)));
    await clients.claim();
  };
  event.waitUntil(clean());
});

/** The page names the model that it uses: on the first visit it has been fetched past this worker. */
addEventListener('message', (event) => {
  const prepare = async () => keepModel(await caches.open(CACHE), event.data.model);
  event.waitUntil(prepare().catch(() => {})); // offline, or no room: the page goes on without
});

addEventListener('fetch', (event) => {
  const { method, url } = event.request;
  // A model may lie on another site, so this is about more than the page's folder.
  if (/^https?:/.test(url) && (method === 'GET' || method === 'HEAD')) event.respondWith(answer(event.request));
});

async function answer(request) {
  const cache = await caches.open(CACHE);
  // The address bar's ?model= and ?backend= are the page's own business.
  const key = request.mode === 'navigate' ? request.url.split(/[?#]/)[0] : request.url;
  try {
    const response = await fetch(request);
    // A full storage is no reason to withhold what the network has answered.
    if (response.ok && request.method === 'GET') await cache.put(key, response.clone()).catch(() => {});
    return response;
  } catch (error) {
    const kept = await cache.match(key);
    if (kept) return kept;
    throw error;
  }
}

/** @returns {Promise<Response>} rejects for a file that is not there */
async function keep(cache, url) {
  if (!(await cache.match(url))) await cache.add(url);
  return cache.match(url);
}

async function keepModel(cache, address) {
  const url = new URL(address, registration.scope);
  const { weightsManifest } = await (await keep(cache, url)).json();
  await Promise.all(weightsManifest.flatMap(({ paths }) => paths).map((path) => keep(cache, new URL(path, url))));
}

/** The model that the page starts with, as `start` in main.js chooses it. */
async function keepFirstModel(cache) {
  const list = await keep(cache, 'models.json').catch(() => null);
  const { models } = list ? await list.json() : { models: [] };
  await keepModel(cache, models[0]?.url ?? 'model.json');
}

async function keepSamples(cache) {
  const { photos } = await (await keep(cache, 'samples/samples.json')).json();
  await Promise.all(photos.map(({ file }) => keep(cache, `samples/${file}`)));
}
