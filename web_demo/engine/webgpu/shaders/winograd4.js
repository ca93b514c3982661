/**
 * A 3×3 convolution by Winograd's F(4×4, 3×3), in one kernel: 36 multiplications for 16 pixels where `winograd.js` has 64
 * and `direct.js` 144. A thread fetches columns of pixels and transforms them downwards on their way into workgroup
 * memory; there they are transformed across. Rounding is a little coarser than that of f32.
 * Source: Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", 2016, section 4.2.
 */
import { epilogue } from './epilogue.js';
import { PLANES, inputsOf } from './layout.js';
import { divide, lines, quadsOf, range, sliceQuads } from './source.js';

/**
 * @typedef {object} Winograd4Shape in units of 4×4 pixels
 * @property {number} across units of a workgroup along x
 * @property {number} down units of a workgroup along y
 * @property {number} units that a thread computes
 * @property {number[]} quads of output channels that a thread may compute, best first
 * @property {number} [threads] of a workgroup at most
 */

/** Positions in the transformed 6×6 patch; a thread computes one. */
const POSITIONS = 36;

/** The transform of six values, of a column or a row of a patch. */
const TRANSFORM = `fn transform(d: array<vec4<f32>, 6>) -> array<vec4<f32>, 6> {
  let a = d[4] - 4.0 * d[2];
  let b = d[3] - 4.0 * d[1];
  let c = d[4] - d[2];
  let e = 2.0 * (d[3] - d[1]);
  return array<vec4<f32>, 6>(
    4.0 * (d[0] - d[2]) + c, a + b, a - b, c + e, c - e, d[5] - d[3] - 4.0 * (d[3] - d[1]));
}`;

/**
 * Generate the kernel.
 * @param {object} options as for `directConvolution`; it cannot merge
 * @param {Winograd4Shape} options.shape
 * @param {number} options.inputs channels
 * @param {number} options.outputs channels
 * @param {Exclude<import('./epilogue.js').Ending, 'merge'>} options.ending
 * @param {'span' | 'official'} options.variant
 * @param {number} [options.scale]
 * @returns {import('./source.js').Kernel}
 */
export function winograd4Convolution({ shape, inputs, outputs, ending, variant, scale = 1 }) {
  const { across, down, units, quads, threads: most = 256 } = shape;
  const [inQuads, outQuads] = [quadsOf(inputs), quadsOf(outputs)];
  const count = across * down; // units of a workgroup
  const stride = count / units; // threads that share a position and a group of channels
  const division = divide(outQuads, Math.floor(most / (POSITIONS * stride)), quads);
  const { slices, groups, perThread } = division;
  const slice = sliceQuads(division);
  const threads = POSITIONS * stride * groups;
  const columns = 4 * across + 2;
  const fetches = down * columns; // columns of six pixels, one for every row of units
  const line = across + 1; // every fourth column lies side by side, so that neighbouring units read neighbouring places
  const weights = POSITIONS * 4 * slice; // of one quad of input channels
  const all = slices * inQuads * weights;
  // Workgroup memory: the transformed input, the weights, the columns; at the end the sums of `part` groups' quads.
  const weightsAt = POSITIONS * count;
  const columnsAt = weightsAt + weights;
  const main = columnsAt + down * 24 * line;
  const part = Math.max(1, ...range(groups + 1).filter((n) => n && groups % n === 0 && POSITIONS * count * n <= main));
  const places = Math.max(main, POSITIONS * count * part);
  const [eachUnit, eachQuad] = [range(units), range(perThread)];
  const [fetched, fetchedWeights] = [Math.ceil(fetches / threads), Math.ceil(weights / threads)];
  const guarded = (i, total, body) =>
    (i + 1) * threads <= total ? `    ${body}` : `    if (thread + ${i * threads}u < ${total}u) { ${body} }`;
  const fetch = (quad) => `
${lines(
  fetched,
  (i) => `    {
      let i = thread + ${i * threads}u;
      let at = corner + vec2<i32>(i32(i % ${columns}u), i32(i / ${columns}u) * 4);
      let isInside = i < ${fetches}u && at.x >= 0 && at.x < i32(tile.size.x);
${lines(
  6,
  (r) => `      next${i}[${r}] = vec4<f32>();
      if (isInside && at.y + ${r} >= 0 && at.y + ${r} < i32(tile.size.y)) { next${i}[${r}] = input[quad_at(${quad}, vec2<u32>(at + vec2<i32>(0, ${r})))]; }`,
)}
    }`,
)}
${lines(fetchedWeights, (i) => `    nextW${i} = weights[min(start + ${quad} * ${weights}u + thread + ${i * threads}u, ${all - 1}u)];`)}`;
  const storeColumns = lines(
    fetched,
    (i) => `    {
      let i = thread + ${i * threads}u;
      let column = i % ${columns}u;
      if (i < ${fetches}u) {
        let t = transform(next${i});
        let to = ${columnsAt}u + (i / ${columns}u * 24u + column % 4u) * ${line}u + column / 4u;
${lines(6, (r) => `        s[to + ${r * 4 * line}u] = t[${r}];`)}
      }
    }`,
  );
  const storeWeights = lines(fetchedWeights, (i) =>
    guarded(i, weights, `s[${weightsAt}u + thread + ${i * threads}u] = nextW${i};`),
  );
  const multiply = (lane, i) => `      {
        ${eachQuad.map((j) => `let w${j} = s[wAt + ${i * slice + j * groups}u];`).join(' ')}
${eachUnit.map((u) => eachQuad.map((j) => `        sum${u}_${j} = fma(vec4<f32>(in${u}.${lane}), w${j}, sum${u}_${j});`).join(' ')).join('\n')}
      }`;
  const sumsOf = (j, first) => `  workgroupBarrier();
  if (channel >= ${first}u && channel < ${first + part}u) {
${eachUnit.map((u) => `    s[(position * ${part}u + channel - ${first}u) * ${count}u + unit0 + ${u * stride}u] = sum${u}_${j};`).join('\n')}
  }
  workgroupBarrier();
  for (var i = thread; i < ${4 * count * part}u; i += ${threads}u) { finish(i, group.z * ${slice}u + ${j * groups + first}u, group.xy); }`;
  const code = `${inputsOf(PLANES)}
${epilogue({ ending, variant, quads: outQuads, padded: slices * slice > outQuads, scale })}
var<workgroup> s: array<vec4<f32>, ${places}>;
${TRANSFORM}
// The inverse transform of one row of pixels of a unit, from the sums of the quads that begin at o.
fn finish(i: u32, o: u32, group: vec2<u32>) {
  let unit = i % ${count}u;
  let quad = i / ${count}u % ${part}u;
  let row = i / ${count * part}u;
  let sign = select(1.0, -1.0, (row & 1u) == 1u);
  let power = f32(1u << row); // 1, 2, 4, 8
  let isEdge = row == 0u || row == 3u;
  let edge = select(0u, 5u, row == 3u);
  var t: array<vec4<f32>, 6>;
${lines(6, (c) => {
  const at = (r) => `s[at + ${(r * 6 + c) * part * count}u]`;
  return `  {
    let at = quad * ${count}u + unit;
    let middle = ${at(1)} + sign * ${at(2)} + power * (${at(3)} + sign * ${at(4)});
    t[${c}] = select(middle, middle + s[at + (edge * 6u + ${c}u) * ${part * count}u], isEdge);
  }`;
})}
  let bias = biases[o + quad];
  let x = group.x * ${4 * across}u + unit % ${across}u * 4u;
  let y = group.y * ${4 * down}u + unit / ${across}u * 4u + row;
  let inner = t[1] + t[2];
  let outer = t[3] + t[4];
  let innerOdd = t[1] - t[2];
  let outerOdd = t[3] - t[4];
  if (y < tile.size.y) {
    if (x < tile.size.x) { put(o + quad, x, y, t[0] + inner + outer + bias); }
    if (x + 1u < tile.size.x) { put(o + quad, x + 1u, y, innerOdd + 2.0 * outerOdd + bias); }
    if (x + 2u < tile.size.x) { put(o + quad, x + 2u, y, inner + 4.0 * outer + bias); }
    if (x + 3u < tile.size.x) { put(o + quad, x + 3u, y, innerOdd + 8.0 * outerOdd + t[5] + bias); }
  }
}
@compute @workgroup_size(${threads})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let position = thread / ${stride * groups}u;
  let channel = thread % ${stride * groups}u / ${stride}u;
  let unit0 = thread % ${stride}u;
  let corner = vec2<i32>(group.xy * vec2<u32>(${4 * across}u, ${4 * down}u)) - 1;
  let start = group.z * ${inQuads * weights}u;
${eachUnit.map((u) => `  ${eachQuad.map((j) => `var sum${u}_${j} = vec4<f32>();`).join(' ')}`).join('\n')}
${lines(fetched, (i) => `  var next${i}: array<vec4<f32>, 6>;`)}
${lines(fetchedWeights, (i) => `  var nextW${i}: vec4<f32>;`)}
${fetch('0u')}
${storeColumns}
  for (var quad = 0u; quad < ${inQuads}u; quad++) {
    workgroupBarrier();
${storeWeights}
    for (var i = thread; i < ${6 * count}u; i += ${threads}u) {
      let unit = i % ${count}u;
      let row = i / ${count}u;
      let line = ${columnsAt}u + (unit / ${across}u * 24u + row * 4u) * ${line}u + unit % ${across}u;
      let t = transform(array<vec4<f32>, 6>(
        s[line], s[line + ${line}u], s[line + ${2 * line}u], s[line + ${3 * line}u], s[line + 1u], s[line + ${line + 1}u]));
${lines(6, (c) => `      s[(row * 6u + ${c}u) * ${count}u + unit] = t[${c}];`)}
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
${storeColumns}
  }
${eachQuad.map((j) => range(groups / part).map((p) => sumsOf(j, p * part)).join('\n')).join('\n')}
}`;
  return {
    code,
    threads,
    shared: places * 16,
    groups: (width, height) => [Math.ceil(width / (4 * across)), Math.ceil(height / (4 * down)), slices],
    division,
    order: 'winograd4',
  };
}
