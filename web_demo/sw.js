/**
 * Keeps the page working offline after one visit: its files and the data beside it are kept when this worker is
 * installed, whatever the page fetches later as it passes. The network has the first word when there is one.
 * A new VERSION drops the files of the old one.
 */
const VERSION = '4';
const CACHE = `span-${VERSION}`;

// prettier-ignore
/**
 * The page's files; those that a set-up lacks (vendor/, perceptual/) are passed over. The codecs of images are not among
 * them, for few browsers need them; they are kept as they pass.
 */
const FILES = [
  './', 'index.html', 'style.css', 'icon.svg', 'manifest.webmanifest', 'main.js', 'rpc.js', 'span.js', 'constants.js',
  'early.js', 'errors.js', 'launch.js', 'limit.js', 'options.js', 'worker.js',
  'engine/ahead.js', 'engine/backend.js', 'engine/codecs.js', 'engine/decode.js', 'engine/engine.js',
  'engine/ensemble.js', 'engine/frames.js', 'engine/hardware.js', 'engine/libraries.js', 'engine/measure.js',
  'engine/own.js', 'engine/png-threads.js', 'engine/png-worker.js', 'engine/png.js', 'engine/region.js',
  'engine/remembered.js', 'engine/run.js', 'engine/running-model.js', 'engine/tf.js', 'engine/tiles.js',
  'engine/webgpu/arena.js', 'engine/webgpu/check.js', 'engine/webgpu/device.js', 'engine/webgpu/network.js',
  'engine/webgpu/packing.js', 'engine/webgpu/plan.js', 'engine/webgpu/program.js', 'engine/webgpu/runner.js',
  'engine/webgpu/sets.js', 'engine/webgpu/tile-buffers.js', 'engine/webgpu/tile.js', 'engine/webgpu/tune.js',
  'engine/webgpu/weights.js',
  'engine/webgpu/shaders/direct.js', 'engine/webgpu/shaders/epilogue.js', 'engine/webgpu/shaders/first.js',
  'engine/webgpu/shaders/layout.js', 'engine/webgpu/shaders/matrix.js', 'engine/webgpu/shaders/plain.js',
  'engine/webgpu/shaders/source.js', 'engine/webgpu/shaders/winograd.js',
  'checkpoints/authors.js', 'checkpoints/detect.js', 'checkpoints/model-files.js', 'checkpoints/reparam.js',
  'checkpoints/safetensors.js', 'checkpoints/torch-file.js', 'checkpoints/trial.js',
  'images/alike.js', 'images/alpha.js', 'images/bicubic.js', 'images/canvas.js', 'images/color-space.js',
  'images/containers.js', 'images/decode.js', 'images/formats.js', 'images/icc.js', 'images/kinds.js',
  'images/metrics.js', 'images/orientation.js', 'images/pixels.js', 'images/png.js', 'images/reduce.js',
  'images/source.js', 'images/tiling.js',
  'metadata/boxes.js', 'metadata/convert.js', 'metadata/exif.js', 'metadata/metadata.js', 'metadata/unseen.js',
  'metadata/write.js', 'metadata/xmp.js',
  'network/channels.js', 'network/lost.js', 'network/model.js', 'network/network.js', 'network/random.js',
  'network/reference.js', 'network/webgpu.js', 'network/weights.js',
  'storage/database.js', 'storage/kernels.js', 'storage/models.js',
  'train/errors.js', 'train/settings.js',
  'train/session/history.js', 'train/session/init.js', 'train/session/layers-model.js', 'train/session/optimizer.js',
  'train/session/patches.js', 'train/session/samples.js', 'train/session/saved-model.js', 'train/session/self-check.js',
  'train/session/session.js', 'train/session/start.js', 'train/session/step.js', 'train/session/store.js',
  'train/session/stored.js', 'train/session/telling.js', 'train/session/timing.js', 'train/session/training-backend.js',
  'train/session/vgg-loss.js', 'train/session/wasm-gradients.js', 'train/session/webgpu-convolutions.js',
  'train/session/webgpu-shaders.js', 'train/session/worker.js',
  'train/view/buttons.js', 'train/view/chart.js', 'train/view/client.js', 'train/view/estimate.js',
  'train/view/form.js', 'train/view/origin.js', 'train/view/photographs.js', 'train/view/question.js',
  'train/view/reminder.js', 'train/view/report.js', 'train/view/runner.js', 'train/view/sample-strip.js',
  'train/view/setup.css', 'train/view/sizing.js', 'train/view/template.js', 'train/view/train.css',
  'train/view/trained.js', 'train/view/view.js',
  'sample/after.webp', 'sample/before.jpg',
  'ui/awake.js', 'ui/choices.js', 'ui/chosen.js', 'ui/compare.css', 'ui/compare.js', 'ui/cost.js', 'ui/download.js',
  'ui/drop.js', 'ui/format.js', 'ui/frame.css', 'ui/intake.js', 'ui/isolate.js', 'ui/item.js', 'ui/items.js',
  'ui/measure-chart.js', 'ui/measure.css', 'ui/measure.js', 'ui/models.js', 'ui/pack.js', 'ui/page.js',
  'ui/qualities.js', 'ui/queue.js', 'ui/sample.js', 'ui/settings.js', 'ui/style.js', 'ui/tabs.js', 'ui/upright.js',
  'ui/upscale.css', 'ui/welcome.css', 'ui/work.js', 'ui/workspace.js',
  'vendor/chart.umd.min.js', 'vendor/client-zip.js', 'vendor/pako_deflate.esm.min.js',
  'vendor/tf-backend-cpu.es2017.min.js', 'vendor/tf-backend-wasm.es2017.min.js',
  'vendor/tf-backend-webgl.es2017.min.js', 'vendor/tf-backend-webgpu.es2017.min.js', 'vendor/tf-core.es2017.min.js',
  'vendor/tf-layers.es2017.min.js', 'vendor/tfjs-backend-wasm-simd.wasm', 'vendor/tfjs-backend-wasm-threaded-simd.wasm',
  'vendor/tfjs-backend-wasm.wasm',
];

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
  const { request } = event;
  const { method, url } = request;
  // A model may lie on another site, so this is about more than the page's folder.
  if (!/^https?:/.test(url) || (method !== 'GET' && method !== 'HEAD')) return;
  event.respondWith(answer(request).then((response) => isolated(request, response)));
});

/** Chromium isolates with files of other sites that do not ask for it, too; Safari does not know that policy. */
const EMBEDDER_POLICY = navigator.userAgentData ? 'credentialless' : 'require-corp';
/** WebAssembly takes no threads there; see engine/backend.js. */
const IS_FIREFOX = /\bGecko\/\d/.test(navigator.userAgent);

/**
 * Give the page and its workers the headers with which browsers allow threads, where the server sends none of its own.
 * A page inside another one (an `iframe`, not a `document`) would not be isolated by them.
 */
function isolated({ destination }, response) {
  const { status, statusText, type, body } = response;
  const isOurs = destination === 'document' || destination === 'worker';
  const names = ['Cross-Origin-Opener-Policy', 'Cross-Origin-Embedder-Policy'];
  const isSettled = names.some((name) => response.headers.has(name));
  if (!isOurs || IS_FIREFOX || isSettled || !/^(basic|default)$/.test(type)) return response;
  const headers = new Headers(response.headers);
  headers.set('Cross-Origin-Embedder-Policy', EMBEDDER_POLICY);
  if (destination === 'document') headers.set('Cross-Origin-Opener-Policy', 'same-origin');
  return new Response(body, { status, statusText, headers });
}

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
  const paths = weightsManifest.flatMap((group) => group.paths);
  await Promise.all(paths.map((path) => keep(cache, besideModel(path, url))));
}

/** As in network/model.js: a query such as a token goes along, to the same server only. */
function besideModel(path, base) {
  const address = new URL(path, base);
  if (!address.search && address.origin === base.origin) address.search = base.search;
  return address;
}

/** The model that the page starts with, as `start` in ui/models.js chooses it. */
async function keepFirstModel(cache) {
  const list = await keep(cache, 'models.json').catch(() => null);
  const { models } = list ? await list.json() : { models: [] };
  await keepModel(cache, models[0]?.url ?? 'model.json');
}

async function keepSamples(cache) {
  const { photos } = await (await keep(cache, 'samples/samples.json')).json();
  await Promise.all(photos.map(({ file }) => keep(cache, `samples/${file}`)));
}
