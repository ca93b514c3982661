/** Plays a video file enlarged: the smallest page on `upscaler.frame`. Frames that come while one is drawn are dropped. */
import { loadUpscaler } from './span.js';

/** @type {any} */
const [file, model, output, video, canvas] = ['[type=file]', '#model', 'output', 'video', 'canvas'].map((selector) =>
  document.querySelector(selector),
);
/** @type {Promise<import('./span.js').Upscaler> | null} */
let loading = null;
const asked = new URLSearchParams(location.search).get('model');
const finding = asked ? Promise.resolve(asked) : findModel();
finding.then((address) => (model.value ||= address));
/** The latest choice; what an earlier one began ends. */
let turn = 0;

model.onchange = () => {
  loading?.then((upscaler) => upscaler.dispose()).catch(() => {});
  loading = null;
  start();
};
file.onchange = start;

/** The fast network at ×2 where the site has it, else the first one. @returns {Promise<string>} its address */
async function findModel() {
  const response = await fetch('models.json').catch(() => null);
  const { models } = response?.ok ? await response.json() : { models: [] };
  return (models.find(({ name }) => name === 'x2-fast') ?? models[0])?.url ?? 'model.json';
}

/** Load the model, without a comparison of backends: frames are drawn on WebGPU alone. */
function load() {
  const upscaler = loadUpscaler(model.value, { backend: 'webgpu' });
  upscaler.catch(() => loading === upscaler && (loading = null)); // the next file tries again
  return upscaler;
}

async function start() {
  if (!file.files.length) return; // the dialog was cancelled
  const mine = ++turn;
  output.value = 'Loading the model…';
  URL.revokeObjectURL(video.src);
  video.src = URL.createObjectURL(file.files[0]);
  try {
    await finding;
    loading ??= load();
    const upscaler = await loading;
    if (mine !== turn) return;
    play(upscaler, mine);
    await video.play();
  } catch (error) {
    const isUnknown = error.name === 'NotSupportedError';
    if (mine === turn) output.value = isUnknown ? 'This browser cannot play the file; take another.' : error.message;
  }
}

/** @param {import('./span.js').Upscaler} upscaler @param {number} mine */
function play(upscaler, mine) {
  const counts = { drawn: 0, dropped: 0, since: performance.now() };
  let busy = false;
  const next = async () => {
    if (mine !== turn) return;
    video.requestVideoFrameCallback(next);
    if (busy) return void counts.dropped++;
    busy = true;
    try {
      const { width, height, milliseconds, kernels } = await upscaler.frame(video, { target: canvas });
      counts.drawn++;
      report(counts, `${width}×${height}, ${milliseconds.toFixed(1)} ms a frame`, kernels);
    } catch (error) {
      if (mine !== turn) return; // the model was changed meanwhile
      output.value = error.message;
      video.pause();
    } finally {
      busy = false;
    }
  };
  video.requestVideoFrameCallback(next);
}

/** Frames of the last second, and what a report needs. */
function report(counts, text, kernels) {
  const seconds = (performance.now() - counts.since) / 1000;
  if (seconds < 1) return;
  const rate = (counts.drawn / seconds).toFixed(1);
  output.value = `${text}, ${rate} frames per second, ${counts.dropped} dropped (${kernels})`;
  Object.assign(counts, { drawn: 0, dropped: 0, since: performance.now() });
}
