/** A few fixed crops that show, and measure, what the network can do so far. */

import { MAX_PSNR } from '../../constants.js';
import { toUint8, upscale } from '../../images/bicubic.js';
import { psnrY } from '../../images/metrics.js';
import { crop } from './patches.js';

/** Crops that are shown. */
const MAX_SAMPLES = 4;
/** Side of an LR crop in pixels. */
const SIZE = 48;

/** @typedef {{name: string, lr: Picture, bicubic: Picture, hr: Picture, bicubicPsnr: number}} Sample */
/** @typedef {Sample & {span: Picture, psnr: number}} ShownSample what the network made of it beside it */
/** @typedef {import('./patches.js').Picture} Picture */
/** @typedef {import('./patches.js').Pair} Pair */

/**
 * Set photographs aside where there are enough of them, so that quality is measured on ones never trained on.
 * @param {Pair[]} pairs
 * @returns {{training: Pair[], shown: Pair[], heldOut: boolean}}
 */
export function split(pairs) {
  const count = Math.min(MAX_SAMPLES, Math.floor(pairs.length / 5));
  if (!count) return { training: pairs, shown: pairs.slice(0, MAX_SAMPLES), heldOut: false };
  return { training: pairs.slice(0, -count), shown: pairs.slice(-count), heldOut: true };
}

/**
 * The middle of each pair.
 * @param {Pair[]} pairs
 * @returns {Sample[]}
 */
export function makeSamples(pairs, scale) {
  return pairs.map(({ name, lr, hr }) => {
    const [height, width] = [Math.min(SIZE, lr.height), Math.min(SIZE, lr.width)];
    const [top, left] = [(lr.height - height) >> 1, (lr.width - width) >> 1];
    const small = crop(lr, top, left, height, width);
    const large = crop(hr, top * scale, left * scale, height * scale, width * scale);
    const bicubic = upscale(small, scale);
    return { name, lr: small, bicubic, hr: large, bicubicPsnr: finite(psnrY(bicubic, large, scale)) };
  });
}

/**
 * Upscale a sample with the network.
 * @param {Tf} tf
 * @param {import('./layers-model.js').Network} network
 * @returns {Promise<{span: Picture, psnr: number}>}
 */
export async function upscaleSample(tf, network, { lr, hr }) {
  const output = tf.tidy(() => {
    const pixels = Float32Array.from(lr.data, (level) => level / 255);
    return network.apply(tf.tensor4d(pixels, [1, lr.height, lr.width, 3]));
  });
  const data = toUint8(await output.data());
  output.dispose();
  const span = { ...hr, data };
  return { span, psnr: finite(psnrY(span, hr, network.config.scale)) };
}

/** Equal pictures have an infinite PSNR, which no chart can show. */
const finite = (psnr) => Math.min(psnr, MAX_PSNR);
