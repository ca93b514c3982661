/** What the kernels are told about a tile: `TILE_UNIFORM` of `shaders/source.js` reads it. */

/**
 * @typedef {object} Tile in pixels; what is not given is the whole
 * @property {number} width of the input
 * @property {number} height
 * @property {{x: number, y: number}} [origin] of the input in a source texture
 * @property {{left: number, top: number, right: number, bottom: number}} [keep] part of the enlarged tile
 * @property {{x: number, y: number}} [place] of that part in a target texture
 * @property {boolean} [grey] whether colours become their luma
 */

/** Bytes of the uniform. */
export const TILE_BYTES = 48;

/** @param {Tile} tile @param {number} scale @returns {{left: number, top: number, right: number, bottom: number}} */
export const keptOf = ({ width, height, keep }, scale) =>
  keep ?? { left: 0, top: 0, right: width * scale, bottom: height * scale };

/**
 * @param {Tile} tile
 * @param {number} scale
 * @returns {Uint32Array} as the struct holds it
 */
export function tileValues(tile, scale) {
  const { width, height, origin = { x: 0, y: 0 }, place = { x: 0, y: 0 }, grey = false } = tile;
  const { left, top, right, bottom } = keptOf(tile, scale);
  const { x, y } = place;
  return Uint32Array.of(width, height, origin.x, origin.y, left, top, right, bottom, x, y, Number(grey), 0);
}

/**
 * The tile at a place of a divided image.
 * @param {import('../../images/tiling.js').Span} x
 * @param {import('../../images/tiling.js').Span} y
 * @param {number} scale
 * @returns {Tile} of which what belongs to that place is kept
 */
export function tileAt(x, y, scale) {
  const keep = {
    left: (x.from - x.start) * scale,
    top: (y.from - y.start) * scale,
    right: (x.to - x.start) * scale,
    bottom: (y.to - y.start) * scale,
  };
  return { width: x.size, height: y.size, origin: { x: x.start, y: y.start }, keep };
}
