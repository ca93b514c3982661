/** How activations lie in a buffer between two convolutions. */
import { TILE_UNIFORM, quadsOf } from './source.js';

/**
 * @typedef {object} Layout
 * @property {'f32' | 'f16'} scalar type of a value
 * @property {string} element type of what convolutions read at once, activations and weights
 * @property {string} code WGSL of `quad_at(quad, at)`, the index of a quad of channels at a pixel
 * @property {(channels: number, width: number, height: number) => number} bytes of a tile
 * @property {boolean} bordered whether convolutions read zeros around the tile, which nothing writes
 */

/** A plane of pixels for every quad of channels. @type {Layout} */
export const PLANES = {
  scalar: 'f32',
  element: 'vec4<f32>',
  code: 'fn quad_at(quad: u32, at: vec2<u32>) -> u32 { return (quad * tile.size.y + at.y) * tile.size.x + at.x; }',
  bytes: (channels, width, height) => quadsOf(channels) * 16 * width * height,
  bordered: false,
};

/**
 * A plane of pixels for every block of channels, padded to whole workgroups and a pixel on every side: so a matrix of
 * neighbouring pixels' blocks lies in one piece, and no read needs a check.
 * @param {{block: number, across: number, down: number}} options `block`: channels; `across` and `down`: pixels of a
 *   workgroup
 * @returns {Layout}
 */
export function blocked({ block, across, down }) {
  const padded = (length, unit) => Math.ceil(length / unit) * unit + 2;
  const quads = block / 4;
  return {
    scalar: 'f16',
    element: 'f16',
    code: `fn pitch() -> u32 { return (tile.size.x + ${across - 1}u) / ${across}u * ${across}u + 2u; }
fn rows() -> u32 { return (tile.size.y + ${down - 1}u) / ${down}u * ${down}u + 2u; }
fn quad_at(quad: u32, at: vec2<u32>) -> u32 {
  return ((quad / ${quads}u * rows() + at.y + 1u) * pitch() + at.x + 1u) * ${quads}u + quad % ${quads}u;
}`,
    bytes: (channels, width, height) =>
      Math.ceil(channels / block) * block * 2 * padded(width, across) * padded(height, down),
    bordered: true,
  };
}

/** @param {Layout} layout @returns {string} what a convolution between hidden layers reads */
export const inputsOf = ({ element, code }) => `@group(0) @binding(0) var<storage, read> input: array<${element}>;
@group(0) @binding(1) var<storage, read> weights: array<${element}>;
@group(0) @binding(2) var<storage, read> biases: array<vec4<f32>>;
${TILE_UNIFORM}
${code}`;
