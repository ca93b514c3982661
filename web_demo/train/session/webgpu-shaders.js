/**
 * Shaders of convolutions with stride 1 and zero padding, and of their gradients, as programs that TensorFlow.js's WebGPU
 * backend runs. Tensors lie as it keeps them: (N, H, W, channels), and (k, k, inputs, outputs) for filters.
 */
import { divide, lines, quadsOf, range, sliceQuads } from '../../engine/webgpu/shaders/source.js';

/** Pixels of a workgroup of a convolution, and how many of a row a thread computes. */
const TILE = { across: 8, down: 8, pixels: 2 };

/** Pixels that a workgroup of a filter's gradient reads at once, and the input channels that it computes. */
const PIECE = { across: 8, down: 4, channels: 16 };

/** So many workgroups share out the pixels of a filter's gradient. */
const SPLITS = 128;

/** Four values together where the channels allow it. */
const lanesOf = (channels) => (channels % 4 === 0 ? 4 : 1);

/**
 * WGSL of a function that reads four values in a row; which values follow the last one does not matter.
 * @param {string} name of the function
 * @param {string} array name of the tensor
 * @param {number} lanes values that the tensor holds together
 */
const reader = (name, array, lanes) =>
  lanes === 4
    ? `fn ${name}(i : i32) -> vec4<f32> { return ${array}[i / 4]; }`
    : `fn ${name}(i : i32) -> vec4<f32> {
  let last = i32(arrayLength(&${array})) - 1;
  return vec4<f32>(${range(4)
    .map((j) => `${array}[min(i + ${j}, last)]`)
    .join(', ')});
}`;

/** WGSL of a function that writes four channels of the result, those that there are. */
const writer = (channels) =>
  lanesOf(channels) === 4
    ? `fn write(i : i32, channel : i32, value : vec4<f32>) {
  if (channel < ${channels}) { result[i / 4] = value; }
}`
    : `fn write(i : i32, channel : i32, value : vec4<f32>) {
${lines(4, (j) => `  if (channel + ${j} < ${channels}) { result[i + ${j}] = value[${j}]; }`)}
}`;

/**
 * A convolution, or the gradient of its input: that is one with the filter flipped, inputs and outputs swapped.
 * @param {number[]} shape (N, H, W, channels) of what is read
 * @param {number[]} filterShape (k, k, inputs, outputs), k odd
 * @param {boolean} flipped whether it is the gradient
 */
export function convolution([count, height, width, channels], filterShape, flipped) {
  const [size, , inputs, outputs] = filterShape;
  const made = flipped ? inputs : outputs;
  const { across, down, pixels } = TILE;
  const division = divide(quadsOf(made), 4, [3, 2, 1]);
  const { slices, groups, perThread } = division;
  const slice = sliceQuads(division);
  const perRow = across / pixels;
  const threads = perRow * down * groups;
  const [columns, rows, taps] = [across + size - 1, down + size - 1, size * size];
  const pitch = columns | 1; // an odd one: neighbouring rows lie in different banks
  const each = (line) => range(pixels).flatMap((p) => range(perThread).map((j) => line(p, j)));
  const block = flipped
    ? `transpose(mat4x4<f32>(${range(4)
        .map(
          (j) => `weightsAt(((${taps - 1} - tap) * ${inputs} + min(made + ${j}, ${inputs - 1})) * ${outputs} + read)`,
        )
        .join(', ')}))`
    : `mat4x4<f32>(${range(4)
        .map((j) => `weightsAt((tap * ${inputs} + min(read + ${j}, ${inputs - 1})) * ${outputs} + made)`)
        .join(', ')})`;
  const multiply = (lane, i) =>
    `        {
${lines(perThread, (j) => `          let w${j} = filters[at + ${i * slice + j}];`)}
${each((p, j) => `          sum${p}_${j} = fma(vec4<f32>(in${p}.${lane}), w${j}, sum${p}_${j});`).join('\n')}
        }`;
  const userCode = `
${reader('pixelsAt', 'pixels', lanesOf(channels))}
${reader('weightsAt', 'weights', lanesOf(outputs))}
${writer(made)}
var<workgroup> seen : array<vec4<f32>, ${pitch * rows}>;
var<workgroup> filters : array<vec4<f32>, ${taps * 4 * slice}>;
fn main() {
  let thread = i32(localIndex);
  let size = uniforms.pixelsShape.yz;
  let image = i32(workgroupId.z) / ${slices};
  let firstQuad = i32(workgroupId.z) % ${slices} * ${slice};
  let corner = vec2<i32>(workgroupId.yx) * vec2<i32>(${down}, ${across});
  let column = thread % ${perRow} * ${pixels};
  let row = thread / ${perRow} % ${down};
  let first = thread / ${perRow * down} * ${perThread};
${each((p, j) => `  var sum${p}_${j} = vec4<f32>();`).join('\n')}
  for (var read = 0; read < ${channels}; read += 4) {
    workgroupBarrier();
    for (var i = thread; i < ${columns * rows}; i += ${threads}) {
      let place = vec2<i32>(i / ${columns}, i % ${columns});
      let at = corner + place - ${size >> 1};
      var value = vec4<f32>();
      if (all(at >= vec2<i32>(0)) && all(at < size)) {
        value = pixelsAt(((image * size.x + at.x) * size.y + at.y) * ${channels} + read);
${channels % 4 ? `        value = select(vec4<f32>(), value, vec4<i32>(read) + vec4<i32>(0, 1, 2, 3) < vec4<i32>(${channels}));` : ''}
      }
      seen[place.x * ${pitch} + place.y] = value;
    }
    for (var i = thread; i < ${taps * slice}; i += ${threads}) {
      let tap = i / ${slice};
      let made = (firstQuad + i % ${slice}) * 4;
      let block = ${block};
${lines(4, (j) => `      filters[(tap * 4 + ${j}) * ${slice} + i % ${slice}] = block[${j}];`)}
    }
    workgroupBarrier();
    for (var y = 0; y < ${size}; y++) {
      let left = (row + y) * ${pitch} + column;
${lines(pixels + size - 1, (p) => `      let seen${p} = seen[left + ${p}];`)}
${lines(
  size,
  (x) => `      {
        let at = (y * ${size} + ${x}) * ${4 * slice} + first;
${lines(pixels, (p) => `        let in${p} = seen${p + x};`)}
${[...'xyzw'].map(multiply).join('\n')}
      }`,
)}
    }
  }
  let y = corner.x + row;
  let x = corner.y + column;
  if (y >= size.x) { return; }
  let made = (firstQuad + first) * 4;
  let at = ((image * size.x + y) * size.y + x) * ${made} + made;
${lines(
  pixels,
  (p) => `  if (x + ${p} < size.y) {
${lines(perThread, (j) => `    write(at + ${p * made + 4 * j}, made + ${4 * j}, sum${p}_${j});`)}
  }`,
)}
}`;
  return {
    variableNames: ['pixels', 'weights'],
    variableComponents: [lanesOf(channels), lanesOf(outputs)],
    outputShape: [count, height, width, made],
    outputComponent: lanesOf(made),
    workgroupSize: [threads, 1, 1],
    dispatchLayout: { x: [2], y: [1], z: [0] },
    dispatch: [Math.ceil(width / across), Math.ceil(height / down), count * slices],
    shaderKey: `spanConvolution_${flipped}_${filterShape}`,
    getUserCode: () => userCode,
  };
}

/**
 * The first part of the gradient of a convolution's filter: sums over some of the pixels each, which `total` adds up.
 * @param {number[]} shape (N, H, W, inputs) of the convolution's input
 * @param {number[]} filterShape (k, k, inputs, outputs), k odd
 */
export function filterGradient([count, height, width], filterShape) {
  const [size, , inputs, outputs] = filterShape;
  const { across, down, channels } = PIECE;
  const { slices, groups } = divide(quadsOf(outputs), 16, [1]);
  const threads = channels * groups;
  const [columns, rows, taps] = [across + size - 1, down + size - 1, size * size];
  const pieces = count * Math.ceil(height / down) * Math.ceil(width / across);
  const perGroup = Math.ceil(pieces / SPLITS);
  const splits = Math.ceil(pieces / perGroup);
  const inSlices = Math.ceil(inputs / channels);
  const load = (x) => lines(size, (y) => `        let in${y}_${x} = seen[left + ${(y * columns + x) * channels}];`);
  const add = (y, x, p) => `        sum${y}_${x} = fma(vec4<f32>(in${y}_${p + x}), change${p}, sum${y}_${x});`;
  const each = (line) => range(size).flatMap((y) => range(size).map((x) => line(y, x)));
  const userCode = `
${reader('changesAt', 'changes', lanesOf(outputs))}
${writer(outputs)}
var<workgroup> seen : array<f32, ${columns * rows * channels}>;
var<workgroup> made : array<vec4<f32>, ${across * down * groups}>;
fn main() {
  let thread = i32(localIndex);
  let size = uniforms.pixelsShape.yz;
  let along = (size + vec2<i32>(${down - 1}, ${across - 1})) / vec2<i32>(${down}, ${across});
  let firstChannel = i32(workgroupId.y) % ${inSlices} * ${channels};
  let firstQuad = i32(workgroupId.y) / ${inSlices} * ${groups};
  let channel = thread % ${channels};
  let quad = thread / ${channels};
${each((y, x) => `  var sum${y}_${x} = vec4<f32>();`).join('\n')}
  for (var turn = 0; turn < ${perGroup}; turn++) {
    let piece = i32(workgroupId.x) * ${perGroup} + turn;
    let image = piece / (along.x * along.y);
    let corner = vec2<i32>(piece / along.y % along.x, piece % along.y) * vec2<i32>(${down}, ${across});
    workgroupBarrier();
    for (var i = thread; i < ${columns * rows * channels}; i += ${threads}) {
      let place = i / ${channels};
      let at = corner + vec2<i32>(place / ${columns}, place % ${columns}) - ${size >> 1};
      let c = firstChannel + i % ${channels};
      seen[i] = 0.0;
      if (image < ${count} && all(at >= vec2<i32>(0)) && all(at < size) && c < ${inputs}) {
        seen[i] = pixels[((image * size.x + at.x) * size.y + at.y) * ${inputs} + c];
      }
    }
    for (var i = thread; i < ${across * down * groups}; i += ${threads}) {
      let place = i / ${groups};
      let at = corner + vec2<i32>(place / ${across}, place % ${across});
      let d = (firstQuad + i % ${groups}) * 4;
      made[i] = vec4<f32>();
      if (image < ${count} && all(at < size) && d < ${outputs}) {
        made[i] = changesAt(((image * size.x + at.x) * size.y + at.y) * ${outputs} + d);
      }
    }
    workgroupBarrier();
    for (var row = 0; row < ${down}; row++) {
      let left = row * ${columns * channels} + channel;
      let right = row * ${across * groups} + quad;
${lines(size - 1, load)}
${lines(
  across,
  (p) => `${load(p + size - 1)}
        let change${p} = made[right + ${p * groups}];
${each((y, x) => add(y, x, p)).join('\n')}`,
)}
    }
  }
  let c = firstChannel + channel;
  let d = (firstQuad + quad) * 4;
  if (c < ${inputs}) {
    let at = (i32(workgroupId.x) * ${taps * inputs} + c) * ${outputs} + d;
${each((y, x) => `    write(at + ${(y * size + x) * inputs * outputs}, d, sum${y}_${x});`).join('\n')}
  }
}`;
  return {
    variableNames: ['pixels', 'changes'],
    variableComponents: [1, lanesOf(outputs)],
    outputShape: [splits, taps * inputs * outputs],
    outputComponent: lanesOf(outputs),
    workgroupSize: [threads, 1, 1],
    dispatchLayout: { x: [0], y: [1] },
    dispatch: [splits, inSlices * slices, 1],
    shaderKey: `spanFilterGradient_${filterShape}_${perGroup}_${count}`,
    getUserCode: () => userCode,
  };
}

/**
 * The sum of the rows of a matrix.
 * @param {number[]} shape (rows, values)
 * @param {number[]} outputShape of as many values as a row has
 */
export function total([rows, values], outputShape) {
  const lanes = lanesOf(values);
  const [threads, type] = [64, lanes === 4 ? 'vec4<f32>' : 'f32'];
  const userCode = `
fn main(index : i32) {
  if (index >= uniforms.size) { return; }
  var sum = ${type}();
  for (var row = 0; row < ${rows}; row++) { sum += parts[row * ${values / lanes} + index]; }
  result[index] = sum;
}`;
  return {
    variableNames: ['parts'],
    outputShape,
    outputComponent: lanes,
    size: true,
    workgroupSize: [threads, 1, 1],
    dispatchLayout: { x: outputShape.map((_, axis) => axis) },
    dispatch: [Math.ceil(values / lanes / threads), 1, 1],
    shaderKey: `spanTotal_${rows}_${values}`,
    getUserCode: () => userCode,
  };
}
