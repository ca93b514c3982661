/** The kernels that read and write textures count only if they draw what those for bytes compute. */
import { guarded } from './guarded.js';

/** Larger than one workgroup of any shape in both directions, and odd. */
const SIZE = { width: 33, height: 17 };
/** Where the picture lies in its texture, and the result in its own. */
const [ORIGIN, PLACE] = [
  { x: 2, y: 1 },
  { x: 1, y: 3 },
];
// `GPUTextureUsage`, `GPUBufferUsage` and `GPUMapMode`, which are there only where WebGPU is.
const [COPY_SRC, COPY_DST, TEXTURE_BINDING, STORAGE_BINDING] = [1, 2, 4, 8];
const READ = 1;

/**
 * Compile a program's kernels for textures and compare them, on a small picture, with those for bytes, which are checked.
 * @param {import('./network.js').GpuNetwork} network
 * @param {import('./program.js').Program} program
 * @throws {Error} they do not compile or draw something else
 */
export async function checkTextures(network, program) {
  await program.prepare('texture', 'texture');
  const { scale } = network.config;
  const across = SIZE.width + ORIGIN.x;
  const picture = Uint8Array.from({ length: across * (SIZE.height + ORIGIN.y) * 4 }, (_, i) =>
    i % 4 === 3 ? 255 : (i * 7919) % 251,
  );
  const data = new Uint8Array(SIZE.width * SIZE.height * 4);
  for (let y = 0; y < SIZE.height; y++) {
    const from = ((y + ORIGIN.y) * across + ORIGIN.x) * 4;
    data.set(picture.subarray(from, from + SIZE.width * 4), y * SIZE.width * 4);
  }
  const expected = await network.enlarge({ data }, SIZE, { program });
  const drawn = await draw(network, program, picture, across);
  const row = SIZE.width * scale * 4;
  const wrong = expected.findIndex((level, i) => {
    const at = (Math.floor(i / row) + PLACE.y) * drawn.stride + PLACE.x * 4 + (i % row);
    return Math.abs(level - drawn.bytes[at]) > 1;
  });
  if (wrong >= 0) throw new Error(`${program.set.name}: it drew ${SIZE.width}×${SIZE.height} pixels wrongly`);
}

/** @returns {Promise<{bytes: Uint8Array, stride: number}>} the target texture's RGBA, and bytes from a row to the next */
async function draw({ gpu, config, arena, runner }, program, picture, across) {
  const { device } = gpu;
  const [width, height] = [SIZE.width * config.scale + PLACE.x, SIZE.height * config.scale + PLACE.y];
  const stride = Math.ceil((width * 4) / 256) * 256; // as copying asks for
  const size = [across, SIZE.height + ORIGIN.y];
  /** @type {GPUTexture[]} */
  const textures = [];
  const create = (extent, usage) => {
    textures.push(device.createTexture({ size: extent, format: 'rgba8unorm', usage }));
    return /** @type {GPUTexture} */ (textures.at(-1));
  };
  const readable = arena.readable(stride * height);
  try {
    const failure = await guarded(device, () => {
      const input = create(size, COPY_DST | TEXTURE_BINDING);
      const output = create([width, height], COPY_SRC | STORAGE_BINDING);
      device.queue.writeTexture({ texture: input }, picture, { bytesPerRow: across * 4 }, size);
      const kind = /** @type {const} */ ('texture');
      const [from, to] = [input, output].map((texture) => ({ kind, resource: texture.createView() }));
      const after = (encoder) =>
        encoder.copyTextureToBuffer({ texture: output }, { buffer: readable, bytesPerRow: stride }, [width, height]);
      runner.submit(program, from, to, { ...SIZE, origin: ORIGIN, place: PLACE }, { after });
    });
    if (failure) throw new Error(`${program.set.name}: ${failure.message}`);
    await readable.mapAsync(READ);
    return { bytes: new Uint8Array(readable.getMappedRange().slice(0)), stride };
  } finally {
    arena.free(readable);
    for (const texture of textures) texture.destroy();
  }
}
