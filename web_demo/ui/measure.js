/** The view that measures: quality against bicubic on a user's own original, time and memory by backend. */
import { MAX_PSNR } from '../constants.js';
import { CHAIN, LABELS } from '../engine/backend.js';
import { loadChart } from '../engine/tf.js';
import { loadUpscaler } from '../span.js';
import { bytes, duration, size } from './format.js';
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

/** GPUs round up and keep spare memory; where the backend tells, that is what a run takes. */
const largest = (result) => Math.max(result.bytes, result.gpuBytes);
const memory = (result) => bytes(largest(result));

/** A flat photograph comes back exactly. */
const finite = (psnr) => Math.min(psnr, MAX_PSNR);
const decibels = (psnr) => `${finite(psnr).toFixed(2)} dB`;

/**
 * @param {HTMLElement} root
 * @param {{getSource: () => string | import('../span.js').ModelArtifacts}} page `getSource` gives the address or the artifacts of the chosen model
 */
export async function mountMeasure(root, { getSource }) {
  await loadStyle(new URL('./measure.css', import.meta.url));
  root.innerHTML = TEMPLATE;
  /** @type {(id: string) => any} */
  const find = (id) => root.querySelector(`#measure-${id}`);
  const [choose, start, cancel, input, line, rows] = ['choose', 'start', 'cancel', 'file', 'state', 'rows'].map(find);
  const checks = find('backends');
  for (const name of CHAIN) {
    const box = Object.assign(document.createElement('input'), {
      type: 'checkbox',
      value: name,
      checked: name !== 'cpu',
    });
    const label = document.createElement('label');
    label.append(box, ` ${LABELS[name]}`);
    checks.append(label);
  }
  let file, controller, chart;
  let isBusy = false;

  /** Of several files the first; none while another is measured. */
  const take = ([chosen]) => {
    if (!chosen || isBusy) return;
    file = chosen;
    start.disabled = false;
    line.textContent = `${file.name}, ${bytes(file.size)}`;
  };
  choose.addEventListener('click', () => input.click());
  input.addEventListener('change', () => take(input.files));
  cancel.addEventListener('click', () => controller.abort());
  start.addEventListener('click', async () => {
    const chosen = [...checks.querySelectorAll('input:checked')];
    if (!chosen.length) {
      line.textContent = 'Choose a backend to measure on.';
      return;
    }
    controller = new AbortController();
    busy(true);
    rows.replaceChildren();
    const results = [];
    const source = getSource(); // the page's model may change meanwhile
    for (const box of chosen) {
      if (controller.signal.aborted) break;
      line.textContent = `Measuring on ${LABELS[box.value]}…`;
      await measureOn(box.value, source, results);
    }
    line.textContent = controller.signal.aborted ? 'Cancelled.' : summary(results);
    busy(false);
    if (results.length) await draw(results);
  });

  async function measureOn(backend, source, results) {
    let upscaler;
    try {
      const { signal } = controller;
      upscaler = await loadUpscaler(source, { backend, signal });
      const reason = upscaler.status.demoted.find((entry) => entry.backend === backend)?.reason;
      if (reason) throw new Error(reason);
      const result = await upscaler.measure(file, { signal });
      if (upscaler.status.backend !== backend) throw new Error('it was lost on the way');
      if (!results.length) addRow('Bicubic', result.bicubic);
      addRow(`SPAN on ${LABELS[backend]}`, result.span, result);
      results.push({ backend, ...result });
    } catch (error) {
      if (error.name !== 'AbortError') addNote(`${LABELS[backend]}: ${error.message}`);
    } finally {
      upscaler?.dispose();
    }
  }

  function addRow(method, figures, result) {
    const cells = [method, decibels(figures.psnrY), figures.ssimY.toFixed(4), decibels(figures.psnrRgb)];
    cells.push(result ? duration(result.milliseconds) : '–', result ? memory(result) : '–');
    const row = rows.insertRow();
    for (const text of cells) row.insertCell().textContent = text;
  }

  function addNote(text) {
    const cell = rows.insertRow().insertCell();
    cell.colSpan = 6;
    cell.textContent = text;
  }

  function summary(results) {
    const [first] = results;
    if (!first) return 'Nothing could be measured; the table says why.';
    const gain = finite(first.span.psnrY) - finite(first.bicubic.psnrY);
    const better = `${decibels(Math.abs(gain))} ${gain >= 0 ? 'better' : 'worse'} than bicubic`;
    return `${size(first.width, first.height)} to ${size(first.width * first.scale, first.height * first.scale)}: ${better}.`;
  }

  function busy(on) {
    const focused = document.activeElement;
    isBusy = start.disabled = choose.disabled = on;
    cancel.hidden = !on;
    if (focused === (on ? start : cancel)) (on ? cancel : start).focus(); // a button that goes would lose it
  }

  async function draw(results) {
    const Chart = await loadChart();
    const style = getComputedStyle(root);
    const color = (name) => style.getPropertyValue(name).trim();
    chart?.destroy();
    find('picture').hidden = false;
    const canvas = find('chart');
    const said = results.map(
      (result) => `${LABELS[result.backend]} ${duration(result.milliseconds)} and ${memory(result)}`,
    );
    canvas.setAttribute('aria-label', `Time and memory by backend: ${said.join('; ')}`);
    const scale = { ticks: { color: color('--soft') }, grid: { color: color('--line') } };
    const axis = (text) => ({
      ...scale,
      axis: 'x',
      beginAtZero: true,
      title: { display: true, text, color: color('--soft') },
    });
    const bars = (xAxisID, label, data, name) => ({ xAxisID, label, data, backgroundColor: color(name) });
    chart = new Chart(canvas, {
      type: 'bar',
      data: {
        labels: results.map(({ backend }) => LABELS[backend]),
        datasets: [
          bars(
            'time',
            'Time',
            results.map(({ milliseconds }) => milliseconds),
            '--accent',
          ),
          bars(
            'memory',
            'Memory',
            results.map((result) => largest(result) / 1e6),
            '--good',
          ),
        ],
      },
      options: {
        indexAxis: 'y',
        animation: false,
        maintainAspectRatio: false,
        maxBarThickness: 28,
        plugins: { legend: { labels: { color: color('--text') } } },
        scales: {
          time: { ...axis('Milliseconds'), position: 'bottom' },
          memory: { ...axis('Megabytes'), position: 'top', grid: { drawOnChartArea: false } },
          y: scale,
        },
      },
    });
  }

  return { take };
}
