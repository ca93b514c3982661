// Times and checks training steps of the page on a GPU, without a browser: TensorFlow.js's convolutions against our own,
// in one run:
//   node benchmarks/web/train_gpu.mjs [--networks quick,x2,x4] [--patches 32,64] [--batch 8] [--steps 10]
//     [--perceptual DIR] [--profiles 5] [--shapes]
// --perceptual trains with the features that `span-export --perceptual DIR` wrote; --profiles is the number of steps whose
// kernels are timed; --shapes tells the kernels of convolutions apart by their shapes.
// Needs what kernels.mjs needs.
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { WEB, installWebgpu, median, readArtifacts } from './dawn.mjs';
import { KernelTimes } from './kernel_times.mjs';

const { values: options } = parseArgs({
  options: {
    networks: { type: 'string', default: 'quick,x2,x4' },
    patches: { type: 'string', default: '32,64' },
    batch: { type: 'string', default: '8' },
    steps: { type: 'string', default: '10' },
    perceptual: { type: 'string' },
    profiles: { type: 'string', default: '5' },
    shapes: { type: 'boolean' },
  },
});
const NETWORKS = {
  tiny: { scale: 2, channels: 6, blocks: 1 },
  quick: { scale: 2, channels: 16, blocks: 2 },
  x2: { scale: 2, channels: 48, blocks: 6 },
  x4: { scale: 4, channels: 48, blocks: 6 },
};
/** Milliseconds of steps before any is timed: a GPU that idles runs slowly. */
const WARM = 400;
const [batch, steps, profiles] = [options.batch, options.steps, options.profiles].map(Number);

installWebgpu(['enable-dawn-features=allow_unsafe_apis', 'disable-dawn-features=timestamp_quantization']);
const load = (path) => import(join(WEB, path));
const { loadTf } = await load('engine/tf.js');
await loadTf(['layers', 'cpu']);
const { tf } = await (await load('engine/backend.js')).startBackend('webgpu');
const { info } = await navigator.gpu.requestAdapter({ powerPreference: 'high-performance' });
console.log(`${info.vendor} ${info.device} ${info.description}`);
const { Trainer } = await load('train/session/step.js');
const { defaultConfig } = await load('train/session/layers-model.js');
const { initialise } = await load('train/session/init.js');
const { uniformStream } = await load('network/random.js');
const { PerceptualLoss } = await load('train/session/vgg-loss.js');
const { DEFAULTS } = await load('train/settings.js');
const { registerConvolutions } = await load('train/session/webgpu-convolutions.js');

const times = new KernelTimes(tf, options.shapes);
const perceptual = options.perceptual ? await readPerceptual(options.perceptual) : null;
/** @type {Array<[string, () => () => void]>} ways to train; each begins and says how it ends */
const WAYS = [
  ['TensorFlow.js', () => () => {}],
  ['our kernels', () => registerConvolutions(tf)],
];
for (const patch of options.patches.split(',').map(Number)) {
  for (const name of options.networks.split(',')) await attempt(name, () => compare(name, patch));
}
process.exit(0);

async function readPerceptual(folder) {
  return new PerceptualLoss(tf, await tf.loadLayersModel(tf.io.fromMemory(await readArtifacts(folder))));
}

/** What fails is told, and the rest goes on. */
async function attempt(name, work) {
  try {
    await work();
  } catch (error) {
    console.log(`${name} FAILED: ${error.stack}`);
  }
}

async function compare(name, patch) {
  const config = defaultConfig(NETWORKS[name]);
  console.log(`\n## ${name}: ×${config.scale}, ${config.channels} channels, ${batch} patches of ${patch}×${patch}`);
  const parameters = await initialise(tf, config, 1);
  const uniform = uniformStream(1, 1);
  const random = (count) => Float32Array.from({ length: count }, () => uniform());
  const side = patch * config.scale;
  const [lrShape, hrShape] = [patch, side].map((length) => [batch, length, length, 3]);
  const data = { lr: random(batch * patch ** 2 * 3), lrShape, hr: random(batch * side ** 2 * 3), hrShape };
  const settings = { ...DEFAULTS, batch, patch, vggWeight: perceptual ? DEFAULTS.vggWeight : 0 };
  for (const [way, begin] of WAYS) {
    const end = begin();
    await attempt(way, async () => {
      const make = () => new Trainer(tf, { config, settings, parameters, perceptual, source: { get: () => data } });
      await timeSteps(way, make());
    });
    end();
  }
}

async function timeSteps(way, trainer) {
  const recording = timeOfDifferentiate(trainer);
  const losses = [];
  for (let i = 0; i < 5; i++) losses.push(await trainer.trainStep());
  console.log(
    `${way}: MAE ${losses.map(({ mae }) => mae.toPrecision(7)).join(' ')}, first gradient's norm ${losses[0].norm}`,
  );
  for (const until = performance.now() + WARM; performance.now() < until;) await trainer.trainStep();
  const whole = [];
  recording.length = 0;
  for (let i = 0; i < steps; i++) {
    const start = performance.now();
    await trainer.trainStep();
    whole.push(performance.now() - start);
  }
  console.log(
    `${way}: ${median(whole).toFixed(2)} ms a step (fastest ${Math.min(...whole).toFixed(2)}), of which JavaScript ` +
      `needs ${median(recording).toFixed(2)} to record the gradient`,
  );
  if (profiles) await times.report(() => trainer.trainStep(), profiles);
  trainer.dispose();
}

/** @returns {number[]} milliseconds of the calls so far */
function timeOfDifferentiate(trainer) {
  const milliseconds = [];
  const differentiate = trainer.differentiate.bind(trainer);
  trainer.differentiate = (data) => {
    const start = performance.now();
    const result = differentiate(data);
    milliseconds.push(performance.now() - start);
    return result;
  };
  return milliseconds;
}
