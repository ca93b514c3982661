/**
 * A 3×3 convolution by Winograd's F(2×2, 3×3), in one kernel: 16 multiplications where `direct.js` has 36. The weights
 * come transformed; input and output are transformed in workgroup memory. Rounding is that of f32.
 * Source: Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", 2016, section 4.1.
 */
import { epilogue } from './epilogue.js';
import { PLANES, inputsOf } from './layout.js';
import { divide, fetcher, lines, quadsOf, range, sliceQuads } from './source.js';

/**
 * @typedef {object} WinogradShape in units of 2×2 pixels
 * @property {number} across units of a workgroup along x
 * @property {number} down units of a workgroup along y
 * @property {number} units that a thread computes
 * @property {number[]} quads of output channels that a thread may compute, best first
 */

/** Positions in the transformed 4×4 patch; a thread computes one. */
const POSITIONS = 16;

/**
 * Generate the kernel.
 * @param {object} options as for `directConvolution`; it cannot merge
 * @param {WinogradShape} options.shape
 * @param {number} options.inputs channels
 * @param {number} options.outputs channels
 * @param {Exclude<import('./epilogue.js').Ending, 'merge'>} options.ending
 * @param {'span' | 'official'} options.variant
 * @param {number} [options.scale]
 * @returns {import('./source.js').Kernel}
 */
export function winogradConvolution({ shape, inputs, outputs, ending, variant, scale = 1 }) {
  const { across, down, units, quads } = shape;
  const [inQuads, outQuads] = [quadsOf(inputs), quadsOf(outputs)];
  const count = across * down; // units of a workgroup
  const stride = count / units; // threads that share a position and a group of channels
  const division = divide(outQuads, Math.floor(256 / (POSITIONS * stride)), quads);
  const { slices, groups, perThread } = division;
  const slice = sliceQuads(division);
  const threads = POSITIONS * stride * groups;
  const [columns, rows] = [2 * across + 2, 2 * down + 2];
  const seen = columns * rows;
  const half = across + 1; // even and odd columns lie apart, so that neighbouring units read neighbouring places
  const weights = POSITIONS * 4 * slice; // of one quad of input channels
  const all = slices * inQuads * weights;
  // Workgroup memory: the transformed input, the weights, the raw input; at the end the sums of `groups` quads.
  const weightsAt = POSITIONS * count;
  const rawAt = weightsAt + weights;
  const places = Math.max(rawAt + rows * 2 * half, POSITIONS * count * groups);
  const [eachUnit, eachQuad] = [range(units), range(perThread)];
  const [fetched, fetchedWeights] = [Math.ceil(seen / threads), Math.ceil(weights / threads)];
  const fetch = fetcher({ threads, columns, seen, weights, all });
  const storeRaw = lines(
    fetched,
    (i) => `    {
      let i = thread + ${i * threads}u;
      let column = i % ${columns}u;
      if (i < ${seen}u) {
        s[${rawAt}u + ((i / ${columns}u) * 2u + (column & 1u)) * ${half}u + column / 2u] = next${i};
      }
    }`,
  );
  const storeWeight = (i) => `s[${weightsAt}u + thread + ${i * threads}u] = nextW${i};`;
  const storeWeights = lines(fetchedWeights, (i) =>
    (i + 1) * threads <= weights
      ? `    ${storeWeight(i)}`
      : `    if (thread + ${i * threads}u < ${weights}u) { ${storeWeight(i)} }`,
  );
  const multiply = (lane, i) => `      {
        ${eachQuad.map((j) => `let w${j} = s[wAt + ${i * slice + j * groups}u];`).join(' ')}
${eachUnit.map((u) => eachQuad.map((j) => `        sum${u}_${j} = fma(vec4<f32>(in${u}.${lane}), w${j}, sum${u}_${j});`).join(' ')).join('\n')}
      }`;
  const code = `${inputsOf(PLANES)}
${epilogue({ ending, variant, quads: outQuads, padded: slices * slice > outQuads, scale })}
var<workgroup> s: array<vec4<f32>, ${places}>;
// The inverse transform of one row of pixels of a unit, from the sums of the quads that begin at o.
fn finish(i: u32, o: u32, group: vec2<u32>) {
  let unit = i % ${count}u;
  let quad = (i / ${count}u) % ${groups}u;
  let low = i >= ${count * groups}u; // the lower of the two rows
  let at = quad * ${count}u + unit;
  let outer = select(0u, ${12 * groups * count}u, low) + at;
  let sign = select(1.0, -1.0, low);
${lines(4, (j) => `  let t${j} = sign * (s[outer + ${j * groups * count}u] + s[at + ${(8 + j) * groups * count}u]) + s[at + ${(4 + j) * groups * count}u];`)}
  let bias = biases[o + quad];
  let x = group.x * ${2 * across}u + (unit % ${across}u) * 2u;
  let y = group.y * ${2 * down}u + (unit / ${across}u) * 2u + select(0u, 1u, low);
  if (y < tile.size.y) {
    if (x < tile.size.x) { put(o + quad, x, y, t0 + t1 + t2 + bias); }
    if (x + 1u < tile.size.x) { put(o + quad, x + 1u, y, t1 - t2 - t3 + bias); }
  }
}
@compute @workgroup_size(${threads})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let position = thread / ${stride * groups}u;
  let channel = (thread % ${stride * groups}u) / ${stride}u;
  let unit0 = thread % ${stride}u;
  let corner = vec2<i32>(group.xy * vec2<u32>(${2 * across}u, ${2 * down}u)) - 1;
  let start = group.z * ${inQuads * weights}u;
${eachUnit.map((u) => `  ${eachQuad.map((j) => `var sum${u}_${j} = vec4<f32>();`).join(' ')}`).join('\n')}
${lines(fetched, (i) => `  var next${i}: vec4<f32>;`)}
${lines(fetchedWeights, (i) => `  var nextW${i}: vec4<f32>;`)}
${fetch('0u')}
${storeRaw}
  for (var quad = 0u; quad < ${inQuads}u; quad++) {
    workgroupBarrier();
${storeWeights}
    for (var i = thread; i < ${4 * count}u; i += ${threads}u) {
      // One row of a unit's transformed patch: two raw rows, added or subtracted, then their columns.
      let unit = i % ${count}u;
      let row = i / ${count}u;
      let a = select(select(1u, 2u, row == 2u), 0u, row == 0u);
      let b = select(select(2u, 1u, row == 2u), 3u, row == 3u);
      let sign = vec4<f32>(select(-1.0, 1.0, row == 1u));
      let raw = ${rawAt}u + (unit / ${across}u) * ${4 * half}u + unit % ${across}u;
      let rowA = raw + a * ${2 * half}u;
      let rowB = raw + b * ${2 * half}u;
      let d0 = s[rowA] + sign * s[rowB];
      let d1 = s[rowA + ${half}u] + sign * s[rowB + ${half}u];
      let d2 = s[rowA + 1u] + sign * s[rowB + 1u];
      let d3 = s[rowA + ${half + 1}u] + sign * s[rowB + ${half + 1}u];
      let to = row * ${4 * count}u + unit;
      s[to] = d0 - d2;
      s[to + ${count}u] = d1 + d2;
      s[to + ${2 * count}u] = d2 - d1;
      s[to + ${3 * count}u] = d1 - d3;
    }
    workgroupBarrier();
    if (quad < ${inQuads - 1}u) {
${fetch('(quad + 1u)')}
    }
    {
      let inAt = position * ${count}u + unit0;
      let wAt = ${weightsAt}u + position * ${4 * slice}u + channel;
${eachUnit.map((u) => `      let in${u} = s[inAt + ${u * stride}u];`).join('\n')}
${[...'xyzw'].map(multiply).join('\n')}
    }
${storeRaw}
  }
${eachQuad
  .map(
    (j) => `  workgroupBarrier();
${eachUnit.map((u) => `  s[(position * ${groups}u + channel) * ${count}u + unit0 + ${u * stride}u] = sum${u}_${j};`).join('\n')}
  workgroupBarrier();
  for (var i = thread; i < ${2 * count * groups}u; i += ${threads}u) { finish(i, group.z * ${slice}u + ${j * groups}u, group.xy); }`,
  )
  .join('\n')}
}`;
  return {
    code,
    threads,
    shared: places * 16,
    groups: (width, height) => [Math.ceil(width / (2 * across)), Math.ceil(height / (2 * down)), slices],
    division,
    order: 'winograd',
  };
}
