/** The training view: its controls, and what they make of the events of the training thread. */

import { LABELS } from '../../engine/backend.js';
import { modelFile, readModelFiles } from '../../checkpoints/model-files.js';
import { readConfig, requireTrainable } from '../../network/model.js';
import { save } from '../../ui/download.js';
import { count } from '../../ui/format.js';
import * as awake from '../../ui/awake.js';
import { loadStyle } from '../../ui/style.js';
import { Buttons } from './buttons.js';
import { SessionThread, TrainingEnded } from './client.js';
import { Form } from './form.js';
import { Photographs } from './photographs.js';
import { mountQuestion } from './question.js';
import { originOf } from './origin.js';
import { Reminder } from './reminder.js';
import { Report } from './report.js';
import { Runner, describeEnd } from './runner.js';
import { Sizing } from './sizing.js';
import { TEMPLATE } from './template.js';
import { TRAINED, deleteFromModels, keepAmongModels, modelFilesOf } from './trained.js';

/** Beside the page, from `span-export --perceptual`. */
const PERCEPTUAL = 'perceptual/model.json';

/**
 * @param {HTMLElement} root an empty section
 * @param {object} context what the page gives
 * @param {() => string} context.getName of the page's model
 * @param {() => Promise<{name: string, artifacts: import('../../network/model.js').ModelArtifacts}>} context.getModel the page's
 * @param {(model: {name: string, artifacts: object}) => Promise<boolean>} context.setModel makes a trained model the
 *   page's, if it can be used
 * @param {() => void} context.onModelsChanged models were stored or deleted: the picker reads the store again
 * @param {(text: string) => void} context.announce one sentence for the status line and screen readers
 * @returns {Promise<{show(): void, hide(): void, take(files: File[]): void, modelChanged(name: string): void}>} `show`
 *   and `hide` when a tab was opened, `take` when files were dropped or pasted, `modelChanged` when the page has another
 */
export async function mountTraining(root, context) {
  await Promise.all(['./train.css', './setup.css'].map((path) => loadStyle(new URL(path, import.meta.url))));
  root.innerHTML = TEMPLATE;
  const view = new TrainingView(root, context);
  await view.begin();
  return view;
}

class TrainingView {
  constructor(root, context) {
    this.root = root;
    this.context = context;
    this.find = (selector) => root.querySelector(selector);
    this.session = new SessionThread((event, detail) => this.receive(event, detail));
    this.photographs = new Photographs(this.find('#train-photographs'), (...chosen) => this.take(...chosen));
    this.form = new Form(this.find('#train-form'));
    this.report = new Report(root);
    this.buttons = new Buttons(root, (name) => this.attempt(() => this[name]()));
    this.reminder = new Reminder(this.find('#train-reminder'));
    this.ask = mountQuestion(this.find('#train-question'));
    this.runner = new Runner(this.session, this.ask);
    this.sizing = new Sizing();
    this.find('#train-form').addEventListener('input', () => this.sizing.end());
    /** What the training thread has kept, see `TrainingSession.peek`. */
    this.stored = null;
    this.damaged = false;
    this.phase = 'opening';
    const input = this.find('#train-model-files');
    input.addEventListener('change', () => {
      this.attempt(() => this.offer([...input.files]));
      input.value = '';
    });
    document.addEventListener('visibilitychange', () => {
      if (document.hidden && this.phase === 'training') this.session.call('keepNow').catch(() => {});
    });
    // What was learnt since the training was last kept would be lost, so the browser asks.
    addEventListener('beforeunload', (event) => this.started && this.phase !== 'idle' && event.preventDefault());
  }

  async begin() {
    await Promise.all([this.report.loadCharts(), this.photographs.loadBundled(), this.attempt(() => this.refresh())]);
    this.setPhase('idle');
    if (!this.stored && !this.damaged) this.proposeSize();
  }

  /** Begin with what this device can carry, unless the user chooses first. */
  async proposeSize() {
    this.form.explain('Timing what this device can carry…');
    const proposal = await this.sizing.propose(document.documentElement.dataset.backend);
    this.form.explain(proposal?.text ?? '');
    if (proposal) this.form.choose(proposal.size);
  }

  show() {
    this.modelChanged(this.context.getName());
    this.report.show();
  }

  hide() {
    this.report.hide();
  }

  /** The page has another model, or none that can be used. */
  modelChanged(name) {
    this.form.describePage(document.documentElement.dataset.state === 'error' ? null : name);
  }

  /**
   * Images that were dropped anywhere or pasted are photographs to train on.
   * @param {File[]} files
   * @param {boolean} [adds] whether they join those that are shown; by default, the user's own
   */
  take(files, adds) {
    this.attempt(() => {
      const problem = this.photographs.choose(files, adds);
      if (problem) this.context.announce(problem);
    });
  }

  /** Read what is stored. */
  async peek() {
    try {
      this.stored = await this.session.call('peek');
      this.damaged = false;
    } catch (error) {
      this.damaged = error.name === 'DamagedError';
      throw error;
    }
  }

  /** Read what is stored and offer to go on with it. */
  async refresh() {
    await this.peek();
    this.form.describeStored(this.stored);
    if (!this.stored) return;
    this.form.write(this.stored.settings);
    this.form.chooseBackend(this.stored.backend);
    this.photographs.setStored(this.stored.photographs);
    this.report.showStored(this.stored);
  }

  // ---- The buttons ----

  async start() {
    const { settings, problem } = this.form.read();
    if (problem) return this.showProblem(problem);
    this.sizing.end();
    // From here on, a second click finds the button disabled.
    this.setPhase('starting');
    const request = await this.request().catch((error) => {
      this.setPhase('idle');
      throw error;
    });
    if (!request) {
      this.setPhase('idle');
      return this.buttons.passFocus('start');
    }
    this.started = false;
    this.setPhase('preparing', 'Preparing…');
    this.buttons.passFocus('stop');
    this.reminder.begin();
    awake.hold('training');
    const clock = setInterval(() => this.phase === 'training' && this.report.showElapsed(), 1000);
    try {
      const end = await this.runner.start({ settings, ...request });
      if (end.declined === 'quick') this.form.choose('quick');
      this.say(describeEnd(end));
    } catch (error) {
      if (error instanceof TrainingEnded) {
        return this.say('Stopped in the middle of a step; Start Training goes on from the last one kept.');
      }
      this.setState(this.started ? 'The training stopped.' : 'The training did not start.');
      throw error;
    } finally {
      awake.release('training');
      clearInterval(clock);
      // Until the view knows what is stored now, Start Training could replace it without a question.
      this.setPhase('stopping');
      // Where nothing started, what was chosen and typed is what is to be mended.
      // What kept it from starting says more than that nothing is stored.
      await (this.started ? this.refresh() : this.peek().catch(() => {})).finally(() => this.setPhase('idle'));
      this.buttons.passFocus('start');
    }
  }

  /** What to start with, beside the settings; `null` if a stored training is not to be replaced. */
  async request() {
    const origin = await originOf(this.form, this.loaded, this.context.getModel);
    if (origin.kind !== 'stored') {
      await this.peek().catch(() => {}); // another tab may have trained; what is damaged may be replaced
      const text = this.stored?.step && `This replaces the stored training at step ${count(this.stored.step)}.`;
      if (text && (await this.ask(text, 'Replace It')) !== 'yes') return null;
    }
    const photographs = await this.photographs.get();
    const perceptualUrl = new URL(PERCEPTUAL, document.baseURI).href;
    const suggested = document.documentElement.dataset.backend;
    return { origin, photographs, backend: this.form.backend, suggested, perceptualUrl };
  }

  async stop() {
    this.setPhase('stopping', 'Stopping after this step…');
    await this.runner.stop();
  }

  async save() {
    const { name, artifacts } = await this.session.call('export');
    const files = await modelFilesOf(this.find('#train-format').value, artifacts, name);
    for (const file of files) save(file, file.name);
    this.reminder.saved(this.stored?.step ?? 0);
    const names = files.map((file) => file.name).join(' and ');
    this.say(`Saved ${names}${files.length > 1 ? '; keep the two together' : ''}.`);
  }

  load() {
    this.find('#train-model-files').click();
  }

  /** Offer a model from disk as the start of the next training. */
  async offer(files) {
    const artifacts = await readModelFiles(files);
    const config = readConfig(artifacts);
    requireTrainable(config);
    const { name } = modelFile(files);
    this.sizing.end();
    this.loaded = { name, artifacts };
    this.form.describeFile(name, config);
    this.update();
    this.say(`Loaded ${name}: x${config.scale}, ${config.channels} channels. Start Training begins with it.`);
  }

  async delete() {
    const what = this.damaged
      ? 'The damaged training is removed from this browser.'
      : 'The trained model, its photographs and its progress are removed from this browser.';
    if ((await this.ask(what, 'Delete')) !== 'yes') return;
    await this.session.call('remove');
    this.stored = null;
    this.damaged = false;
    this.photographs.setStored(null);
    this.form.describeStored(null);
    this.report.clear();
    this.update();
    if (await deleteFromModels()) this.context.onModelsChanged();
    const isUsed = this.context.getName() === TRAINED;
    const rest = isUsed ? '; the Upscale view goes on with it until another is chosen' : '';
    this.say(`The trained model was deleted${rest}.`);
  }

  /** Make the trained model the one that the page upscales with, and keep it among the page's models. */
  async use() {
    const { artifacts } = await this.session.call('export');
    const problem = await keepAmongModels(artifacts);
    if (!problem) this.context.onModelsChanged();
    const used = await this.context.setModel({ name: TRAINED, artifacts });
    // Otherwise the page has announced why.
    const end = problem ? ` until the page is closed: ${problem}` : '.';
    if (used) this.say(`The Upscale view now uses the trained model${end}`);
    else this.setState('The Upscale view could not take the trained model into use.');
  }

  /** Run what a button does; errors become a sentence. */
  async attempt(action) {
    this.showProblem('');
    try {
      await action();
    } catch (error) {
      this.showProblem(error.message);
      this.update();
    }
  }

  // ---- What the training thread tells ----

  receive(event, detail) {
    const handlers = {
      timing: () => this.runner.onTiming(),
      timed: (timed) => this.runner.onTimed(timed),
      preparing: ({ done, total }) => this.setState(`Reading photographs: ${done} of ${total}.`),
      started: (started) => this.onStarted(started),
      progress: (progress) => this.report.showStep(progress),
      history: ({ history }) => this.report.showHistory(history),
      samples: (samples) => this.onSamples(samples),
      log: ({ message, time }) => this.report.addLog(message, time),
      rest: ({ tensors, resting }) => Object.assign(this.root.dataset, { tensors, resting }),
      saved: ({ step }) => (this.root.dataset.saved = step),
      unsaved: ({ message }) => this.showProblem(message),
    };
    handlers[event]?.(detail);
  }

  onStarted({ backend, perceptual, config, settings, heldOut, weights }) {
    this.started = true;
    this.report.begin({ backend, vggWeight: perceptual ? settings.vggWeight : 0, heldOut });
    if (this.phase === 'stopping') return;
    const loss = perceptual ? `MAE + ${settings.vggWeight} · VGG` : 'MAE alone';
    const network = `x${config.scale} with ${config.channels} channels (${count(weights)} weights)`;
    const isMissing = !perceptual && settings.vggWeight > 0;
    const note = isMissing ? ` The page has no VGG features (${PERCEPTUAL}, written by span-export --perceptual).` : '';
    this.setPhase('training', `Training ${network}; loss: ${loss}.${note}`);
    this.context.announce(`Training started on ${LABELS[backend]} with ${loss}.`);
  }

  onSamples(samples) {
    this.report.showSamples(samples);
    const praise = this.reminder.praise(samples);
    if (!praise) return;
    this.report.addLog(praise, Date.now());
    this.context.announce(praise);
  }

  // ---- Showing the state ----

  setPhase(phase, text) {
    this.phase = phase;
    if (text) this.setState(text);
    this.update();
  }

  setState(text) {
    this.find('#train-state').textContent = text;
  }

  say(text) {
    this.setState(text);
    this.context.announce(text);
  }

  showProblem(text) {
    const problem = this.find('#train-problem');
    problem.textContent = text;
    problem.hidden = !text;
  }

  update() {
    const idle = this.phase === 'idle';
    this.buttons.update({ phase: this.phase, isStored: Boolean(this.stored), isDamaged: this.damaged });
    this.form.setEnabled(idle);
    this.photographs.setEnabled(idle);
    this.reminder.show(idle ? this.stored?.step : 0);
    this.root.dataset.phase = this.phase;
  }
}
