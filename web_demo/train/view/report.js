/** What the training view shows of a training: figures, curves, samples and the log. */

import { LABELS } from '../../engine/backend.js';
import { loadChart } from '../../engine/tf.js';
import { bytes, count, duration, longDuration } from '../../ui/format.js';
import { Charts } from './chart.js';
import { showSamples } from './sample-strip.js';

const MAX_LOG_LINES = 200;
/** Milliseconds of a step after which its time is shown while it lasts. */
const LONG_STEP = 2000;
const EMPTY = { points: [], quality: [], bicubic: null };

export class Report {
  /** @param {HTMLElement} root of the view, with its markup */
  constructor(root) {
    this.root = root;
    this.find = (selector) => root.querySelector(selector);
    this.charts = null;
    /** @type {import('../session/history.js').HistoryData | null} */
    this.history = null;
    /** Curves that nobody sees are not drawn. */
    this.shown = false;
    this.frame = 0;
    /** @type {number | undefined} weight of the perceptual loss of the training under way, or of the last one */
    this.vggWeight = undefined;
    this.storedVggWeight = 0;
    this.heldOut = false;
    /** Milliseconds of the steps done last, and when the last one was told. */
    this.stepTime = 0;
    this.lastStep = 0;
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => this.charts?.recolor());
  }

  /** Training needs no curves: without Chart.js the view says so and works. */
  async loadCharts() {
    try {
      this.charts = new Charts(await loadChart(), this.find('#train-loss'), this.find('#train-quality'));
    } catch (error) {
      const textContent = `There are no curves: ${error.message}`;
      const note = Object.assign(document.createElement('p'), { className: 'note', textContent });
      this.find('.train-charts').replaceChildren(note);
    }
  }

  /** The view came into sight. */
  show() {
    this.shown = true;
    this.charts?.resize();
    this.drawCharts();
  }

  /** The view is out of sight. */
  hide() {
    this.shown = false;
  }

  /**
   * A training has started.
   * @param {{backend: string, vggWeight: number, heldOut: boolean}} training `heldOut`: its samples are not trained on
   */
  begin({ backend, vggWeight, heldOut }) {
    Object.assign(this, { vggWeight, heldOut, stepTime: 0, lastStep: performance.now() });
    this.setFigure('backend', LABELS[backend]);
  }

  /** Show how far a stored training has come. */
  showStored({ settings, step, history }) {
    this.storedVggWeight = settings.vggWeight;
    this.showHistory(history);
    const { epochs, stepsPerEpoch } = settings;
    this.showStep({ step, totalSteps: epochs * stepsPerEpoch, epoch: Math.floor(step / stepsPerEpoch) });
  }

  /** Show nothing, as before the first training; the log stays. */
  clear() {
    this.storedVggWeight = 0;
    this.showHistory(EMPTY);
    this.find('#train-samples').hidden = true;
    this.find('#train-progress').value = 0;
    for (const figure of this.root.querySelectorAll('[data-figure]')) figure.textContent = '–';
  }

  /**
   * Show a training's progress.
   * @param {any} progress what the event `progress` of the session tells; without `stepTime` only how far it is
   */
  showStep({ step, totalSteps, epoch, stepTime, remaining, mae, perceptual, tensors, bytes: used }) {
    this.root.dataset.step = step;
    totalSteps = Math.max(totalSteps, step); // fewer epochs may be asked for than are done
    this.find('#train-progress').value = step / totalSteps;
    this.setFigure('step', `${count(step)} of ${count(totalSteps)}`);
    this.setFigure('epoch', count(epoch + (step < totalSteps ? 1 : 0)));
    if (stepTime === undefined) return;
    this.stepTime = stepTime;
    this.lastStep = performance.now();
    this.setFigure('stepTime', duration(stepTime));
    this.setFigure('remaining', longDuration(remaining));
    this.setFigure('loss', (mae + (this.vggWeight ?? 0) * perceptual).toFixed(4));
    this.setFigure('memory', `${bytes(used)}, ${tensors} tensors`);
  }

  /** Show how long the step under way has taken, if that is long; called every second while a training runs. */
  showElapsed() {
    const elapsed = performance.now() - this.lastStep;
    if (elapsed < LONG_STEP) return;
    const last = this.stepTime ? `${duration(this.stepTime)}; ` : '';
    this.setFigure('stepTime', `${last}this one ${duration(elapsed)}`);
  }

  /** @param {import('../session/history.js').HistoryData} history of the loss and of the samples */
  showHistory(history) {
    this.history = history;
    this.drawCharts();
    const psnr = history.quality.at(-1)?.psnr;
    if (psnr !== undefined) this.setFigure('psnr', `${psnr.toFixed(2)} dB`);
  }

  /**
   * Charts that nobody sees wait until the view is shown; others are drawn with the next frame, however often a
   * training reports until then.
   */
  drawCharts() {
    this.frame ||= requestAnimationFrame(() => {
      this.frame = 0;
      const { charts, history, shown } = this;
      if (!charts || !history || !shown) return;
      this.find('#train-empty').hidden = history.points.length > 0 || history.quality.length > 0;
      charts.show(history, this.vggWeight ?? this.storedVggWeight);
    });
  }

  /** @param {any} samples what the event `samples` of the session tells */
  showSamples(samples) {
    this.find('#train-samples').hidden = false;
    showSamples(this.root, samples, this.heldOut);
  }

  /**
   * @param {string} message
   * @param {number} time milliseconds since 1970
   */
  addLog(message, time) {
    const log = this.find('#train-log');
    const stamp = Object.assign(document.createElement('time'), { textContent: new Date(time).toLocaleTimeString() });
    const line = document.createElement('li');
    line.append(stamp, ` ${message}`);
    const atEnd = log.scrollTop + log.clientHeight >= log.scrollHeight - 4;
    log.append(line);
    while (log.children.length > MAX_LOG_LINES) log.firstChild.remove();
    if (atEnd) log.scrollTop = log.scrollHeight;
  }

  setFigure(name, text) {
    this.find(`[data-figure=${name}]`).textContent = text;
  }
}
