/** How good and how fast an upscaler is on a photograph whose original is known. Runs in the worker. */
import { downscale, dropAlpha, upscale } from '../images/bicubic.js';
import { evaluatePair, requireSides } from '../images/metrics.js';
import { decode } from './decode.js';

/**
 * @typedef {object} Measurement
 * @property {number} width of the shrunk image
 * @property {number} height
 * @property {number} scale
 * @property {number} milliseconds with shaders compiled
 * @property {number} bytes the most that tensors took during the run
 * @property {number} gpuBytes the most that the GPU had allocated; 0 where the backend does not tell
 * @property {import('../images/metrics.js').Figures} bicubic
 * @property {import('../images/metrics.js').Figures} span
 */

/**
 * Shrink a photograph, enlarge it again, and compare: the network's result, and bicubic interpolation's beside it.
 * @param {import('./engine.js').Engine} engine
 * @param {Blob} source the original, cut to a multiple of the scale
 * @param {AbortSignal} signal
 * @returns {Promise<Measurement>}
 */
export async function measure(engine, source, signal) {
  const { scale } = engine.config;
  const hr = modcrop(await decode(source), scale);
  requireSides(hr, scale); // before the work
  const lr = downscale(hr, scale);
  const bicubic = upscale(lr, scale);
  const input = toRgba(lr);
  await engine.pixels(input, { signal }); // shaders compile in the first run
  engine.network.forgetPeak();
  const started = performance.now();
  const { data } = await engine.pixels(input, { signal });
  const milliseconds = performance.now() - started;
  const span = { ...hr, data: dropAlpha(data) };
  return {
    width: lr.width,
    height: lr.height,
    scale,
    milliseconds,
    ...engine.network.peak,
    bicubic: evaluatePair(bicubic, hr, scale),
    span: evaluatePair(span, hr, scale),
  };
}

/** Cut at the right and bottom to a multiple of the scale; RGBA in, RGB out. */
function modcrop({ width, height, data }, scale) {
  const across = width - (width % scale);
  const down = height - (height % scale);
  const rows = Array.from({ length: down }, (_, y) =>
    dropAlpha(data.subarray(y * width * 4, (y * width + across) * 4)),
  );
  const rgb = new Uint8ClampedArray(across * down * 3);
  rows.forEach((row, y) => rgb.set(row, y * across * 3));
  return { width: across, height: down, data: rgb };
}

function toRgba({ width, height, data }) {
  const rgba = new Uint8ClampedArray(width * height * 4).fill(255);
  for (let from = 0, to = 0; from < data.length; from += 3, to += 4) rgba.set(data.subarray(from, from + 3), to);
  // Of a grey photograph too, the network's own colours are measured, as `span-evaluate` does.
  return { width, height, data: rgba, alpha: false, grey: false };
}
