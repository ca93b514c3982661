/** Cutting an image into tiles whose results join without a seam. */

/**
 * @typedef {object} Span where a tile lies along one axis, in low-resolution pixels
 * @property {number} start first pixel that the network sees
 * @property {number} size pixels that it sees
 * @property {number} from first pixel whose result is kept, counted from the image's border
 * @property {number} to one past the last
 */

/**
 * Tiles along one axis. All are equally long. Tiles at a border begin or end exactly there, so that the network's zero
 * padding happens where it happens for the whole image; elsewhere `halo` pixels on either side are seen but not kept.
 * A side shorter than the tile keeps its length: filled up to the tile, its border would lie where the network pads the
 * activations of no layer but the first, and its pixels there would differ.
 * @param {number} length of the image's side
 * @param {number} tile pixels per tile, more than twice the halo
 * @param {number} halo
 * @param {number} [first] where the wanted part of the side begins
 * @param {number} [end] one past its last pixel
 * @returns {Span[]}
 */
export function planAxis(length, tile, halo, first = 0, end = length) {
  if (length <= tile) return [{ start: 0, size: length, from: first, to: end }];
  if (tile <= 2 * halo) throw new RangeError(`A tile of ${tile} pixels must be larger than twice the halo of ${halo}.`);
  const spans = [];
  for (let from = first; from < end; from = spans.at(-1).to) {
    const start = Math.min(Math.max(0, from - halo), length - tile);
    const valid = start + tile === length ? length : start + tile - halo;
    spans.push({ start, size: tile, from, to: Math.min(valid, end) });
  }
  return spans;
}

/**
 * @param {number} width of the image
 * @param {number} height
 * @returns {{columns: Span[], rows: Span[], count: number}}
 */
export function planTiles(width, height, tile, halo) {
  const columns = planAxis(width, tile, halo);
  const rows = planAxis(height, tile, halo);
  return { columns, rows, count: columns.length * rows.length };
}
