/**
 * A 3×3 convolution in as little code as possible: a thread computes one quad of one pixel, straight from memory. For
 * devices that can hold nothing else, and for software ones, which take long to compile the others.
 */
import { epilogue } from './epilogue.js';
import { PLANES, inputsOf } from './layout.js';
import { lines, quadsOf } from './source.js';

const SIDE = 8;

/**
 * Generate the kernel.
 * @param {object} options as for `directConvolution`
 * @param {number} options.inputs channels
 * @param {number} options.outputs channels
 * @param {import('./epilogue.js').Ending} options.ending
 * @param {'span' | 'official'} options.variant
 * @param {number} [options.scale]
 * @returns {import('./source.js').Kernel}
 */
export function plainConvolution({ inputs, outputs, ending, variant, scale = 1 }) {
  const [inQuads, outQuads] = [quadsOf(inputs), quadsOf(outputs)];
  const division = { slices: outQuads, groups: 1, perThread: 1 };
  const own = inQuads * 36; // weights of a quad of outputs
  const multiply = (values, weights) => `{
        let v = ${values};
        let i = ${weights};
        sum += v.x * weights[i] + v.y * weights[i + 1u] + v.z * weights[i + 2u] + v.w * weights[i + 3u];
      }`;
  const code = `${inputsOf(PLANES)}
${epilogue({ ending, variant, quads: outQuads, padded: false, scale })}
@compute @workgroup_size(${SIDE}, ${SIDE})
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  if (id.x >= tile.size.x || id.y >= tile.size.y) { return; }
  var sum = biases[id.z];
  for (var tap = 0u; tap < 9u; tap++) {
    let at = vec2<i32>(id.xy) + vec2<i32>(i32(tap % 3u) - 1, i32(tap / 3u) - 1);
    if (any(at < vec2<i32>(0)) || any(at >= vec2<i32>(tile.size))) { continue; }
    for (var quad = 0u; quad < ${inQuads}u; quad++) {
      ${multiply('input[quad_at(quad, vec2<u32>(at))]', `id.z * ${own}u + (quad * 9u + tap) * 4u`)}
    }
  }
${lines(
  ending === 'merge' ? 3 : 0,
  (e) => `  for (var quad = 0u; quad < ${inQuads}u; quad++) {
      ${multiply(`extra${e}[quad_at(quad, id.xy)]`, `${outQuads * own}u + ((id.z * 3u + ${e}u) * ${inQuads}u + quad) * 4u`)}
  }`,
)}
  put(id.z, id.x, id.y, sum);
}`;
  return {
    code,
    threads: SIDE * SIDE,
    shared: 0,
    groups: (width, height) => [Math.ceil(width / SIDE), Math.ceil(height / SIDE), outQuads],
    division,
    order: 'direct',
  };
}
