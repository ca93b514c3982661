/**
 * Keeps the page working offline: what was fetched once is kept, the network has the first word when there is one.
 * A new VERSION drops the files of the old one.
 */
const VERSION = '1';
const CACHE = `span-${VERSION}`;

/** The page's files; those that a set-up lacks (vendor/, perceptual/) are passed over. */
const FILES = [
  './', 'style.css', 'alpha.js', 'icon.svg', 'manifest.webmanifest', 'main.js', 'span.js', 'worker.js', 'engine.js',
  'backend.js', 'tf.js', 'libraries.js', 'model.js', 'network.js', 'webgpu-kernels.js', 'tiling.js', 'decode.js',
  'icc.js', 'png.js', 'checksum.js', 'store.js', 'measure.js', 'metrics.js', 'bicubic.js', 'ui/compare.js',
  'ui/download.js', 'ui/format.js', 'ui/intake.js', 'ui/measure.js', 'ui/queue.js', 'ui/settings.js', 'ui/tabs.js',
  'ui/zip.js', 'train/chart.js', 'train/client.js', 'train/data.js', 'train/errors.js', 'train/form.js',
  'train/golden.js', 'train/history.js', 'train/init.js', 'train/network.js', 'train/optimizer.js',
  'train/photographs.js', 'train/random.js', 'train/sample-strip.js', 'train/samples.js', 'train/session.js',
  'train/settings.js', 'train/store.js', 'train/train.css', 'train/trainer.js', 'train/vgg-loss.js', 'train/view.js',
  'train/worker.js', 'vendor/tf-core.es2017.min.js', 'vendor/tf-layers.es2017.min.js',
  'vendor/tf-backend-cpu.es2017.min.js', 'vendor/tf-backend-wasm.es2017.min.js',
  'vendor/tf-backend-webgl.es2017.min.js', 'vendor/tf-backend-webgpu.es2017.min.js', 'vendor/tfjs-backend-wasm.wasm',
  'vendor/tfjs-backend-wasm-simd.wasm', 'vendor/tfjs-backend-wasm-threaded-simd.wasm', 'vendor/chart.umd.min.js',
]; // prettier-ignore

addEventListener('install', (event) => {
  const keep = async () => {
    const cache = await caches.open(CACHE);
    await Promise.allSettled(FILES.map((file) => cache.add(file)));
    await skipWaiting();
  };
  event.waitUntil(keep());
});

addEventListener('activate', (event) => {
  const clean = async () => {
    const old = (await caches.keys()).filter((name) => name.startsWith('span-') && name !== CACHE);
    await Promise.all(old.map((name) => caches.delete(name)));
    await clients.claim();
  };
  event.waitUntil(clean());
});

addEventListener('fetch', (event) => {
  const { request } = event;
  const own = new URL(request.url).href.startsWith(registration.scope);
  if (own && (request.method === 'GET' || request.method === 'HEAD')) event.respondWith(answer(request));
});

async function answer(request) {
  const cache = await caches.open(CACHE);
  try {
    const response = await fetch(request);
    if (response.ok && request.method === 'GET') await cache.put(request, response.clone());
    return response;
  } catch (error) {
    // The address bar's ?model= and ?backend= are the page's own business.
    const ignoreSearch = request.mode === 'navigate';
    const kept = await cache.match(request, { ignoreSearch, ignoreMethod: true });
    if (kept) return kept;
    throw error;
  }
}
