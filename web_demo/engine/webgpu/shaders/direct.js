/** A 3×3 convolution, multiplied out: the kernel for every device, and the only one that merges further inputs. */
import { epilogue } from './epilogue.js';
import { PLANES, inputsOf } from './layout.js';
import { divide, fetcher, lines, quadsOf, range, sliceQuads } from './source.js';

/**
 * @typedef {object} DirectShape
 * @property {number} pixels that a thread computes, side by side
 * @property {number} across threads of a workgroup along x
 * @property {number} down threads of a workgroup along y
 * @property {number[]} quads of output channels that a thread may compute, best first
 */

/** Groups of output channels in a workgroup: with more, the weights outgrow the memory that WebGPU promises. */
const MAX_GROUPS = 4;

/**
 * Generate the kernel. A workgroup holds the weights of one quad of input channels and the pixels that it sees in
 * workgroup memory; while it multiplies, it fetches the next quad into registers.
 * @param {object} options
 * @param {DirectShape} options.shape
 * @param {number} options.inputs channels
 * @param {number} options.outputs channels
 * @param {import('./epilogue.js').Ending} options.ending
 * @param {'span' | 'official'} options.variant
 * @param {number} [options.scale] of the network, where pixels come out
 * @returns {import('./source.js').Kernel}
 */
export function directConvolution({ shape, inputs, outputs, ending, variant, scale = 1 }) {
  const { pixels, across, down, quads } = shape;
  const [inQuads, outQuads] = [quadsOf(inputs), quadsOf(outputs)];
  const division = divide(outQuads, Math.min(MAX_GROUPS, Math.floor(256 / (across * down))), quads);
  const { slices, groups, perThread } = division;
  const slice = sliceQuads(division);
  const threads = across * down * groups;
  const width = across * pixels;
  const [columns, rows] = [width + 2, down + 2];
  const pitch = pitchOf(columns, pixels, across);
  const seen = columns * rows;
  const weights = 36 * slice; // of one quad of input channels
  const all = slices * inQuads * weights;
  const merged = ending === 'merge';
  const [eachPixel, eachQuad] = [range(pixels), range(perThread)];
  const each = (f) => eachPixel.map((p) => eachQuad.map((j) => f(p, j)).join(' ')).join('\n');
  const multiply = (offset, lane, first) => `      {
        ${eachQuad.map((j) => `let w${j} = w[at + ${offset + j}u];`).join(' ')}
${each((p, j) => `        sum${p}_${j} = fma(vec4<f32>(in${first + p}.${lane}), w${j}, sum${p}_${j});`)}
      }`;
  const [fetched, fetchedWeights] = [Math.ceil(seen / threads), Math.ceil(weights / threads)];
  const fetch = fetcher({ threads, columns, seen, weights, all });
  const store = `
${lines(
  fetched,
  (i) => `    {
      let i = thread + ${i * threads}u;
      let column = i % ${columns}u;
      if (i < ${seen}u) { seen[(i / ${columns}u) * ${pitch}u + column + column / ${pixels}u] = next${i}; }
    }`,
)}
${lines(fetchedWeights, (i) => `    if (thread + ${i * threads}u < ${weights}u) { w[thread + ${i * threads}u] = nextW${i}; }`)}`;
  const code = `${inputsOf(PLANES)}
${epilogue({ ending, variant, quads: outQuads, padded: slices * slice > outQuads, scale })}
var<workgroup> seen: array<vec4<f32>, ${pitch * rows}>;
var<workgroup> w: array<vec4<f32>, ${weights}>;
@compute @workgroup_size(${threads})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let column = thread % ${across}u;
  let row = (thread / ${across}u) % ${down}u;
  let first = (thread / ${across * down}u) * ${perThread}u;
  let o = group.z * ${slice}u + first;
  let corner = vec2<i32>(group.xy * vec2<u32>(${width}u, ${down}u)) - 1;
  let start = group.z * ${inQuads * weights}u;
${each((p, j) => `  var sum${p}_${j} = biases[o + ${j}u];`)}
${lines(fetched, (i) => `  var next${i}: vec4<f32>;`)}
${lines(fetchedWeights, (i) => `  var nextW${i}: vec4<f32>;`)}
${fetch('0u')}
  for (var quad = 0u; quad < ${inQuads}u; quad++) {
    workgroupBarrier();
${store}
    workgroupBarrier();
    if (quad < ${inQuads - 1}u) {
${fetch('(quad + 1u)')}
    }
    for (var ky = 0u; ky < 3u; ky++) {
      let left = (row + ky) * ${pitch}u + column * ${pixels + 1}u;
      let at = ky * ${12 * slice}u + first;
${lines(pixels + 2, (p) => `      let in${p} = seen[left + ${p + Math.floor(p / pixels)}u];`)}
${range(3)
  .flatMap((kx) => [...'xyzw'].map((lane, i) => multiply((kx * 4 + i) * slice, lane, kx)))
  .join('\n')}
    }
  }
  let x = group.x * ${width}u + column * ${pixels}u;
  let y = group.y * ${down}u + row;
${merged ? range(3).map(mergeInput).join('\n') : ''}
  if (y >= tile.size.y) { return; }
${lines(pixels, (p) => `  if (x + ${p}u < tile.size.x) { ${eachQuad.map((j) => `put(o + ${j}u, x + ${p}u, y, sum${p}_${j});`).join(' ')} }`)}
}`;

  /** Add a 1×1 convolution of one more input, as many of its quads at once as the place for weights holds. */
  function mergeInput(extra) {
    const most = range(10).filter((n) => n > 0 && inQuads % n === 0 && n * 4 <= 36);
    const merging = most[most.length - 1];
    const part = merging * 4 * slice;
    return `  for (var quad = 0u; quad < ${inQuads}u; quad += ${merging}u) {
    workgroupBarrier();
    for (var i = thread; i < ${part}u; i += ${threads}u) {
      w[i] = weights[${all}u + ((group.z * 3u + ${extra}u) * ${inQuads}u + quad) * ${4 * slice}u + i];
    }
    workgroupBarrier();
    if (y < tile.size.y) {
      for (var q = 0u; q < ${merging}u; q++) {
        let at = q * ${4 * slice}u + first;
        let start = quad_at(quad + q, vec2<u32>(x, y));
${lines(pixels, (p) => `        let in${p} = extra${extra}[min(start + ${p}u, tile.size.x * tile.size.y * ${inQuads}u - 1u)];`)}
${[...'xyzw'].map((lane, i) => multiply(i * slice, lane, 0)).join('\n')}
      }
    }
  }`;
  }

  return {
    code,
    threads,
    shared: (pitch * rows + weights) * 16,
    groups: (tileWidth, tileHeight) => [Math.ceil(tileWidth / width), Math.ceil(tileHeight / down), slices],
    division,
    order: 'direct',
  };
}

/** Length of a row in workgroup memory, one place left empty after every thread's pixels, so that few banks collide. */
function pitchOf(columns, pixels, across) {
  let pitch = columns + Math.floor((columns - 1) / pixels);
  if (across < 8) while (pitch % 8 !== (across * (pixels + 1)) % 8 && pitch % 8 !== 4) pitch++;
  return pitch;
}
