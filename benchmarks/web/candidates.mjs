// Sets of kernels that `engine.mjs --candidates` times beside those that the engine offers.
import { join } from 'node:path';
import { WEB } from './dawn.mjs';

const load = (path) => import(join(WEB, 'engine/webgpu', path));
const { SETS, matrixSets } = await load('sets.js');
const { winograd4Convolution } = await load('shaders/winograd4.js');

const MATRIX_SHAPES = [
  { rows: 4, across: 2, down: 2 },
  { rows: 4, across: 2, down: 1 },
  { rows: 4, across: 1, down: 2 },
  { rows: 3, across: 1, down: 1 },
  { rows: 5, across: 1, down: 1 },
  { rows: 6, across: 1, down: 1 },
  { rows: 2, across: 1, down: 1 },
];

const WINOGRAD4_SHAPES = [
  { across: 4, down: 4, units: 8, quads: [2, 1], threads: 512 },
  { across: 4, down: 4, units: 8, quads: [3, 2, 1], threads: 512 },
  { across: 4, down: 4, units: 8, quads: [4, 3, 2, 1] },
  { across: 4, down: 4, units: 16, quads: [2, 1] },
  { across: 4, down: 4, units: 16, quads: [1] },
  { across: 8, down: 4, units: 8, quads: [2, 1], threads: 512 },
  { across: 8, down: 4, units: 8, quads: [3, 2, 1], threads: 512 },
  { across: 8, down: 4, units: 16, quads: [2, 1], threads: 512 },
  { across: 4, down: 2, units: 8, quads: [2, 1] },
  { across: 4, down: 2, units: 4, quads: [4, 3, 2, 1] },
  { across: 4, down: 4, units: 4, quads: [4, 3, 2, 1], threads: 512 },
];

const winograd4Set = (shape) => ({
  ...SETS[0], // its `merge`: it is not Winograd's
  name: `F(4×4) ${4 * shape.across}×${4 * shape.down}, ${shape.units} units × ${shape.quads[0]} quads`,
  convolution: (options) => winograd4Convolution({ shape, ...options }),
});

/** @param {object | null} matrix of the device @returns {object[]} sets of kernels */
export const candidates = (matrix) => [
  ...(matrix ? matrixSets(matrix, MATRIX_SHAPES) : []),
  ...WINOGRAD4_SHAPES.map(winograd4Set),
];
