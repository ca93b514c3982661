/** Networks for other channels than RGB, as `span_keras/images/alpha.py` and `channels.py` run them. */
import { LUMA } from '../constants.js';

/**
 * Return what a network for grey or for RGB and alpha sees of pixels.
 * @param {{data: ArrayLike<number>, stride: number}} pixels levels 0..255, or 0..1 in a Float32Array
 * @param {number} channels 1 or 4
 * @param {(value: number, channel: number) => number} normalize from [0, 1]
 * @param {number} [plane] the one to take for grey; luma by default
 * @returns {Float32Array} (h, w, channels)
 */
export function channelsOf({ data, stride }, channels, normalize, plane) {
  const white = data instanceof Float32Array ? 1 : 255;
  const values = new Float32Array((data.length / stride) * channels);
  for (let from = 0, to = 0; from < data.length; from += stride) {
    if (channels === 1) {
      const grey = plane === undefined ? lumaAt(data, from) : data[from + plane];
      values[to++] = normalize(grey / white, 0);
    } else {
      for (let c = 0; c < 3; c++) values[to++] = normalize(data[from + c] / white, c);
      values[to++] = normalize(stride === 4 ? data[from + 3] / white : 1, 3);
    }
  }
  return values;
}

/** Whether red, green and blue of pixels are equal everywhere. */
export function isGrey({ data, stride = 4 }) {
  for (let i = 0; i < data.length; i += stride) {
    if (data[i] !== data[i + 1] || data[i] !== data[i + 2]) return false;
  }
  return true;
}

/**
 * Return what a network made as RGB.
 * @param {Float32Array} values (h, w, channels)
 * @param {number} channels
 * @param {boolean} [alpha] take alpha, as grey, instead of the colours
 * @returns {Float32Array} (h, w, 3)
 */
export function toRgb(values, channels, alpha = false) {
  if (channels === 3) return values;
  const rgb = new Float32Array((values.length / channels) * 3);
  for (let from = 0, to = 0; from < values.length; from += channels) {
    for (let c = 0; c < 3; c++) rgb[to++] = values[from + (channels === 1 ? 0 : alpha ? 3 : c)];
  }
  return rgb;
}

/** Return three planes as RGB. @param {Float32Array[]} planes */
export function planesToRgb(planes) {
  const rgb = new Float32Array(planes[0].length * 3);
  planes.forEach((plane, c) => plane.forEach((value, i) => (rgb[i * 3 + c] = value)));
  return rgb;
}

const lumaAt = (data, i) => LUMA[0] * data[i] + LUMA[1] * data[i + 1] + LUMA[2] * data[i + 2];
