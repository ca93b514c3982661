/** Parts of images on their way to the network and back: RGBA in, RGB values of the network's result in. */
import { ALPHA_BLEED, LUMA } from '../constants.js';
import { alphaRange, bleed } from './alpha.js';
import { ImageError } from './decode.js';

export function allocate(length) {
  try {
    return new Uint8ClampedArray(length);
  } catch {
    throw new ImageError(`This device cannot hold ${Math.round(length / 1e6)} MB of the result at once; use a smaller image or scale.`);
  }
}

export function crop(image, x, y) {
  const data = new Uint8ClampedArray(x.size * y.size * 4);
  for (let row = 0; row < y.size; row++) {
    const from = ((y.start + row) * image.width + x.start) * 4;
    data.set(image.data.subarray(from, from + x.size * 4), row * x.size * 4);
  }
  return { data, width: x.size, height: y.size };
}

/** A tile in [0, 1] whose fully transparent pixels have the colours around them, those beyond the tile among them. */
export function bled(image, x, y) {
  const widen = ({ start, size }, length) => {
    const from = Math.max(0, start - ALPHA_BLEED);
    return { start: from, size: Math.min(length, start + size + ALPHA_BLEED) - from };
  };
  const [wideX, wideY] = [widen(x, image.width), widen(y, image.height)];
  const wide = crop(image, wideX, wideY);
  wide.data = Float32Array.from(wide.data, (value) => value / 255);
  bleed(wide);
  const data = new Float32Array(x.size * y.size * 4);
  for (let row = 0; row < y.size; row++) {
    const from = ((y.start - wideY.start + row) * wide.width + x.start - wideX.start) * 4;
    data.set(wide.data.subarray(from, from + x.size * 4), row * x.size * 4);
  }
  return { data, width: x.size, height: y.size };
}

/** Transparency as a grey image. */
export function alphaOf({ data, width, height }) {
  const grey = new Uint8ClampedArray(data.length);
  for (let i = 0; i < data.length; i += 4) grey.fill(data[i + 3], i, i + 3);
  return { data: grey, width, height };
}

/** Put the part of a tile that is kept into `out`, RGBA of a region `width` pixels wide, rounded and opaque. */
export function store(values, place, scale, out) {
  eachKept(place, scale, (from, to) => {
    out[to] = level(values[from]);
    out[to + 1] = level(values[from + 1]);
    out[to + 2] = level(values[from + 2]);
    out[to + 3] = 255;
  });
}

/** The same for a grey image: the luma of what the network made of it, for the network may tint it. */
export function storeGrey(values, place, scale, out) {
  eachKept(place, scale, (from, to) => {
    out.fill(level(luma(values, from)), to, to + 3);
    out[to + 3] = 255;
  });
}

/** Put alpha, the luma of what the network made of it as a grey image, into what was stored. */
export function storeAlpha(values, image, place, scale, out) {
  let column, row, low, high;
  eachKept(place, scale, (from, to, x, y) => {
    const [nextColumn, nextRow] = [Math.floor(x / scale), Math.floor(y / scale)];
    if (nextColumn !== column || nextRow !== row) {
      [column, row] = [nextColumn, nextRow];
      [low, high] = alphaRange(image, column, row);
    }
    out[to + 3] = level(Math.min(high, Math.max(low, luma(values, from))));
  });
}

/** Visit the kept pixels of a tile: index in the tile's RGB, index in the region's RGBA, and place in the result. */
function eachKept({ x, y, left, top, width }, scale, visit) {
  for (let row = y.from * scale; row < y.to * scale; row++) {
    let from = ((row - y.start * scale) * x.size * scale + (x.from - x.start) * scale) * 3;
    let to = ((row - top * scale) * width + (x.from - left) * scale) * 4;
    for (let column = x.from * scale; column < x.to * scale; column++, from += 3, to += 4) visit(from, to, column, row);
  }
}

/** Of the RGB values at an index, as `predict_channels` in `span_keras/images/alpha.py` weighs them. */
const luma = (values, at) => LUMA[0] * values[at] + LUMA[1] * values[at + 1] + LUMA[2] * values[at + 2];

/** [0, 1] -> 0..255, halves up; the clamped array clips. `Math.floor` keeps it from rounding halves to even. */
const level = (value) => Math.floor(value * 255 + 0.5);
