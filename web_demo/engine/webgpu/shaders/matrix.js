/**
 * A 3×3 convolution on a GPU's matrix units, by WebGPU's experimental subgroup matrices: a row of neighbouring pixels
 * times a block of weights, for every tap. Factors are f16, sums f32.
 */
import { epilogue } from './epilogue.js';
import { blocked, inputsOf } from './layout.js';
import { lines, quadsOf, range, sliceQuads } from './source.js';

/**
 * @typedef {object} Matrix what an adapter multiplies at once
 * @property {number} pixels rows of the left factor
 * @property {number} block columns of both factors
 * @property {number} lanes threads of a subgroup
 */

/**
 * @typedef {object} MatrixShape
 * @property {number} rows of pixels that a subgroup computes
 * @property {number} across subgroups of a workgroup along x
 * @property {number} down subgroups of a workgroup along y
 */

/** Output channels that a subgroup computes at most: more sums than these and four rows do not fit its registers. */
const MOST = 64;

/** @param {Matrix} matrix @param {MatrixShape} shape @returns {import('./layout.js').Layout} of activations */
export const layoutFor = ({ pixels, block }, { rows, across, down }) =>
  blocked({ block, across: pixels * across, down: rows * down });

/**
 * Generate the kernel. Factors come straight from memory, where each lies in one piece.
 * @param {object} options as for `directConvolution`
 * @param {Matrix} options.matrix
 * @param {MatrixShape} options.shape
 * @param {number} options.inputs channels
 * @param {number} options.outputs channels
 * @param {import('./epilogue.js').Ending} options.ending
 * @param {'span' | 'official'} options.variant
 * @param {number} [options.scale]
 * @returns {import('./source.js').Kernel}
 */
export function matrixConvolution({ matrix, shape, inputs, outputs, ending, variant, scale = 1 }) {
  const { pixels, block, lanes } = matrix;
  const { rows, across, down } = shape;
  const layout = layoutFor(matrix, shape);
  const inBlocks = Math.ceil(inputs / block);
  const outBlocks = Math.ceil(outputs / block);
  const slices = Math.ceil(outBlocks / Math.max(1, Math.floor(MOST / block)));
  const perSlice = Math.ceil(outBlocks / slices);
  const quads = block / 4; // of a block
  const division = { slices, groups: 1, perThread: perSlice * quads };
  const slice = sliceQuads(division);
  const subgroups = across * down;
  const threads = lanes * subgroups;
  const [width, height] = [pixels * across, rows * down];
  const weight = block * block;
  const weights = inBlocks * 9 * perSlice * weight; // of a slice
  const sums = pixels * perSlice * block; // of a row of a subgroup
  const [eachRow, eachBlock] = [range(rows), range(perSlice)];
  const load = (side, from, at, stride) =>
    `subgroupMatrixLoad<subgroup_matrix_${side}<f16, ${side === 'left' ? `${block}, ${pixels}` : `${block}, ${block}`}>, row_major>(&${from}, ${at}, ${stride})`;
  const loadPixels = (from, at, r) => load('left', from, `${at} + ${r}u * stride * ${block}u`, `${block}u`);
  const multiply = (offset, first) =>
    eachBlock.map(
      (n) => `      {
        let factor = ${load('right', 'weights', `w + ${(offset + n) * weight}u`, `${block}u`)};
${eachRow.map((r) => `        sum${r}_${n} = subgroupMatrixMultiplyAccumulate(in${first + r}, factor, sum${r}_${n});`).join('\n')}
      }`,
    );
  const merge = (extra) => `  for (var k = 0u; k < ${inBlocks}u; k++) {
    let at = ((k * rows() + y + 1u) * stride + x + 1u) * ${block}u;
    let w = ${slices * weights}u + ((group.z * 3u + ${extra}u) * ${inBlocks}u + k) * ${perSlice * weight}u;
${lines(rows, (r) => `    let in${r} = ${loadPixels(`extra${extra}`, 'at', r)};`)}
${multiply(0, 0).join('\n')}
  }`;
  const code = `enable f16;
enable subgroups;
enable chromium_experimental_subgroup_matrix;
diagnostic(off, chromium.subgroup_matrix_uniformity);
${inputsOf(layout)}
${epilogue({ ending, variant, quads: quadsOf(outputs), padded: slices * slice > quadsOf(outputs), scale, layout })}
var<workgroup> sums: array<f32, ${subgroups * sums}>;
@compute @workgroup_size(${threads})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let subgroup = thread / ${lanes}u;
  let lane = thread % ${lanes}u;
  let x = group.x * ${width}u + subgroup % ${across}u * ${pixels}u;
  let y = group.y * ${height}u + subgroup / ${across}u * ${rows}u;
  let stride = pitch();
${eachRow.map((r) => `  ${eachBlock.map((n) => `var sum${r}_${n} = subgroup_matrix_result<f32, ${block}, ${pixels}>();`).join(' ')}`).join('\n')}
  for (var k = 0u; k < ${inBlocks}u; k++) {
    for (var column = 0u; column < 3u; column++) {
      let at = ((k * rows() + y) * stride + x + column) * ${block}u;
      let w = group.z * ${weights}u + (k * 3u + column) * ${3 * perSlice * weight}u;
${lines(rows + 2, (r) => `      let in${r} = ${loadPixels('input', 'at', r)};`)}
${range(3)
  .flatMap((row) => multiply(row * perSlice, row))
  .join('\n')}
    }
  }
${ending === 'merge' ? range(3).map(merge).join('\n') : ''}
  let start = subgroup * ${sums}u;
${eachRow
  .map(
    (r) => `${r ? '  workgroupBarrier();\n' : ''}${eachBlock
      .map((n) => `  subgroupMatrixStore<row_major>(&sums, start + ${n * pixels * block}u, sum${r}_${n}, ${block}u);`)
      .join('\n')}
  workgroupBarrier();
  for (var i = lane; i < ${sums / 4}u; i += ${lanes}u) {
    let pixel = i % ${pixels * quads}u / ${quads}u;
    let o = group.z * ${slice}u + i / ${pixels * quads}u * ${quads}u + i % ${quads}u;
    if (x + pixel < tile.size.x && y + ${r}u < tile.size.y) {
      let s = start + i * 4u;
      put(o, x + pixel, y + ${r}u, vec4<f32>(sums[s], sums[s + 1u], sums[s + 2u], sums[s + 3u]) + biases[o]);
    }
  }`,
  )
  .join('\n')}
}`;
  return {
    code,
    threads,
    shared: subgroups * sums * 4,
    groups: (tileWidth, tileHeight) => [Math.ceil(tileWidth / width), Math.ceil(tileHeight / height), slices],
    division,
    order: 'matrix',
    block,
  };
}
