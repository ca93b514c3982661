/**
 * A training from start to stop: prepares the data, picks a backend that can train, runs steps, reports, keeps the state.
 * It runs in a worker (`worker.js`) and knows nothing of the page.
 */

import { BackendLost, isExhaustion, LABELS, stopBackend } from '../../engine/backend.js';
import { nextTask } from '../../limit.js';
import { TrainingError } from '../errors.js';
import { History } from './history.js';
import { weightCount } from './layers-model.js';
import { loadPairs, PatchSource } from './patches.js';
import { makeSamples, split, upscaleSample } from './samples.js';
import { makeModel } from './saved-model.js';
import { prepare } from './start.js';
import { Trainer } from './step.js';
import { StoredTraining } from './stored.js';
import { describeSkipped, describeStart, describeStep, progressOf } from './telling.js';
import { timeStep } from './timing.js';
import { startTrainable } from './training-backend.js';
import { PerceptualLoss } from './vgg-loss.js';

const SAVE_EVERY = 15000; // milliseconds
/** Milliseconds of a step from which on each is kept: it may be stopped in the middle, and then goes on from there. */
const SLOW_STEP = 1000;
const SAMPLE_EVERY = 5000;
const LOG_EVERY = 10000;
const REPORT_EVERY = 100;
/** Milliseconds to wait after a failure whether the GPU turns out to be lost: what it was reading may fail first. */
const LOSS_DELAY = 100;

export class TrainingSession {
  running = false;
  stopping = false;
  /** @type {(isMeant: boolean) => void} answers whether a training is to begin that was timed; see `isMeant` */
  proceed = () => {};
  /** @type {Array<() => Promise<any>>} to be run between two steps */
  jobs = [];
  /** @type {Promise<any> | undefined} the last of them that was run while no training was under way */
  job;
  /** @type {Set<string>} backends whose GPU was lost, perhaps while nothing ran: they never answer, and start afresh */
  lostBackends = new Set();
  // What a training that is under way has.
  /** @type {Trainer} null while none is */
  trainer;
  /** @type {History} */
  history;
  /** @type {import('./samples.js').Sample[]} */
  samples;
  /** @type {import('../../engine/backend.js').BackendName} */
  backend;
  /** @type {Promise<never>} rejects if the GPU goes away */
  lost;

  /** @param {(event: string, detail: object) => void} send receives progress, samples, history and log events */
  constructor(send) {
    this.send = send;
    this.stored = new StoredTraining(send, (message) => this.log(message));
  }

  /** Describe the stored training, or `null`. */
  async peek() {
    await this.stored.read();
    if (!this.stored.kept) return null;
    const { state, photographs } = this.stored.kept;
    const { config, settings, backend, step, history } = state;
    return { config, settings, backend, step, history, photographs };
  }

  /** Go on after another session, which was ended: `kept` is what that could not store, or null. */
  adopt(kept) {
    this.stored.adopt(kept);
  }

  /** Keep the state now, because the page may be closed; while nothing runs it is kept already. */
  keepNow() {
    return this.betweenSteps(async () => {
      if (!this.trainer) return;
      await this.keep();
      await this.stored.write();
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
    this.proceed(false);
  }

  /** Forget the training, here and on disk. */
  async remove() {
    if (this.running) throw new TrainingError('Stop the training before deleting the model.');
    await this.stored.remove();
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
    else await this.stored.read();
    if (!this.stored.kept) throw new TrainingError('There is no trained model to save; press Start Training first.');
    return makeModel(this.stored.kept.state, Boolean(this.trainer));
  }

  /**
   * Train until the last step, `stop()` or an error; the state is kept in each case.
   * @param {import('./start.js').StartRequest} request
   * @returns {Promise<{finished?: boolean, step?: number, declined?: boolean}>} `declined`: timed, it was not meant
   */
  async start(request) {
    if (this.running) throw new TrainingError('A training is under way; stop it before you start another.');
    this.running = true;
    this.stopping = false; // before the lock is awaited: a stop may come earlier
    try {
      return await this.stored.alone(() => this.run(request));
    } finally {
      this.running = false;
      this.job = Promise.all(this.jobs.splice(0).map((job) => job()));
    }
  }

  async run(request) {
    this.stored.forgetReports();
    await this.job?.catch(() => {}); // it may be computing on another backend
    const log = (message) => this.log(message);
    const preferred = request.backend === 'auto' ? request.suggested : request.backend;
    const { tf, name: backend, lost } = await startTrainable(preferred, this.lostBackends, log);
    Object.assign(this, { backend, lost });
    const resting = tf.memory().numTensors;
    /** @type {PerceptualLoss | null} */
    let perceptual = null;
    try {
      const { state, photographs, fresh } = await this.onGpu(prepare(tf, this.stored, request));
      const { config, settings } = state;
      this.log(`Reading photographs: ${photographs.length}.`);
      const { pairs, problems } = await loadPairs(photographs, { ...settings, scale: config.scale }, (done, total) =>
        this.send('preparing', { done, total }),
      );
      problems.forEach((problem) => this.log(problem));
      const { training, shown, heldOut } = split(pairs);
      perceptual = settings.vggWeight > 0 ? await PerceptualLoss.load(tf, request.perceptualUrl) : null;
      if (!request.untimed && !(await this.isMeant(tf, state, perceptual))) return { declined: true };
      this.send('started', {
        backend,
        perceptual: Boolean(perceptual),
        config,
        settings,
        heldOut,
        weights: weightCount(config),
      });
      this.log(describeStart({ state, backend, photographs: training.length, perceptual: Boolean(perceptual) }));
      const source = new PatchSource(training, { ...settings, scale: config.scale });
      const { parameters } = state;
      this.stored.begin(state, photographs, fresh);
      this.history = new History(state.history);
      this.trainer = new Trainer(tf, { config, settings, parameters, source, perceptual, state });
      this.samples = makeSamples(shown, config.scale);
      this.history.bicubic = mean(this.samples.map(({ bicubicPsnr }) => bicubicPsnr));
      await this.stored.write();
      await this.loop();
      return { finished: this.trainer.step >= this.trainer.totalSteps, step: this.trainer.step };
    } catch (error) {
      throw this.explain(error);
    } finally {
      this.trainer?.dispose();
      this.trainer = /** @type {any} */ (null);
      perceptual?.dispose();
      this.send('rest', { tensors: tf.memory().numTensors, resting });
      if (this.lostBackends.has(backend)) stopBackend(tf, backend);
    }
  }

  /** Tell the page how long a step takes here, and wait for its answer whether the training is to begin. */
  async isMeant(tf, { config, settings, step }, perceptual) {
    this.send('timing', {});
    const milliseconds = await this.onGpu(timeStep(tf, config, settings, perceptual));
    const answer = new Promise((resolve) => (this.proceed = resolve));
    const steps = settings.epochs * settings.stepsPerEpoch - step;
    this.send('timed', { backend: this.backend, milliseconds, steps });
    return this.stopping ? false : answer;
  }

  /**
   * Await work on the GPU, which a lost one would leave undone for ever.
   * @template T
   * @param {Promise<T>} work
   * @returns {Promise<T>}
   */
  async onGpu(work) {
    try {
      return await Promise.race([work, this.lost]);
    } catch (error) {
      const delay = new Promise((resolve) => setTimeout(resolve, LOSS_DELAY, error));
      throw this.explain(await Promise.race([delay, this.lost.catch((loss) => loss)]));
    }
  }

  async loop() {
    const { trainer } = this;
    const times = [];
    let [saved, sampled, logged, reported] = [performance.now(), -Infinity, performance.now(), -Infinity];
    let sampling = 0;
    /** @type {import('./step.js').StepResult | undefined} */
    let last;
    let loggedStep = NaN;
    await this.sample();
    sampled = performance.now();
    while (!this.stopping && trainer.step < trainer.totalSteps) {
      const begin = performance.now();
      last = await this.onGpu(trainer.trainStep());
      times.push(performance.now() - begin);
      if (times.length > 20) times.shift();
      if (last.skipped) this.log(describeSkipped(trainer, last));
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
      if (now - saved > SAVE_EVERY || now - begin > SLOW_STEP) {
        await this.keep();
        await this.stored.write();
        saved = performance.now();
      }
      for (let job; (job = this.jobs.shift());) await job();
      await nextTask();
    }
    await this.keep();
    if (this.stopping) await this.stored.write(); // who stops may not wait for the samples
    const isHurried = this.stopping && sampling > SLOW_STEP;
    if (last && !isHurried) {
      await this.sample();
      if (loggedStep !== trainer.step) this.logStep(last, median(times));
    }
    this.stored.update({ history: this.history.toJSON() }); // with the last samples
    this.stored.forgetReports(); // the view may have been asked for something since
    await this.stored.write();
  }

  /** Take the weights and the optimizer off the GPU. */
  async keep() {
    const snapshot = await this.onGpu(this.trainer.snapshot());
    this.stored.update({ ...snapshot, history: this.history.toJSON() });
  }

  async sample() {
    const { trainer } = this;
    /** @type {import('./samples.js').ShownSample[]} */
    const results = [];
    const upscaling = trainer.withAverage(async (network) => {
      for (const sample of this.samples) {
        results.push({ ...sample, ...(await upscaleSample(trainer.tf, network, sample)) });
      }
    });
    await this.onGpu(upscaling);
    const psnr = mean(results.map((result) => result.psnr));
    this.history.addQuality({ step: trainer.step, psnr });
    this.send('samples', { step: trainer.step, samples: results, psnr, bicubic: this.history.bicubic });
    this.send('history', { history: this.history.toJSON() });
  }

  report(last, stepTime) {
    this.send('progress', progressOf(this.trainer, last, stepTime));
    this.send('history', { history: this.history.toJSON() });
  }

  logStep(last, stepTime) {
    this.log(describeStep(this.trainer, last, stepTime, this.history.quality.at(-1)?.psnr ?? NaN));
  }

  log(message) {
    console.info(`[span training] ${message}`);
    this.send('log', { message, time: Date.now() });
  }

  /** An error of the present training as a sentence; `error` itself if it is one or a defect. */
  explain(error) {
    const { backend } = this;
    if (error instanceof TrainingError || error.name === 'ModelError') return error;
    if (!(error instanceof BackendLost) && !isExhaustion(error)) return error;
    this.lostBackends.add(backend);
    const step = this.stored.kept?.state.step ?? 0;
    return new TrainingError(
      `${LABELS[backend]} ran out of memory or was lost (${error.message}). Take a smaller batch or patch and press ` +
        `Start Training: it goes on from step ${step}.`,
    );
  }
}

const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;
const median = (values) => [...values].sort((a, b) => a - b)[values.length >> 1];
