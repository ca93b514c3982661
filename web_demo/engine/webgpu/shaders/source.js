/** Small pieces from which the generators of this folder put WGSL together. */

/**
 * @typedef {object} Kernel a compute shader and how it is to be used; its entry point is `main`
 * @property {string} code WGSL
 * @property {number} threads of a workgroup
 * @property {number} shared bytes of workgroup memory
 * @property {(width: number, height: number) => [number, number, number]} groups workgroups for a tile of that size
 * @property {Division} division of the output channels
 * @property {'pixels' | 'direct' | 'winograd' | 'matrix'} order in which `../packing.js` lays out its weights
 * @property {number} [block] channels of a block of weights, in the order `matrix`
 */

/**
 * @typedef {object} Division how the output channels of a convolution are shared out, in quads of four channels
 * @property {number} slices workgroups that share a place, along z
 * @property {number} groups of threads in a workgroup
 * @property {number} perThread quads that a thread computes
 */

/** @returns {number[]} 0 … n − 1 */
export const range = (n) => Array.from({ length: n }, (_, i) => i);

/** @param {number} n @param {(i: number) => string} line @returns {string} n lines */
export const lines = (n, line) => range(n).map(line).join('\n');

/** Quads of four channels that hold so many channels; what is left over is zero. */
export const quadsOf = (channels) => Math.ceil(channels / 4);

/** Quads of a slice, computed or not. */
export const sliceQuads = ({ groups, perThread }) => groups * perThread;

/**
 * Share out the output channels so that as few as possible are computed in vain.
 * @param {number} quads
 * @param {number} maxGroups of threads in a workgroup
 * @param {number[]} perThread quads that a thread may compute, best first
 * @returns {Division}
 */
export function divide(quads, maxGroups, perThread) {
  const most = maxGroups * Math.max(...perThread);
  const slices = Math.ceil(quads / most);
  const slice = Math.ceil(quads / slices);
  const ways = perThread.map((each) => ({ slices, groups: Math.ceil(slice / each), perThread: each }));
  const allowed = ways.filter(({ groups }) => groups <= maxGroups);
  return allowed.reduce((best, way) => (sliceQuads(way) < sliceQuads(best) ? way : best));
}

/** What every kernel of the network knows about the tile; `tileValues` of `../tile.js` writes it. */
export const TILE_UNIFORM = `struct Tile {
  size: vec2<u32>, // of the input
  origin: vec2<u32>, // of the input in the source texture
  keepFrom: vec2<u32>, // first pixel of the enlarged tile that is kept
  keepTo: vec2<u32>, // one past the last
  place: vec2<u32>, // of the first kept pixel in the target texture
  grey: u32, // whether colours become their luma
}
@group(0) @binding(4) var<uniform> tile: Tile;`;

/**
 * Return a generator of the lines that fetch a quad's pixels and weights into the registers `next…` and `nextW…`, each
 * thread its share; beyond the image there are zeros.
 * @param {object} options
 * @param {number} options.threads of a workgroup
 * @param {number} options.columns pixels in a row of what a workgroup sees
 * @param {number} options.seen pixels that it sees
 * @param {number} options.weights of a quad of input channels
 * @param {number} options.all weights of the layer
 * @returns {(quad: string) => string}
 */
export const fetcher =
  ({ threads, columns, seen, weights, all }) =>
  (quad) => `
${lines(
  Math.ceil(seen / threads),
  (i) => `    {
      let i = thread + ${i * threads}u;
      let at = corner + vec2<i32>(i32(i % ${columns}u), i32(i / ${columns}u));
      next${i} = vec4<f32>();
      if (i < ${seen}u && all(at >= vec2<i32>(0)) && all(at < vec2<i32>(tile.size))) {
        next${i} = input[quad_at(${quad}, vec2<u32>(at))];
      }
    }`,
)}
${lines(
  Math.ceil(weights / threads),
  (i) => `    nextW${i} = weights[min(start + ${quad} * ${weights}u + thread + ${i * threads}u, ${all - 1}u)];`,
)}`;
