/** The first convolution: from pixels, which it normalises on the way, to activations. */
import { epilogue } from './epilogue.js';
import { TILE_UNIFORM, divide, lines, quadsOf, sliceQuads } from './source.js';

/** @typedef {'bytes' | 'floats' | 'texture'} Input pixels as RGBA in one u32, as three normalised floats, or in a texture */

const SIDE = 8;

/** Each reads the normalised colours of a pixel that lies in the tile. */
const SOURCES = {
  bytes: {
    input: 'var<storage, read> pixels: array<u32>;',
    read: 'return normalise(vec3<f32>((vec3<u32>(pixels[at.y * tile.size.x + at.x]) >> vec3<u32>(0u, 8u, 16u)) & vec3<u32>(255u)) / 255.0);',
  },
  floats: {
    input: 'var<storage, read> pixels: array<f32>;',
    read: 'let i = (at.y * tile.size.x + at.x) * 3u; return vec3<f32>(pixels[i], pixels[i + 1u], pixels[i + 2u]);',
  },
  texture: {
    input: 'var pixels: texture_2d<f32>;',
    read: 'return normalise(textureLoad(pixels, at + tile.origin, 0).rgb);',
  },
};

/**
 * Generate the kernel: 8×8 pixels a workgroup, weights in workgroup memory.
 * @param {object} options
 * @param {Input} options.source
 * @param {number} options.channels of the output
 * @param {number} options.imgRange
 * @param {number[]} options.rgbMean
 * @param {import('./layout.js').Layout} options.layout of the output
 * @returns {import('./source.js').Kernel}
 */
export function firstConvolution({ source, channels, imgRange, rgbMean, layout }) {
  const quads = quadsOf(channels);
  const division = divide(quads, 2, [6, 5, 4, 3, 2, 1]);
  const { slices, groups, perThread } = division;
  const slice = sliceQuads(division);
  const threads = SIDE * SIDE * groups;
  const weights = 27 * slice;
  const { input, read } = SOURCES[source];
  const number = (value) => (Number.isInteger(value) ? value.toFixed(1) : String(value));
  const code = `${layout.scalar === 'f16' ? 'enable f16;\n' : ''}@group(0) @binding(0) ${input}
@group(0) @binding(1) var<storage, read> weights: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> biases: array<vec4<f32>>;
${TILE_UNIFORM}
${layout.code}
${epilogue({ ending: 'linear', variant: 'span', quads, padded: slices * slice > quads, scale: 1, layout })}
var<workgroup> w: array<vec4<f32>, ${weights}>;
fn normalise(rgb: vec3<f32>) -> vec3<f32> {
  return (rgb - vec3<f32>(${rgbMean.map(number).join(', ')})) * ${number(imgRange)};
}
fn colors(at: vec2<u32>) -> vec3<f32> { ${read} }
@compute @workgroup_size(${threads})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  for (var i = thread; i < ${weights}u; i += ${threads}u) { w[i] = weights[group.z * ${weights}u + i]; }
  workgroupBarrier();
  let pixel = thread % ${SIDE * SIDE}u;
  let first = (thread / ${SIDE * SIDE}u) * ${perThread}u;
  let x = i32(group.x * ${SIDE}u + pixel % ${SIDE}u);
  let y = i32(group.y * ${SIDE}u + pixel / ${SIDE}u);
  let size = vec2<i32>(tile.size);
  if (x >= size.x || y >= size.y) { return; }
  let o = group.z * ${slice}u + first;
${lines(perThread, (j) => `  var sum${j} = biases[o + ${j}u];`)}
  for (var tap = 0; tap < 9; tap++) {
    let at = vec2<i32>(x + tap % 3 - 1, y + tap / 3 - 1);
    if (all(at >= vec2<i32>(0)) && all(at < size)) {
      let rgb = colors(vec2<u32>(at));
      for (var c = 0u; c < 3u; c++) {
        let start = (u32(tap) * 3u + c) * ${slice}u + first;
${lines(perThread, (j) => `        sum${j} += rgb[c] * w[start + ${j}u];`)}
      }
    }
  }
${lines(perThread, (j) => `  put(o + ${j}u, u32(x), u32(y), sum${j});`)}
}`;
  return {
    code,
    threads,
    shared: weights * 16,
    groups: (width, height) => [Math.ceil(width / SIDE), Math.ceil(height / SIDE), slices],
    division,
    order: 'pixels',
  };
}
