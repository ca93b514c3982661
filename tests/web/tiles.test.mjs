/** engine/tiles.js: an image cut, computed and put together again. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { computeTiles, placeTile } from '../../web_demo/engine/tiles.js';
import { describe } from '../../web_demo/images/decode.js';

const [WIDTH, HEIGHT, SCALE] = [23, 17, 2];
const image = describe(WIDTH, HEIGHT, Uint8ClampedArray.from({ length: WIDTH * HEIGHT * 4 }, (_, i) => (i % 4 === 3 ? 255 : (i * 97) % 251))); // prettier-ignore
const config = /** @type {any} */ ({ scale: SCALE, halo: 2, inChannels: 3, outChannels: 3 });

/** A network that repeats pixels. */
async function repeat({ data, width, height }) {
  const values = new Float32Array(width * height * SCALE ** 2 * 3);
  for (let i = 0; i < values.length; i++) {
    const [x, y] = [Math.floor(i / 3) % (width * SCALE), Math.floor(i / 3 / (width * SCALE))];
    values[i] = data[(Math.floor(y / SCALE) * width + Math.floor(x / SCALE)) * 4 + (i % 3)] / 255;
  }
  return values;
}

const engineOf = (compute) =>
  /** @type {any} */ ({
    tf: null,
    backend: 'wasm',
    tile: 10,
    config,
    lost: new Promise(() => {}),
    network: { compute },
  });

function check(result) {
  for (let i = 0; i < result.length; i++) {
    const [x, y] = [Math.floor(i / 4) % (WIDTH * SCALE), Math.floor(i / 4 / (WIDTH * SCALE))];
    assert.equal(result[i], image.data[(Math.floor(y / SCALE) * WIDTH + Math.floor(x / SCALE)) * 4 + (i % 4)]);
  }
}

test('tiles put where they belong make the whole image', async () => {
  const result = new Uint8ClampedArray(WIDTH * HEIGHT * SCALE ** 2 * 4);
  const told = [];
  for await (const tile of computeTiles(engineOf(repeat), image, {})) {
    placeTile(tile, result, WIDTH * SCALE);
    told.push(tile.progress);
  }
  check(result);
  assert.deepEqual(told.at(0), { done: 1, total: told.length });
  assert.deepEqual(told.at(-1), { done: told.length, total: told.length });
});

test('a tile that failed is computed anew with what the engine has become', async () => {
  const engine = engineOf(async (pixels) => {
    if (pixels.width === 10) throw new Error('out of memory');
    return repeat(pixels);
  });
  const failures = [];
  const recover = async (error, attempt, side) => {
    failures.push([error.message, attempt, side]);
    engine.tile = 7;
  };
  const result = new Uint8ClampedArray(WIDTH * HEIGHT * SCALE ** 2 * 4);
  for await (const tile of computeTiles(engine, image, { recover })) placeTile(tile, result, WIDTH * SCALE);
  check(result);
  assert.deepEqual(failures, [['out of memory', 0, 10]]);
});

test('a tile that failed is the end where nobody can help', async () => {
  const tiles = computeTiles(
    engineOf(() => Promise.reject(new Error('lost'))),
    image,
    {},
  );
  await assert.rejects(tiles.next(), { message: 'lost' });
});
