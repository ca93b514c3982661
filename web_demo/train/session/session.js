/**
 * A training from start to stop: prepares the data, picks a backend that can train, runs steps, reports, keeps the state.
 * It runs in a worker (`worker.js`) and knows nothing of the page.
 */

import { BackendLost, isExhaustion, LABELS, nextTask, startBackend, stopBackend } from '../../engine/backend.js';
import { loadTf } from '../../engine/tf.js';
import { haloOf, readConfig } from '../../network/model.js';
import { TrainingError } from '../errors.js';
import { validate } from '../settings.js';
import { History } from './history.js';
import { initialise } from './init.js';
import { readParameters, toArtifacts, weightCount } from './layers-model.js';
import { loadPairs, PatchSource } from './patches.js';
import { makeSamples, split, upscaleSample } from './samples.js';
import { makeGolden } from './self-check.js';
import { Trainer } from './step.js';
import { deleteTraining, loadTraining, saveTraining } from './store.js';
import { PerceptualLoss } from './vgg-loss.js';

/** Backends that have the gradients of a convolution, fastest first; TF.js's WebAssembly lacks them. */
export const TRAINING_CHAIN = ['webgpu', 'webgl', 'cpu'];
const PHOTOGRAPHS_TOO_LARGE =
  'The photographs do not fit into the storage that the browser grants this page; choose them again after a reload.';
const SAVE_EVERY = 15000; // milliseconds
const SAMPLE_EVERY = 5000;
const LOG_EVERY = 10000;
const REPORT_EVERY = 100;
/** Milliseconds to wait after a failure whether the GPU turns out to be lost: what it was reading may fail first. */
const LOSS_DELAY = 100;

/**
 * @typedef {object} StartRequest
 * @property {Record<string, unknown>} settings
 * @property {{kind: 'stored'} | {kind: 'scratch', config: object} | {kind: 'model', name: string, artifacts: object}} origin
 * @property {import('./store.js').Photograph[] | null} photographs `null` keeps those of the stored training
 * @property {string} [backend] tried first
 * @property {string} perceptualUrl
 */

export class TrainingSession {
  /** @param {(event: string, detail: object) => void} send receives progress, samples, history and log events */
  constructor(send) {
    this.send = send;
    /** The newest state and photographs off the GPU: what Start goes on from and Save writes. */
    this.kept = null;
    this.trainer = null;
    this.running = false;
    this.stopping = false;
    this.jobs = [];
    /** Backends whose GPU was lost, perhaps while nothing ran: they would never answer and must start afresh. */
    this.lostBackends = new Set();
  }

  /** Describe the stored training, or `null`. */
  async peek() {
    await this.readStored();
    if (!this.kept) return null;
    const { state, photographs } = this.kept;
    const { config, settings, step, history } = state;
    return { config, settings, step, history, photographs };
  }

  /**
   * Keep what is stored if it is newer than what is kept: another tab may have trained.
   * @returns {Promise<boolean>} whether anything is stored: another tab may have deleted it
   */
  async readStored() {
    const stored = await loadTraining().catch((error) => {
      if (!this.kept) throw error;
      return null;
    });
    if (stored && !(stored.state.savedAt <= this.kept?.state.savedAt)) this.kept = stored;
    return Boolean(stored);
  }

  /** Keep the state now, because the page may be closed; while nothing runs it is kept already. */
  keepNow() {
    return this.betweenSteps(async () => {
      if (!this.trainer) return;
      await this.keep();
      await this.persist();
    });
  }

  /** Run a job when no step is under way: at once, or after the present one, or when the training is prepared. */
  betweenSteps(job) {
    if (this.running) return new Promise((resolve, reject) => this.jobs.push(() => job().then(resolve, reject)));
    this.job = job();
    return this.job;
  }

  stop() {
    this.stopping = true;
  }

  /** Forget the training, here and on disk. */
  async remove() {
    if (this.running) throw new TrainingError('Stop the training before deleting the model.');
    await this.locked(deleteTraining);
    this.kept = null;
  }

  /**
   * The averaged weights as TF.js artifacts, with fresh metadata.
   * @throws {TrainingError} nothing has been trained yet
   */
  async export() {
    // The golden output is computed on another backend, which must not happen in the middle of a step.
    return this.betweenSteps(() => this.describeModel());
  }

  async describeModel() {
    if (this.trainer) await this.keep();
    else await this.readStored();
    if (!this.kept) throw new TrainingError('There is no trained model to save; press Start Training first.');
    const { config, origin, average, settings, step } = this.kept.state;
    const tf = await loadTf(['cpu', 'layers']);
    const before = tf.getBackend();
    await tf.setBackend('cpu'); // float32 on every device
    try {
      const span = {
        format: 1,
        generator: 'span-keras web_demo',
        scale: config.scale,
        channels: config.channels,
        blocks: config.blocks,
        variant: config.variant,
        img_range: config.imgRange,
        rgb_mean: config.rgbMean,
        halo: haloOf(config),
        quantization: 'none',
        source: { name: origin.source?.name ?? origin.name, sha256: origin.source?.sha256 ?? null },
        license: origin.license ?? 'Trained from scratch in the browser; the licence of the photographs applies.',
        training: { step, settings },
        golden: await makeGolden(tf, config, average),
      };
      return { name: `span-x${config.scale}-step-${step}`, artifacts: toArtifacts(tf, config, average, span) };
    } finally {
      if (this.trainer) await tf.setBackend(before);
    }
  }

  /**
   * Train until the last step, `stop()` or an error; the state is kept in each case.
   * @param {StartRequest} request
   * @returns {Promise<{finished: boolean, step: number}>}
   */
  async start(request) {
    if (this.running) throw new TrainingError('A training is under way; stop it before you start another.');
    this.running = true;
    this.stopping = false; // before the lock is awaited: a stop may come earlier
    try {
      return await this.locked(() => this.run(request));
    } finally {
      this.running = false;
      this.job = Promise.all(this.jobs.splice(0).map((job) => job()));
    }
  }

  /** Do what no other tab may do meanwhile. */
  async locked(work) {
    if (!navigator.locks) return work(); // there are none without a secure context
    let answered = false;
    try {
      return await navigator.locks.request('span-training', { ifAvailable: true }, (lock) => {
        answered = true;
        if (lock) return work();
        throw new TrainingError('A training is running in another tab of this page; stop it there first.');
      });
    } catch (error) {
      if (answered) throw error;
      return work(); // pages that may store nothing may not lock either
    }
  }

  async run(request) {
    this.reported = ''; // what could not be kept is told in each run
    await this.job?.catch(() => {}); // it may be computing on another backend
    const { tf, name: backend, lost } = await this.startTrainable(request.backend);
    Object.assign(this, { backend, lost });
    const resting = tf.memory().numTensors;
    let perceptual = null;
    try {
      const { state, photographs, fresh } = await this.onGpu(this.prepare(tf, request));
      const { config, settings } = state;
      this.log(`Reading photographs: ${photographs.length}.`);
      const { pairs, problems } = await loadPairs(photographs, { ...settings, scale: config.scale }, (done, total) =>
        this.send('preparing', { done, total }),
      );
      problems.forEach((problem) => this.log(problem));
      const { training, shown, heldOut } = split(pairs);
      perceptual = settings.vggWeight > 0 ? await PerceptualLoss.load(tf, request.perceptualUrl) : null;
      this.send('started', {
        backend,
        perceptual: Boolean(perceptual),
        config,
        settings,
        heldOut,
        weights: weightCount(config),
      });
      this.log(
        `Training x${config.scale}, ${config.channels} channels, on ${LABELS[backend]}, from step ${state.step}, ` +
          `with ${training.length} photographs; loss: ${perceptual ? `MAE + ${settings.vggWeight} · VGG` : 'MAE alone'}.`,
      );
      const source = new PatchSource(training, { ...settings, scale: config.scale });
      const { parameters } = state;
      this.kept = { state: { ...state, savedAt: Date.now() }, photographs };
      this.unstored = fresh ? photographs : null;
      this.history = new History(state.history);
      this.trainer = new Trainer(tf, { config, settings, parameters, source, perceptual, state });
      this.samples = makeSamples(shown, config.scale);
      this.history.bicubic = mean(this.samples.map(({ bicubicPsnr }) => bicubicPsnr));
      await this.persist();
      await this.loop();
      return { finished: this.trainer.step >= this.trainer.totalSteps, step: this.trainer.step };
    } catch (error) {
      throw this.explain(error);
    } finally {
      this.trainer?.dispose();
      this.trainer = null;
      perceptual?.dispose();
      this.send('rest', { tensors: tf.memory().numTensors, resting });
      if (this.lostBackends.has(backend)) stopBackend(tf, backend);
    }
  }

  /** Await work on the GPU, which a lost one would leave undone for ever. */
  async onGpu(work) {
    try {
      return await Promise.race([work, this.lost]);
    } catch (error) {
      const delay = new Promise((resolve) => setTimeout(resolve, LOSS_DELAY, error));
      throw this.explain(await Promise.race([delay, this.lost.catch((loss) => loss)]));
    }
  }

  /** State and photographs to go on from; `fresh` photographs are not stored yet. */
  async prepare(tf, { origin, settings: typed, photographs }) {
    if (origin.kind === 'stored') {
      const isStored = await this.readStored();
      if (!this.kept) throw new TrainingError('There is no stored training to go on with; choose another start.');
      const { state, photographs: kept } = this.kept;
      const chosen = photographs?.length ? photographs : kept;
      const others = chosen !== kept;
      const fresh = !isStored || others || kept === this.unstored || kept === this.omitted;
      const settings = checked(typed);
      // Losses of another function or other images do not compare with those before.
      const comparable = !others && settings.vggWeight === state.settings.vggWeight;
      const recentLosses = comparable ? state.recentLosses : [];
      return { state: { ...state, settings, recentLosses }, photographs: chosen, fresh };
    }
    const config = origin.kind === 'model' ? readConfig(origin.artifacts) : origin.config;
    const settings = checked(typed);
    const parameters =
      origin.kind === 'model'
        ? await readParameters(tf, origin.artifacts, config)
        : await initialise(tf, config, settings.seed);
    const zeros = () => new Float32Array(parameters.length);
    const { source, license } = origin.artifacts?.userDefinedMetadata?.span ?? {};
    const { scale, channels, blocks, variant, imgRange } = config;
    const rgbMean = config.rgbMean.map((mean) => Number(mean.toPrecision(6))); // float32 leaves digits that nobody wrote
    const state = {
      config: { scale, channels, blocks, variant, imgRange, rgbMean },
      origin: { name: origin.name ?? 'scratch', source, license },
      settings,
      step: 0,
      skipped: 0,
      streak: 0,
      recentLosses: [],
      history: new History().toJSON(),
      updates: 0,
      parameters,
      average: parameters,
      momentum: zeros(),
      velocity: zeros(),
    };
    return { state, photographs: photographs ?? this.kept?.photographs ?? [], fresh: true };
  }

  async loop() {
    const { trainer } = this;
    const times = [];
    let [saved, sampled, logged, reported] = [performance.now(), -Infinity, performance.now(), -Infinity];
    let sampling = 0;
    let last = null;
    let loggedStep = null;
    await this.sample();
    sampled = performance.now();
    while (!this.stopping && trainer.step < trainer.totalSteps) {
      const begin = performance.now();
      last = await this.onGpu(trainer.trainStep());
      times.push(performance.now() - begin);
      if (times.length > 20) times.shift();
      if (last.skipped) this.logSkipped(last);
      else this.history.addLoss({ step: trainer.step, mae: last.mae, perceptual: last.perceptual, rate: last.rate });
      const now = performance.now();
      const done = trainer.step === trainer.totalSteps || this.stopping;
      if (done || now - reported > REPORT_EVERY) {
        this.report(last, median(times));
        reported = now;
      }
      // Samples take no more than a tenth of the time.
      if (now - sampled > Math.max(SAMPLE_EVERY, 10 * sampling)) {
        await this.sample();
        sampled = performance.now();
        sampling = sampled - now;
      }
      const epochEnds = trainer.step % trainer.settings.stepsPerEpoch === 0;
      // The last step is logged below, with what its samples gave.
      if (!done && (now - logged > LOG_EVERY || epochEnds)) {
        this.logStep(last, median(times));
        logged = now;
        loggedStep = trainer.step;
      }
      if (now - saved > SAVE_EVERY) {
        await this.keep();
        await this.persist();
        saved = performance.now();
      }
      while (this.jobs.length) await this.jobs.shift()();
      await nextTask();
    }
    if (last) {
      await this.sample();
      if (loggedStep !== trainer.step) this.logStep(last, median(times));
    }
    await this.keep();
    this.reported = ''; // the view may have been asked for something since
    await this.persist();
  }

  /** Take the weights and the optimizer off the GPU. */
  async keep() {
    const snapshot = await this.onGpu(this.trainer.snapshot());
    const { state, photographs } = this.kept;
    this.kept = {
      state: { ...state, ...snapshot, history: this.history.toJSON(), savedAt: Date.now() },
      photographs,
    };
  }

  /** Write what is kept; a full disk is reported once, and at the end again, and does not stop the training. */
  async persist() {
    const { state } = this.kept;
    let failure = '';
    // Photographs that do not fit must not keep the state from being stored.
    for (const photographs of this.unstored ? [this.unstored, []] : [undefined]) {
      try {
        await saveTraining(state, photographs);
        if (this.unstored) {
          this.omitted = photographs === this.unstored ? null : this.unstored; // the next run tries again
          if (this.omitted) failure = PHOTOGRAPHS_TOO_LARGE;
        }
        this.unstored = null;
        this.send('saved', { step: state.step });
        break;
      } catch (error) {
        failure = error.message;
      }
    }
    if (failure && failure !== this.reported) {
      this.log(failure);
      this.send('unsaved', { message: failure });
    }
    this.reported = failure;
  }

  async sample() {
    const { trainer } = this;
    const results = [];
    const upscaling = trainer.withAverage(async (network) => {
      for (const sample of this.samples)
        results.push({ ...sample, ...(await upscaleSample(trainer.tf, network, sample)) });
    });
    await this.onGpu(upscaling);
    const psnr = mean(results.map((result) => result.psnr));
    this.history.addQuality({ step: trainer.step, psnr });
    this.send('samples', { step: trainer.step, samples: results, psnr, bicubic: this.history.bicubic });
    this.send('history', { history: this.history.toJSON() });
  }

  report({ mae, perceptual, rate }, stepTime) {
    const { trainer } = this;
    const { numTensors, numBytes } = trainer.tf.memory();
    this.send('progress', {
      step: trainer.step,
      totalSteps: trainer.totalSteps,
      epoch: trainer.epoch,
      skipped: trainer.skipped,
      mae,
      perceptual,
      rate,
      stepTime,
      remaining: stepTime * (trainer.totalSteps - trainer.step),
      tensors: numTensors,
      bytes: numBytes,
    });
    this.send('history', { history: this.history.toJSON() });
  }

  logStep({ mae, perceptual, rate }, stepTime) {
    const { trainer } = this;
    const psnr = this.history.quality.at(-1)?.psnr;
    const vgg = trainer.perceptual ? `, VGG ${perceptual.toPrecision(4)}` : '';
    this.log(
      `Step ${trainer.step}, epoch ${Math.ceil(trainer.step / trainer.settings.stepsPerEpoch)} of ${trainer.settings.epochs}: MAE ${mae.toFixed(5)}${vgg}, ` +
        `PSNR ${psnr.toFixed(2)} dB, rate ${rate.toPrecision(3)}, ${(stepTime / 1000).toPrecision(3)} s per step.`,
    );
  }

  logSkipped({ restored }) {
    const { step, streak } = this.trainer;
    const restoring = restored ? ` After ${streak} in a row the averaged weights took over.` : '';
    this.log(`Step ${step} was skipped: its loss or gradient is not a finite number, or the loss leapt.${restoring}`);
  }

  log(message) {
    console.info(`[span training] ${message}`);
    this.send('log', { message, time: Date.now() });
  }

  /** Start the first backend that really computes gradients. */
  async startTrainable(preferred) {
    if (preferred === 'wasm') {
      this.log(
        'WebAssembly cannot train: TensorFlow.js has no gradient of a convolution there. Another backend is used.',
      );
    }
    const order = [...new Set([preferred, ...TRAINING_CHAIN])].filter((name) => TRAINING_CHAIN.includes(name));
    const reasons = [];
    const tf = await loadTf(['layers']);
    for (const name of order) {
      try {
        if (this.lostBackends.delete(name)) stopBackend(tf, name);
        const { lost } = await startBackend(name);
        lost.catch(() => this.lostBackends.add(name));
        await Promise.race([checkGradient(tf), lost]);
        if (reasons.length) this.log(`${reasons.join(' ')} Training uses ${LABELS[name]}.`);
        return { tf, name, lost };
      } catch (error) {
        stopBackend(tf, name); // the next training tries it afresh
        reasons.push(`${LABELS[name]}: ${error.message}.`);
      }
    }
    throw new TrainingError(`No backend of this browser can train. ${reasons.join(' ')}`);
  }

  /** An error of the present training as a sentence; `error` itself if it is one or a defect. */
  explain(error) {
    const { backend } = this;
    if (error instanceof TrainingError || error.name === 'ModelError') return error;
    if (!(error instanceof BackendLost) && !isExhaustion(error)) return error;
    this.lostBackends.add(backend);
    const step = this.kept?.state.step ?? 0;
    return new TrainingError(
      `${LABELS[backend]} ran out of memory or was lost (${error.message}). Take a smaller batch or patch and press ` +
        `Start Training: it goes on from step ${step}.`,
    );
  }
}

/** @throws {TrainingError} a setting is wrong */
function checked(typed) {
  const { settings, problems } = validate(typed);
  const [problem] = Object.values(problems);
  if (problem) throw new TrainingError(problem);
  return settings;
}

/** A backend counts only if the gradient of a small convolution is right on it. */
async function checkGradient(tf) {
  const [image, kernel, gradient] = tf.tidy(() => {
    const image = tf.ones([1, 3, 3, 1]);
    const kernel = tf.ones([3, 3, 1, 1]);
    return [image, kernel, tf.grad((k) => tf.sum(tf.conv2d(image, k, 1, 'same')))(kernel)];
  });
  const values = [...(await gradient.data())];
  tf.dispose([image, kernel, gradient]);
  if (values.join() !== '4,6,4,6,9,6,4,6,4') throw new Error('computes wrong gradients');
}

const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;
const median = (values) => [...values].sort((a, b) => a - b)[values.length >> 1];
