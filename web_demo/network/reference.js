/** SPAN's forward pass in plain JavaScript, layer by layer as the paper has it: what every kernel is compared with. */
import { LEAKY_SLOPE } from '../constants.js';
import { readWeights } from './weights.js';

/**
 * Run a network on a small image. It takes about a second for a thousand pixels of the default network.
 * @param {import('./model.js').ModelArtifacts} artifacts
 * @param {import('./model.js').SpanConfig} config `blocks` may be fewer than the model has
 * @param {{data: ArrayLike<number>, width: number, height: number}} image RGBA, 0..255
 * @returns {Float32Array} (height · scale, width · scale, 3), RGB around [0, 1], not clipped
 */
export function referenceOutput(artifacts, config, image) {
  const steps = referenceSteps(artifacts, config, image);
  for (;;) {
    const { done, value } = steps.next();
    if (done) return value;
  }
}

/**
 * The same in steps of about a millisecond: a row of pixels in one convolution.
 * @param {import('./model.js').ModelArtifacts} artifacts
 * @param {import('./model.js').SpanConfig} config
 * @param {{data: ArrayLike<number>, width: number, height: number}} image
 * @returns {Generator<void, Float32Array<ArrayBuffer>, void>}
 */
export function* referenceSteps(artifacts, config, { data, width, height }) {
  const weights = readWeights(artifacts);
  const { scale, channels, blocks, variant, imgRange, rgbMean } = config;
  const size = { width, height };
  const conv = (name, x) => convolve(x, size, weights.get(`${name}/kernel`), weights.get(`${name}/bias`));
  const activate = (x) =>
    x.map(variant === 'span' ? (v) => Math.max(v, LEAKY_SLOPE * v) : (v) => v / (1 + Math.exp(-v)));
  const attention = variant === 'span' ? Math.tanh : (v) => 1 / (1 + Math.exp(-v)) - 0.5;

  const x = Float32Array.from({ length: width * height * 3 }, (_, i) => {
    return (data[Math.floor(i / 3) * 4 + (i % 3)] / 255 - rgbMean[i % 3]) * imgRange;
  });
  const head = yield* conv('conv_1', x);
  let features = head;
  let first, activated;
  for (let i = 1; i <= blocks; i++) {
    activated = activate(yield* conv(`block_${i}_c1`, features));
    const y = yield* conv(`block_${i}_c3`, activate(yield* conv(`block_${i}_c2`, activated)));
    const skip = features;
    features = y.map((v, at) => (v + skip[at]) * attention(v));
    first ??= features;
  }
  const parts = [head, yield* conv('conv_2', features), first, activated];
  const merged = new Float32Array(width * height * 4 * channels);
  for (let pixel = 0; pixel < width * height; pixel++) {
    parts.forEach((part, i) => {
      merged.set(part.subarray(pixel * channels, (pixel + 1) * channels), (pixel * 4 + i) * channels);
    });
  }
  return shuffle(yield* conv('upsampler', yield* conv('conv_cat', merged)), size, scale);
}

/** A 3×3 or 1×1 convolution, zero padding, with sums in float64. */
function* convolve(x, { width, height }, kernel, bias) {
  const outputs = bias.length;
  const inputs = x.length / (width * height);
  const side = Math.sqrt(kernel.length / (inputs * outputs));
  const radius = side >> 1;
  const y = new Float32Array(width * height * outputs);
  const sums = new Float64Array(outputs);
  for (let row = 0; row < height; row++) {
    for (let column = 0; column < width; column++) {
      sums.set(bias);
      for (let tap = 0; tap < side * side; tap++) {
        const [fromRow, fromColumn] = [row + Math.floor(tap / side) - radius, column + (tap % side) - radius];
        if (fromRow < 0 || fromRow >= height || fromColumn < 0 || fromColumn >= width) continue;
        for (let i = 0; i < inputs; i++) {
          const value = x[(fromRow * width + fromColumn) * inputs + i];
          const from = (tap * inputs + i) * outputs;
          for (let o = 0; o < outputs; o++) sums[o] += value * kernel[from + o];
        }
      }
      y.set(sums, (row * width + column) * outputs);
    }
    yield;
  }
  return y;
}

/** (h, w, s · s · 3) -> (h · s, w · s, 3) */
function shuffle(x, { width, height }, scale) {
  const y = new Float32Array(x.length);
  const row = scale * 3;
  for (let i = 0; i < height; i++) {
    for (let j = 0; j < width; j++) {
      for (let down = 0; down < scale; down++) {
        const from = ((i * width + j) * scale + down) * row;
        y.set(x.subarray(from, from + row), ((i * scale + down) * width + j) * row);
      }
    }
  }
  return y;
}
