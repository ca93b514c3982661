/** An image through a network, tile by tile, and where the finished tiles belong. */
import { planTiles } from '../images/tiling.js';
import { Ahead } from './ahead.js';
import { computeRegion } from './region.js';

/** @typedef {import('../images/pixels.js').Levels} Levels */

/**
 * @typedef {object} FinishedTile
 * @property {number} x where it begins in the result
 * @property {number} y
 * @property {number} width
 * @property {number} height
 * @property {Levels} data RGBA, of as many bits as the image
 * @property {{done: number, total: number}} progress tiles, this one included
 */

/**
 * Compute an image from the top left on, row of tiles by row of tiles. Tiles to come are begun meanwhile.
 * @param {Parameters<typeof computeRegion>[0] & {lost: Promise<never>}} engine
 * @param {import('../images/decode.js').Pixels} image
 * @param {object} options
 * @param {AbortSignal} [options.signal] stops before the next tile
 * @param {boolean} [options.tta] average over eight orientations
 * @param {import('./running-model.js').RunningModel['recover']} [options.recover] without it a
 *   tile that fails is the end
 * @returns {AsyncGenerator<FinishedTile, void, void>}
 */
export async function* computeTiles(engine, image, { signal, tta, recover = giveUp }) {
  const { scale, halo } = engine.config;
  const { rows, columns, count } = planTiles(image.width, image.height, engine.tile, halo);
  const regions = rows.flatMap((row) => columns.map((column) => ({ row, column })));
  const start = ({ row, column }) => computeRegion(engine, image, column, row, { signal, tta });
  const ahead = new Ahead(regions, start, () => engine.network?.depth ?? 1);
  for (const [i, region] of regions.entries()) {
    const { row, column } = region;
    yield {
      x: column.from * scale,
      y: row.from * scale,
      width: (column.to - column.from) * scale,
      height: (row.to - row.from) * scale,
      data: await finish(region),
      progress: { done: i + 1, total: count },
    };
  }

  async function finish(region) {
    const side = engine.tile;
    let work = ahead.take();
    for (let attempt = 0; ; attempt++) {
      try {
        return await Promise.race([work, engine.lost]);
      } catch (error) {
        signal?.throwIfAborted(); // its reason is anyone's wording, and must not pass for an exhausted GPU
        ahead.restart();
        await recover(error, attempt, side);
        work = start(region);
      }
    }
  }
}

/**
 * Copy a tile to where it belongs.
 * @param {Omit<FinishedTile, 'progress'>} tile
 * @param {Levels} rows RGBA of the result, from row `top` on
 * @param {number} across pixels of such a row
 * @param {number} [top]
 */
export function placeTile({ x, y, width, height, data }, rows, across, top = 0) {
  for (let row = 0; row < height; row++) {
    rows.set(data.subarray(row * width * 4, (row + 1) * width * 4), ((y - top + row) * across + x) * 4);
  }
}

async function giveUp(error) {
  throw error;
}
