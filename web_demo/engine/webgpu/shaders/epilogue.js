/** What a convolution does with its sums before it stores them. */
import { LEAKY_SLOPE, LUMA } from '../../../constants.js';
import { PLANES } from './layout.js';

/**
 * @typedef {'linear' | 'activate' | 'attend' | 'merge' | Output} Ending `merge` is linear with three more inputs that go
 *   through a 1×1 convolution
 * @typedef {'bytes' | 'floats' | 'texture'} Output pixels as RGBA in one u32, as three floats, or in a texture
 */

const ACTIVATE = {
  span: `fn activate(v: vec4<f32>) -> vec4<f32> { return max(v, ${LEAKY_SLOPE} * v); }`,
  official: 'fn activate(v: vec4<f32>) -> vec4<f32> { return v / (1.0 + exp(-v)); }',
};

/** `(v + x) · sym(v)`; the form of tanh does not overflow. */
const ATTEND = {
  span: `fn attend(v: vec4<f32>, x: vec4<f32>) -> vec4<f32> {
  let e = exp(-2.0 * abs(v));
  return (v + x) * sign(v) * (1.0 - e) / (1.0 + e);
}`,
  official: `fn attend(v: vec4<f32>, x: vec4<f32>) -> vec4<f32> {
  return (v + x) * (1.0 / (1.0 + exp(-v)) - 0.5);
}`,
};

/** Bits of the status, which says how pixels came out: the last one was stored, and a value of any was not finite. */
export const STATUS = { done: 1, notFinite: 2 };

/** Sums are looked at as bits: a shader may be compiled as if NaN did not exist. */
const REPORT = `if (any((bitcast<vec4<u32>>(v) & vec4<u32>(0x7f800000u)) == vec4<u32>(0x7f800000u))) {
      atomicOr(&status, ${STATUS.notFinite}u);
    }
    if (all(at + 1u == tile.keepTo)) { atomicOr(&status, ${STATUS.done}u); }`;

/** Halves are rounded up, as `level` in images/pixels.js does; NaN in the fourth lane, which is else 1, empties alpha. */
const LEVELS = `fn levels(v: vec4<f32>) -> vec4<u32> {
  let luma = vec3<f32>(dot(v.rgb, vec3<f32>(${LUMA.join(', ')})));
  let colors = select(v.rgb, luma, tile.grey != 0u);
  let rounded = vec3<u32>(floor(clamp(colors, vec3<f32>(0.0), vec3<f32>(1.0)) * 255.0 + 0.5));
  return vec4<u32>(rounded, select(0u, 255u, v.a > 0.5 && v.a < 1.5));
}`;

const TARGETS = {
  bytes: {
    output: 'var<storage, read_write> output: array<u32>;',
    write: `let c = levels(v);
    output[(at.y - tile.keepFrom.y) * (tile.keepTo.x - tile.keepFrom.x) + at.x - tile.keepFrom.x]
      = c.r | (c.g << 8u) | (c.b << 16u) | (c.a << 24u);`,
  },
  floats: {
    output: 'var<storage, read_write> output: array<f32>;',
    write: `let i = ((at.y - tile.keepFrom.y) * (tile.keepTo.x - tile.keepFrom.x) + at.x - tile.keepFrom.x) * 3u;
    output[i] = v.r; output[i + 1u] = v.g; output[i + 2u] = v.b;`,
  },
  texture: {
    output: 'var output: texture_storage_2d<rgba8unorm, write>;',
    write: 'textureStore(output, at - tile.keepFrom + tile.place, vec4<f32>(levels(v)) / 255.0);',
  },
};

/**
 * The bindings and functions with which a convolution ends: `put(o, x, y, v)` stores quad `o` of the sums at pixel
 * (x, y) of the tile. Where pixels come out, quad `o` is pixel (o % scale, o / scale) of the enlarged pixel, and one more
 * binding takes the status; else the kernel holds the layout's `quad_at`.
 * @param {object} options
 * @param {Ending} options.ending
 * @param {'span' | 'official'} options.variant
 * @param {number} options.quads of the output that exist
 * @param {boolean} options.padded whether more are computed
 * @param {number} options.scale
 * @param {import('./layout.js').Layout} [options.layout] of activations
 * @returns {string} WGSL
 */
export function epilogue({ ending, variant, quads, padded, scale, layout = PLANES }) {
  const quad = `vec4<${layout.scalar}>`;
  const element = ending === 'merge' ? layout.element : quad;
  const extra = (i) => `@group(0) @binding(${5 + i}) var<storage, read> extra${i}: array<${element}>;`;
  const output = (text) => `@group(0) @binding(3) ${text}`;
  const guard = padded ? `if (o >= ${quads}u) { return; }` : '';
  const put = (body) => `fn put(o: u32, x: u32, y: u32, v: vec4<f32>) {\n  ${guard}\n  ${body}\n}`;
  if (ending in TARGETS) {
    const target = TARGETS[ending];
    const keep = `let at = vec2<u32>(x, y) * ${scale}u + vec2<u32>(o % ${scale}u, o / ${scale}u);
  if (all(at >= tile.keepFrom) && all(at < tile.keepTo)) {
    ${target.write}
    ${REPORT}
  }`;
    const status = '@group(0) @binding(5) var<storage, read_write> status: atomic<u32>;';
    return [output(target.output), status, ending === 'floats' ? '' : LEVELS, put(keep)].join('\n');
  }
  const values = {
    linear: { extras: 0, code: '', value: 'v' },
    merge: { extras: 3, code: '', value: 'v' },
    activate: { extras: 0, code: ACTIVATE[variant], value: 'activate(v)' },
    attend: { extras: 1, code: ATTEND[variant], value: 'attend(v, vec4<f32>(extra0[at]))' },
  };
  const { extras, code, value } = values[ending];
  return [
    output(`var<storage, read_write> output: array<${quad}>;`),
    ...Array.from({ length: extras }, (_, i) => extra(i)),
    code,
    put(`let at = quad_at(o, vec2<u32>(x, y));\n  output[at] = ${quad}(${value});`),
  ].join('\n');
}
