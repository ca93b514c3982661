// Times and checks our own WebGPU engine on a GPU, without a browser, beside the page's TensorFlow.js path:
//   node benchmarks/web/engine.mjs MODEL_DIR... [--sizes 64,128,256,512] [--sets] [--frames MODEL_DIR] [--photo SIDE]
//     [--pairs FILE] [--only] [--precision float16]
// --sets times every set of kernels of the first model, --precision float16 those for matrix units too; --frames times
// video frames of 1280×720, --photo a square photograph to a PNG file; --pairs compares photographs with Python's results,
// which benchmarks/web/pairs.py wrote for the first model, and in floats with direct convolution; --only leaves out the
// times of tiles.
// Needs what kernels.mjs needs.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { gunzipSync } from 'node:zlib';
import { WEB, installWebgpu, readModel, startTf, timeAwaited, timeQueued } from './dawn.mjs';
import { Worker } from './workers.mjs';

const { values: options, positionals: folders } = parseArgs({
  allowPositionals: true,
  options: {
    sizes: { type: 'string', default: '64,128,256,512' },
    sets: { type: 'boolean' },
    frames: { type: 'string' },
    photo: { type: 'string' },
    pairs: { type: 'string' },
    only: { type: 'boolean' },
    precision: { type: 'string', default: 'float32' },
  },
});
const sizes = options.sizes.split(',').map(Number);
const features = ['allow_unsafe_apis', 'vulkan_enable_f16_on_nvidia'];
installWebgpu(options.precision === 'float16' ? [`enable-dawn-features=${features}`] : []);
const load = (path) => import(join(WEB, path));
const { GpuNetwork } = await load('engine/webgpu/network.js');
const { timeOf } = await load('engine/webgpu/tune.js');
const { settle } = await load('engine/own.js');
const { Engine } = await load('engine/engine.js');
const { FrameDrawer } = await load('engine/frame-drawer.js');
const { checkProgram } = await load('engine/webgpu/check.js');
const { Program } = await load('engine/webgpu/program.js');

for (const folder of options.only ? [] : folders) {
  const model = await readModel(folder);
  const { scale, channels, variant } = model.config;
  console.log(`\n## ${folder.split('/').at(-1)}: ×${scale}, ${channels} channels, ${variant}`);
  await timeNetwork(model, options.sets && folder === folders[0]);
  await timeToday(model);
}
if (options.pairs) await comparePhotographs(await readModel(folders[0]), options.pairs);
if (options.frames) await timeFrames(await readModel(options.frames));
if (options.photo) await timePhotograph(await readModel(folders[0]), Number(options.photo));
process.exit(0);

function row(name, times) {
  console.log(`${name.padEnd(44)} ${times.map(([size, time]) => `${size}: ${time.toFixed(3)}`).join('  ')} ms`);
}

async function timeNetwork({ artifacts, config }, eachSet) {
  const started = performance.now();
  const network = await startNetwork(artifacts, config);
  const ready = performance.now();
  await settle(network, config);
  console.log(`${network.description}; ready after ${(ready - started).toFixed(0)} ms, measured in`);
  console.log(`${(performance.now() - ready).toFixed(0)} ms; ${(network.arena.peak / 1e6).toFixed(0)} MB`);
  const { queue } = network.gpu.device;
  const queued = [];
  const awaited = [];
  const flowing = [];
  for (const size of sizes) {
    const tile = { width: size, height: size };
    const data = new Uint8Array(size * size * 4).map((_, i) => (i * 7919) % 251);
    queued.push([size, await timeQueued(() => network.enqueue(tile), () => queue.onSubmittedWorkDone())]); // prettier-ignore
    const stride = size * config.scale * 4;
    const into = { data: new Uint8ClampedArray(stride * size * config.scale), offset: 0, stride };
    awaited.push([size, await timeAwaited(() => network.enlarge({ data }, tile, { into }))]);
    flowing.push([size, await timeFlow(() => network.enlarge({ data }, tile, { into }), network.depth)]);
  }
  row('own kernels, queued', queued);
  row('own kernels, RGBA8 on the CPU, one at a time', awaited);
  row('own kernels, RGBA8 on the CPU, in flight', flowing);
  if (eachSet) {
    for (const set of network.sets) {
      const program = await programOf(network, set);
      if (!program) continue;
      const times = [];
      for (const size of sizes) times.push([size, await timeOf(network, program, size)]);
      row(`  ${set.name}, queued`, times);
      network.dropProgram(program);
    }
  }
  network.dispose();
}

function startNetwork(artifacts, config) {
  const { precision } = options;
  return GpuNetwork.start(artifacts, config, { device: { precision } });
}

/** A set's program, also one that computes roughly, which is then said; null for one that does not compile. */
async function programOf(network, set) {
  const { device } = network.gpu;
  const program = new Program(network.arena, network.convolutions, network.config, set);
  const started = performance.now();
  const { createShaderModule } = device;
  device.createShaderModule = (descriptor) => {
    const module = createShaderModule.call(device, descriptor);
    module.getCompilationInfo().then(({ messages }) => {
      for (const { type, message, lineNum } of messages) {
        const line = descriptor.code.split('\n')[lineNum - 1];
        if (type === 'error') console.log(`${descriptor.label}: ${message} in line ${lineNum}: ${line}`);
      }
    });
    return module;
  };
  try {
    await Promise.all([program.prepare('bytes', 'floats'), program.prepare('bytes', 'bytes')]);
    const took = ((performance.now() - started) / 1000).toFixed(1);
    const { threads, shared } = program.kernels.activate;
    console.log(`  ${set.name}: ${threads} threads, ${(shared / 1024).toFixed(1)} KB, compiled in ${took} s`);
    await checkProgram(network, program, Promise.resolve()).catch(({ message }) => console.log(`    ${message}`));
    return program;
  } catch (error) {
    console.log(`  ${set.name}: ${error.message}`);
    network.dropProgram(program);
    return null;
  } finally {
    device.createShaderModule = createShaderModule;
  }
}

/** Milliseconds each of 30 tiles, so many under way at once. */
async function timeFlow(work, depth) {
  const start = performance.now();
  const under = [];
  for (let i = 0; i < 30; i++) {
    if (under.length === depth) await under.shift();
    under.push(work());
  }
  await Promise.all(under);
  return (performance.now() - start) / 30;
}

/** The page's path through TensorFlow.js. */
async function timeToday({ artifacts, config }) {
  const tf = globalThis.tf ?? (await startTf());
  const { createNetwork } = await load('network/network.js');
  (await load('network/webgpu.js')).prepareWebgpu(tf, 2 ** 30);
  const { store } = await load('images/pixels.js');
  const network = createNetwork(tf, artifacts, config);
  const queued = [];
  const awaited = [];
  for (const size of sizes) {
    const data = new Uint8Array(size * size * 4).map((_, i) => (i * 7919) % 251);
    const x = network.input({ data, width: size, height: size });
    const backend = tf.backend();
    const done = () => {
      if (backend.commandEncoder) {
        backend.endComputePassEncoder();
        backend.submitQueue();
      }
      return backend.queue.onSubmittedWorkDone();
    };
    queued.push([size, await timeQueued(() => network.run(x).dispose(), done)]);
    const whole = { start: 0, size, from: 0, to: size };
    const out = new Uint8ClampedArray(size * size * config.scale ** 2 * 4);
    const work = async () => {
      const place = { x: whole, y: whole, left: 0, top: 0, width: size * config.scale };
      store(await network.compute({ data, width: size, height: size }), place, config.scale, out);
    };
    awaited.push([size, await timeAwaited(work, { rounds: 5 })]);
    x.dispose();
  }
  row('TensorFlow.js, queued', queued);
  row('TensorFlow.js, RGBA8 on the CPU', awaited);
  network.dispose();
}

/** Photographs against what Python made of them: levels. */
async function comparePhotographs({ artifacts, config }, file) {
  const network = await startNetwork(artifacts, config);
  const direct = await network.makeProgram(network.sets.find(({ name }) => name.startsWith('direct')));
  const pairs = [];
  for (const { sr, ...pixels } of readPairs(file, config.scale)) {
    pairs.push({ pixels, sr, exact: await network.compute(pixels, direct) });
  }
  for (const set of network.gpu.software && !options.sets ? [network.programs.usual.set] : network.sets) {
    const program = await programOf(network, set);
    if (!program) continue;
    let [values, different, worst] = [0, 0, 0];
    let [squares, furthest] = [0, 0];
    for (const { pixels, sr, exact } of pairs) {
      (await network.compute(pixels, program)).forEach((value, i) => {
        const off = value - exact[i];
        squares += off * off;
        if (!(Math.abs(off) <= furthest)) furthest = Math.abs(off);
      });
      const out = await network.enlarge(pixels, pixels, { program });
      for (let i = 0, j = 0; i < out.length; i++) {
        if (i % 4 === 3) continue;
        const off = Math.abs(out[i] - sr[j++]);
        if (off) different++;
        worst = Math.max(worst, off);
        values++;
      }
    }
    const equal = (100 * (1 - different / values)).toFixed(4);
    console.log(
      `${pairs.length} photographs, ${set.name}: ${equal} % of the values equal Python's, at most ${worst} off;`,
    );
    const psnr = 10 * Math.log10(values / squares);
    console.log(
      `  against direct convolution at most ${(furthest * 255).toPrecision(2)} levels, ${psnr.toFixed(1)} dB`,
    );
    network.dropProgram(program);
  }
  network.dispose();
}

/** @returns {Generator<{width, height, data: Uint8Array, sr: Uint8Array}>} RGBA of the input, RGB of the result */
function* readPairs(file, scale) {
  const bytes = gunzipSync(readFileSync(file));
  for (let at = 0; at < bytes.length;) {
    const [width, height] = [bytes.readUInt32LE(at), bytes.readUInt32LE(at + 4)];
    const pixels = width * height;
    const rgb = bytes.subarray(at + 8, at + 8 + pixels * 3);
    const data = new Uint8Array(pixels * 4).fill(255);
    for (let i = 0; i < pixels; i++) data.set(rgb.subarray(3 * i, 3 * i + 3), 4 * i);
    at += 8 + pixels * 3;
    const sr = bytes.subarray(at, at + pixels * scale ** 2 * 3);
    at += sr.length;
    yield { width, height, data, sr };
  }
}

/** Frames of 1280×720 from texture to texture, each awaited, with the kernels that a paused video lets be measured. */
async function timeFrames({ artifacts, config }) {
  const drawer = await FrameDrawer.start(artifacts);
  await drawer.settle();
  const { device } = drawer;
  const [width, height] = [1280, 720];
  const usage = GPUTextureUsage.TEXTURE_BINDING | GPUTextureUsage.COPY_DST;
  const source = device.createTexture({ size: [width, height], format: 'rgba8unorm', usage });
  const size = [width * config.scale, height * config.scale];
  const target = device.createTexture({ size, format: 'rgba8unorm', usage: GPUTextureUsage.STORAGE_BINDING });
  const each = await timeAwaited(() => drawer.draw(source, target), { rounds: 60 });
  console.log(`\n## frames, ×${config.scale}, ${config.channels} channels: ${drawer.network.description}`);
  console.log(`1280×720 each awaited: ${each.toFixed(2)} ms, ${(1000 / each).toFixed(0)} frames per second`);
  await drawer.dispose();
}

/** A photograph through the whole pipeline to the bytes of a PNG file, and its stages. */
async function timePhotograph({ artifacts, config }, side) {
  globalThis.Worker = Worker; // the encoder's threads, as in a page
  const image = makePhotograph(side);
  const megapixels = (side * side) / 1e6;
  console.log(`\n## a photograph of ${megapixels.toFixed(1)} megapixels to PNG, seconds`);
  const results = {};
  for (const own of [true, false]) {
    const engine = new Engine(() => {}, { own });
    const settled = performance.now();
    await engine.load(artifacts, { backend: 'webgpu' });
    if (own) {
      await settle(engine.network, config);
      engine.tile = engine.network.tile;
    }
    const loaded = (performance.now() - settled) / 1000;
    await engine.pixels(makePhotograph(256)); // shaders compile
    const { milliseconds, tiles, data } = await engine.pixels(image);
    const name = own ? 'own kernels' : 'TensorFlow.js';
    const network = milliseconds / 1000;
    console.log(`${name}: ready after ${loaded.toFixed(1)}; ${tiles} tiles to pixels ${network.toFixed(2)}`);
    let bytes = 0;
    const start = performance.now();
    await engine.upscale(image, { write: async (part) => void (bytes += part.length) });
    const whole = (performance.now() - start) / 1000;
    console.log(`${name}: to PNG ${whole.toFixed(2)}, ${(bytes / 1e6).toFixed(0)} MB`);
    results[name] = { network, whole };
    if (own) {
      await timePng(data, side * config.scale);
    }
    engine.release();
  }
  const [a, b] = [results['own kernels'], results['TensorFlow.js']];
  console.log(
    `times faster: to pixels ${(b.network / a.network).toFixed(1)}, to PNG ${(b.whole / a.whole).toFixed(1)}`,
  );
}

/** The PNG encoder alone, on one thread and then on those that a page has, which what comes after finds again. */
async function timePng(data, side) {
  const { PngEncoder } = await load('engine/png.js');
  for (const threads of [1, navigator.hardwareConcurrency]) {
    Object.assign(navigator, { hardwareConcurrency: threads });
    const encoder = new PngEncoder(side, side, { write: async () => {} });
    const start = performance.now();
    await encoder.rows(data);
    await encoder.finish();
    const seconds = (performance.now() - start) / 1000;
    const rate = (side * side * 3) / 1e6 / seconds;
    console.log(`PNG encoder alone, ${threads} cores: ${seconds.toFixed(2)}, ${rate.toFixed(0)} MB of RGB each second`);
  }
}

/** Waves and noise, which deflate about as a photograph does. */
function makePhotograph(side) {
  const data = new Uint8ClampedArray(side * side * 4);
  let seed = 1;
  for (let i = 0; i < data.length; i += 4) {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
    const [x, y] = [(i / 4) % side, Math.floor(i / 4 / side)];
    const wave = 120 + 60 * Math.sin(x / 37) * Math.cos(y / 23) + 30 * Math.sin((x + y) / 5) + (seed >>> 28);
    data.set([wave, wave * 0.8 + 20, 200 - wave * 0.6, 255], i);
  }
  return { data, width: side, height: side, alpha: false, grey: false, colorSpace: 'srgb' };
}
