/** Frames of a video: what `frame()` refuses, and what it does when the browser fails, on a device that only notes. */
import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import { checkFit, checkTarget, sizeOf } from '../../web_demo/engine/frame-arguments.js';
import { FrameDrawer } from '../../web_demo/engine/frame-drawer.js';
import { openDevice } from '../../web_demo/engine/webgpu/device.js';

/** An object of a browser's class. */
const made = (kind, properties = {}) => ({ [Symbol.toStringTag]: kind, ...properties });
const texture = (properties) =>
  made('GPUTexture', { createView: () => ({}), format: 'rgba8unorm', usage: 12, width: 4, height: 2, ...properties });

test('a source is measured by its pixels, not by its place in the page', () => {
  const laidOut = { width: 4, height: 4 };
  const sizes = [
    made('HTMLImageElement', { ...laidOut, naturalWidth: 8, naturalHeight: 6 }),
    made('HTMLVideoElement', { ...laidOut, videoWidth: 8, videoHeight: 6, readyState: 2 }),
    made('VideoFrame', { codedWidth: 16, codedHeight: 16, displayWidth: 8, displayHeight: 6 }),
    made('ImageBitmap', { width: 8, height: 6 }),
    texture({ width: 8, height: 6 }),
  ].map(sizeOf);
  assert.deepEqual(
    sizes,
    sizes.map(() => ({ width: 8, height: 6 })),
  );
});

test('what is no source, or none yet, is refused with a sentence', () => {
  const kinds = 'HTMLVideoElement, VideoFrame, HTMLImageElement, ImageBitmap, HTMLCanvasElement, OffscreenCanvas';
  const refusals = [
    ['a.png', TypeError, `Expected a source of the kind ${kinds} or GPUTexture; found String.`],
    [undefined, TypeError, `Expected a source of the kind ${kinds} or GPUTexture; found undefined.`],
    [
      made('VideoFrame', { displayWidth: 0, displayHeight: 0 }),
      TypeError,
      'The VideoFrame is closed; close it when frame() has resolved.',
    ],
    [
      made('ImageBitmap', { width: 0, height: 0 }),
      TypeError,
      'The ImageBitmap is closed; close it when frame() has resolved.',
    ],
    [
      made('HTMLVideoElement', { videoWidth: 8, videoHeight: 6, readyState: 1 }),
      Error,
      'The frame has no pixels yet; wait until the video has loaded some.',
    ],
    [
      made('HTMLImageElement', { width: 4, height: 4, naturalWidth: 0, naturalHeight: 0 }),
      Error,
      'The image element has no pixels yet; await its decode().',
    ],
    [texture({ usage: 8 }), TypeError, 'The source texture lacks the usage TEXTURE_BINDING; create it with that.'],
    [
      texture({ format: 'rgba8unorm-srgb' }),
      TypeError,
      'Expected a source texture of rgba8unorm, bgra8unorm, rgb10a2unorm, rgba16float, rgba32float; ' +
        'found rgba8unorm-srgb: copy it into one of rgba8unorm.',
    ],
  ];
  for (const [source, Kind, message] of refusals) {
    assert.throws(() => sizeOf(source), (error) => error.constructor === Kind && error.message === message, message); // prettier-ignore
  }
});

test('a target that cannot take the result is refused with a sentence', () => {
  const refuse = (target, message) => assert.throws(() => checkTarget(target), { name: 'TypeError', message });
  refuse(undefined, 'Expected a target: a canvas, OffscreenCanvas or GPUTexture; found undefined.');
  refuse(
    made('HTMLVideoElement'),
    'Expected a target: a canvas, OffscreenCanvas or GPUTexture; found HTMLVideoElement.',
  );
  refuse(
    texture({ format: 'rgba16float' }),
    'Expected a target of rgba8unorm, found rgba16float; create a texture of that format.',
  );
  refuse(texture({ usage: 4 }), 'The target texture lacks the usage STORAGE_BINDING; create it with that.');
  checkTarget(texture({}));
  checkTarget(made('OffscreenCanvas'));
  const limits = { maxTextureDimension2D: 8192 };
  checkFit({ width: 4, height: 2 }, texture({}), limits);
  assert.throws(() => checkFit({ width: 8, height: 8 }, texture({}), limits), {
    message: 'Expected a target of 8×8 pixels, found 4×2; create a texture of that size.',
  });
  assert.throws(() => checkFit({ width: 8400, height: 4 }, made('OffscreenCanvas'), limits), {
    message: 'The result has 8400×4 pixels, and textures here at most 8192 a side; take less.',
  });
});

test("errors on a page's own device are the page's", async () => {
  const listening = [];
  const device = {
    features: new Set(),
    lost: new Promise(() => {}),
    addEventListener: (kind) => listening.push(kind),
    adapterInfo: { vendor: 'a' },
  };
  assert.equal((await openDevice({ device })).owned, false);
  assert.deepEqual(listening, []);
});

/** @type {FrameDrawer[]} */
const drawers = [];
afterEach(() => drawers.splice(0).forEach((drawer) => drawer.dispose()));

/** A buffer to read through, when `ready` says so. */
function makeReadable(ready) {
  const values = new ArrayBuffer(2 ** 16);
  return { destroy() {}, unmap() {}, getMappedRange: () => values, mapAsync: () => ready(new Uint32Array(values)) };
}

/** A drawer on a device that computes nothing; `answers` are the ends of its frames, `errors` those of its scopes. */
function makeDrawer({ copy = () => {} } = {}) {
  const state = { errors: [], answers: [], submitted: 0, rested: 0, settled: 0 };
  const answered = (values) =>
    new Promise((resolve) => {
      state.answers.push((status) => resolve((values[0] = status)));
    });
  const device = {
    limits: { maxTextureDimension2D: 8192 },
    pushErrorScope() {},
    popErrorScope: async () => state.errors.pop() ?? null,
    createTexture: ({ size: [width, height] }) => ({ ...texture({ width, height }), destroy() {} }),
    queue: { writeTexture() {}, copyExternalImageToTexture: ({ source }) => copy(source) },
  };
  const program = { set: { name: 'A' }, prepare: async () => {} };
  const network = {
    gpu: { device, software: false },
    config: { scale: 2, halo: 4 },
    arena: { readable: () => makeReadable(async () => {}), free() {} },
    buffers: { takeReadable: () => makeReadable(answered), giveBack() {}, drop() {} },
    runner: {
      submit(...[, , , , { after }]) {
        state.submitted++;
        after({ copyBufferToBuffer() {}, copyTextureToBuffer() {} });
      },
    },
    description: 'a GPU: A',
    lost: new Promise(() => {}),
    runs: 0,
    programFor: () => program,
    enlarge: async () => new Uint8ClampedArray(33 * 17 * 16),
    rest: () => state.rested++,
    get milliseconds() {
      state.settled++; // measured before
      return 1;
    },
    maxTile: 512,
    dispose() {},
  };
  const drawer = new FrameDrawer(/** @type {any} */ (network), /** @type {any} */ (network.config));
  drawers.push(drawer);
  return { drawer, state };
}

const bitmap = made('ImageBitmap', { width: 2, height: 1 });
/** Let everything that can happen happen. */
const settled = () => new Promise((resolve) => setTimeout(resolve));

/** A drawer that has drawn a frame. */
async function drawing(options) {
  const { drawer, state } = makeDrawer(options);
  await drawer.draw(bitmap, texture({}));
  state.answers.shift()(1);
  state.submitted = 0;
  return { drawer, state };
}

test('a frame is told when it was submitted and the one before is drawn', async () => {
  const { drawer, state } = await drawing();
  await drawer.draw(bitmap, texture({}));
  let isTold = false;
  const next = drawer.draw(bitmap, texture({})).then((frame) => ((isTold = true), frame));
  await settled();
  assert.equal(state.submitted, 2);
  assert.equal(isTold, false);
  state.answers.shift()(1);
  const { width, height, kernels } = await next;
  assert.deepEqual([width, height, kernels], [4, 2, 'a GPU: A']);
});

test('an error of the browser is told by its call alone', async () => {
  const { drawer, state } = await drawing();
  state.errors.push({ message: 'no texture of this device' });
  await assert.rejects(drawer.draw(bitmap, texture({})), {
    name: 'Error',
    message: 'The browser did not draw the frame: no texture of this device',
  });
  assert.equal(state.rested, 1); // what could not be allocated is not kept
  await drawer.draw(bitmap, texture({}));
});

test('a frame that the GPU left unfinished is told by the next call', async () => {
  const { drawer, state } = await drawing();
  await drawer.draw(bitmap, texture({}));
  state.answers.shift()(0);
  await assert.rejects(drawer.draw(bitmap, texture({})), { name: 'BackendLost' });
});

test('where a browser copies no video, bitmaps of it are copied, and closed', async () => {
  const tried = [];
  const copy = (source) => {
    tried.push(source[Symbol.toStringTag]);
    if (source[Symbol.toStringTag] === 'VideoFrame') throw new TypeError("'source' could not be converted");
  };
  const { drawer, state } = await drawing({ copy });
  let closed = 0;
  globalThis.createImageBitmap = async () => made('ImageBitmap', { width: 2, height: 1, close: () => closed++ });
  const video = made('VideoFrame', { displayWidth: 2, displayHeight: 1 });
  tried.length = 0;
  for (let i = 0; i < 2; i++) {
    await drawer.draw(video, texture({}));
    state.answers.shift()(1);
  }
  delete globalThis.createImageBitmap;
  assert.deepEqual(tried, ['VideoFrame', 'ImageBitmap', 'ImageBitmap']);
  assert.equal(closed, 2);
});

test('kernels are measured once frames were drawn', async () => {
  const { drawer, state } = await drawing();
  await settled();
  assert.equal(state.settled, 1);
  await drawer.draw(bitmap, texture({}));
  assert.equal(state.settled, 1);
});

test('a disposed drawer submits nothing', async () => {
  const { drawer, state } = await drawing();
  drawer.dispose();
  await assert.rejects(drawer.draw(bitmap, texture({})));
  assert.equal(state.submitted, 0);
});
