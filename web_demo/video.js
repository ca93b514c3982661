/** Plays a video file enlarged: the smallest page on `upscaler.frame`. Frames that come while one is drawn are dropped. */
import { loadUpscaler } from './span.js';

/** @type {any} */
const [file, model, output, video, canvas] = ['[type=file]', '#model', 'output', 'video', 'canvas'].map((selector) =>
  document.querySelector(selector),
);
/** @type {Promise<import('./span.js').Upscaler> | null} */
let loading = null;
const query = new URLSearchParams(location.search);
model.value = query.get('model') ?? model.value;
/** The latest choice; what an earlier one began ends. */
let turn = 0;

model.onchange = () => {
  loading?.then((upscaler) => upscaler.dispose()).catch(() => {});
  loading = null;
  start();
};
file.onchange = start;

async function start() {
  if (!file.files.length) return; // the dialog was cancelled
  const mine = ++turn;
  output.value = 'Loading the model…';
  URL.revokeObjectURL(video.src);
  video.src = URL.createObjectURL(file.files[0]);
  try {
    loading ??= loadUpscaler(model.value);
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
      const { width, height, milliseconds } = await upscaler.frame(video, { target: canvas });
      counts.drawn++;
      report(counts, `${width}×${height}, ${milliseconds.toFixed(1)} ms a frame`);
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

/** Frames of the last second. */
function report(counts, text) {
  const seconds = (performance.now() - counts.since) / 1000;
  if (seconds < 1) return;
  const rate = (counts.drawn / seconds).toFixed(1);
  output.value = `${text}, ${rate} frames per second, ${counts.dropped} dropped`;
  Object.assign(counts, { drawn: 0, dropped: 0, since: performance.now() });
}
