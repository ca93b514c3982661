/** The chart of the view that measures: time and memory by backend. */
import { LABELS } from '../engine/backend.js';
import { loadChart } from '../engine/tf.js';
import { bytes, duration } from './format.js';

/** @typedef {import('../span.js').Measurement & {backend: import('../span.js').BackendName}} Measured */

/** GPUs round up and keep spare memory; where the backend tells, that is what a run takes. */
const largest = (result) => Math.max(result.bytes, result.gpuBytes);

/** @param {import('../span.js').Measurement} result @returns {string} */
export const memory = (result) => bytes(largest(result));

export class MeasureChart {
  #box;
  #canvas;
  #chart;

  /** @param {HTMLElement} box that is hidden until the first results, with a canvas in it */
  constructor(box) {
    this.#box = box;
    this.#canvas = /** @type {HTMLCanvasElement} */ (box.querySelector('canvas'));
  }

  /** Draw results in place of earlier ones. @param {Measured[]} results */
  async draw(results) {
    const Chart = await loadChart();
    this.#chart?.destroy();
    this.#box.hidden = false;
    const said = results.map((one) => `${LABELS[one.backend]} ${duration(one.milliseconds)} and ${memory(one)}`);
    this.#canvas.setAttribute('aria-label', `Time and memory by backend: ${said.join('; ')}`);
    const style = getComputedStyle(this.#canvas);
    const color = (name) => style.getPropertyValue(name).trim();
    this.#chart = new Chart(this.#canvas, { type: 'bar', data: dataOf(results, color), options: options(color) });
  }
}

function dataOf(results, color) {
  const bars = (xAxisID, label, name, value) => {
    return { xAxisID, label, data: results.map(value), backgroundColor: color(name) };
  };
  return {
    labels: results.map(({ backend }) => LABELS[backend]),
    datasets: [
      bars('time', 'Time', '--accent', ({ milliseconds }) => milliseconds),
      bars('memory', 'Memory', '--good', (result) => largest(result) / 1e6),
    ],
  };
}

function options(color) {
  const scale = { ticks: { color: color('--soft') }, grid: { color: color('--line') } };
  const axis = (text) => {
    return { ...scale, axis: 'x', beginAtZero: true, title: { display: true, text, color: color('--soft') } };
  };
  return {
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
  };
}
