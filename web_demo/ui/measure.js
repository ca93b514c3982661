/** The view that measures: quality against bicubic on a user's own original, time and memory by backend. */
import { MAX_PSNR } from '../constants.js';
import { CHAIN, LABELS } from '../engine/backend.js';
import { loadUpscaler } from '../span.js';
import { bytes, duration, size } from './format.js';
import { MeasureChart, memory } from './measure-chart.js';
import { loadStyle } from './style.js';

const TEMPLATE = `
  <div class="card measure">
    <div class="measure-head">
      <div>
        <h2>Measure on your own photograph</h2>
        <p class="note">The photograph is shrunk and enlarged again; the result is compared with the original.</p>
      </div>
      <div class="row">
        <button class="button" id="measure-choose">Choose an original</button>
        <button class="button primary" id="measure-start" disabled>Measure</button>
        <button class="button" id="measure-cancel" hidden>Cancel</button>
      </div>
      <input type="file" id="measure-file" accept="image/*" hidden aria-label="Original photograph" />
    </div>
    <fieldset class="row checks" id="measure-backends"><legend class="visually-hidden">Backends</legend></fieldset>
    <p id="measure-state" class="note" role="status">No photograph chosen yet.</p>
    <div class="scroll" tabindex="0" role="region" aria-label="Figures">
      <table class="figures">
        <thead><tr><th scope="col">Method</th><th scope="col">PSNR (Y)</th><th scope="col">SSIM (Y)</th>
          <th scope="col">PSNR (RGB)</th><th scope="col">Time</th><th scope="col">Memory</th></tr></thead>
        <tbody id="measure-rows"><tr><td colspan="6" class="note">The figures appear here.</td></tr></tbody>
      </table>
    </div>
    <div class="measure-chart" id="measure-picture" hidden><canvas id="measure-chart" role="img" aria-label="Time and memory by backend"></canvas></div>
  </div>`;

/** A flat photograph comes back exactly. */
const finite = (psnr) => Math.min(psnr, MAX_PSNR);
const decibels = (psnr) => `${finite(psnr).toFixed(2)} dB`;

/** @typedef {() => string | import('../span.js').ModelArtifacts} GetSource the address or the artifacts of the chosen model */

/**
 * @param {HTMLElement} root
 * @param {{getSource: GetSource}} page
 * @returns {Promise<{take: (files: File[]) => void}>} `take` when files were dropped or pasted
 */
export async function mountMeasure(root, { getSource }) {
  await loadStyle(new URL('./measure.css', import.meta.url));
  root.innerHTML = TEMPLATE;
  return new MeasureView(root, getSource);
}

class MeasureView {
  #getSource;
  #checks;
  #choose;
  #start;
  #cancel;
  #line;
  #rows;
  #chart;
  /** @type {File} */
  #file;
  /** Of the measurement under way. @type {AbortController} */
  #controller;
  #isBusy = false;

  /** @param {HTMLElement} root with the markup @param {GetSource} getSource */
  constructor(root, getSource) {
    this.#getSource = getSource;
    /** @type {(id: string) => any} */
    const find = (id) => root.querySelector(`#measure-${id}`);
    [this.#choose, this.#start, this.#cancel] = ['choose', 'start', 'cancel'].map(find);
    [this.#checks, this.#line, this.#rows] = ['backends', 'state', 'rows'].map(find);
    this.#chart = new MeasureChart(find('picture'));
    this.#checks.append(...CHAIN.map(checkbox));
    const input = find('file');
    this.#choose.addEventListener('click', () => input.click());
    input.addEventListener('change', () => this.take(input.files));
    this.#cancel.addEventListener('click', () => this.#controller.abort());
    this.#start.addEventListener('click', () => this.#measure());
  }

  /** Of several files the first; none while another is measured. @param {Iterable<File>} files */
  take([chosen]) {
    if (!chosen || this.#isBusy) return;
    this.#file = chosen;
    this.#start.disabled = false;
    this.#say(`${chosen.name}, ${bytes(chosen.size)}`);
  }

  async #measure() {
    const backends = [...this.#checks.querySelectorAll('input:checked')].map(({ value }) => value);
    if (!backends.length) return this.#say('Choose a backend to measure on.');
    const { signal } = (this.#controller = new AbortController());
    this.#setBusy(true);
    this.#rows.replaceChildren();
    const results = [];
    const source = this.#getSource(); // the page's model may change meanwhile
    for (const backend of backends) {
      if (signal.aborted) break;
      this.#say(`Measuring on ${LABELS[backend]}…`);
      try {
        const result = await measureOn(backend, source, this.#file, signal);
        if (!results.length) this.#addRow('Bicubic', result.bicubic);
        this.#addRow(`SPAN on ${LABELS[backend]}`, result.span, result);
        results.push({ backend, ...result });
      } catch (error) {
        if (error.name !== 'AbortError') this.#addNote(`${LABELS[backend]}: ${error.message}`);
      }
    }
    this.#say(signal.aborted ? 'Cancelled.' : summary(results));
    this.#setBusy(false);
    if (results.length) await this.#chart.draw(results);
  }

  #say(text) {
    this.#line.textContent = text;
  }

  #addRow(method, figures, result) {
    const cells = [method, decibels(figures.psnrY), figures.ssimY.toFixed(4), decibels(figures.psnrRgb)];
    cells.push(result ? duration(result.milliseconds) : '–', result ? memory(result) : '–');
    const row = this.#rows.insertRow();
    for (const text of cells) row.insertCell().textContent = text;
  }

  #addNote(text) {
    const cell = this.#rows.insertRow().insertCell();
    cell.colSpan = 6;
    cell.textContent = text;
  }

  #setBusy(on) {
    const focused = document.activeElement;
    this.#isBusy = this.#start.disabled = this.#choose.disabled = on;
    this.#cancel.hidden = !on;
    const [left, next] = on ? [this.#start, this.#cancel] : [this.#cancel, this.#start];
    if (focused === left) next.focus(); // a button that goes would lose it
  }
}

function checkbox(name) {
  const checked = name !== 'cpu';
  const box = Object.assign(document.createElement('input'), { type: 'checkbox', value: name, checked });
  const label = document.createElement('label');
  label.append(box, ` ${LABELS[name]}`);
  return label;
}

/** @throws {Error} the backend does not run the model; with the name AbortError, if it was given up */
async function measureOn(backend, source, file, signal) {
  const upscaler = await loadUpscaler(source, { backend, signal });
  try {
    const reason = upscaler.status.demoted.find((entry) => entry.backend === backend)?.reason;
    if (reason) throw new Error(reason);
    const result = await upscaler.measure(file, { signal });
    if (upscaler.status.backend !== backend) throw new Error('it was lost on the way');
    return result;
  } finally {
    upscaler.dispose();
  }
}

function summary(results) {
  const [first] = results;
  if (!first) return 'Nothing could be measured; the table says why.';
  const gain = finite(first.span.psnrY) - finite(first.bicubic.psnrY);
  const better = `${decibels(Math.abs(gain))} ${gain >= 0 ? 'better' : 'worse'} than bicubic`;
  return `${size(first.width, first.height)} to ${size(first.width * first.scale, first.height * first.scale)}: ${better}.`;
}
