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
model.onchange = () => {
  loading?.then((upscaler) => upscaler.dispose()).catch(() => {});
  loading = null;
};

file.onchange = async () => {
  output.value = 'Loading the model…';
  video.src = URL.createObjectURL(file.files[0]);
  try {
    loading ??= loadUpscaler(model.value);
    play(await loading);
    await video.play();
  } catch (error) {
    output.value = error.message;
  }
};

/** @param {import('./span.js').Upscaler} upscaler */
function play(upscaler) {
  const counts = { drawn: 0, dropped: 0, since: performance.now() };
  let busy = false;
  const next = async () => {
    video.requestVideoFrameCallback(next);
    if (busy) return void counts.dropped++;
    busy = true;
    try {
      const { width, height, milliseconds } = await upscaler.frame(video, { target: canvas });
      counts.drawn++;
      report(counts, `${width}×${height}, ${milliseconds.toFixed(1)} ms a frame`);
    } catch (error) {
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
