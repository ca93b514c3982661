/** The two live charts: parts of the loss, and PSNR with the learning rate. */

/** Colours of the style sheet, by chart and series. */
const COLORS = [
  ['--accent', '--series-2', '--soft'],
  ['--accent', '--soft', '--series-2'],
];

export class Charts {
  #loss;
  #quality;

  /**
   * @param {ChartConstructor} Chart Chart.js's constructor
   * @param {HTMLCanvasElement} loss
   * @param {HTMLCanvasElement} quality
   */
  constructor(Chart, loss, quality) {
    this.#loss = new Chart(loss, lossConfiguration());
    this.#quality = new Chart(quality, qualityConfiguration());
    this.recolor();
  }

  get #both() {
    return [this.#loss, this.#quality];
  }

  /** Take the colours of the style sheet, which follow the system's. */
  recolor() {
    const style = getComputedStyle(this.#loss.canvas);
    const color = (name) => style.getPropertyValue(name).trim();
    this.#both.forEach((chart, i) => {
      chart.data.datasets.forEach((dataset, j) => {
        dataset.borderColor = dataset.backgroundColor = color(COLORS[i][j]);
      });
      for (const scale of Object.values(chart.options.scales)) {
        scale.ticks.color = color('--soft');
        scale.grid.color = color('--line');
        if (scale.title) scale.title.color = color('--soft');
      }
      chart.options.plugins.legend.labels.color = color('--soft');
      chart.update('none');
    });
  }

  resize() {
    for (const chart of this.#both) chart.resize();
  }

  /**
   * @param {import('../session/history.js').HistoryData} history
   * @param {number} vggWeight weight of the perceptual part
   */
  show({ points, quality, bicubic = null }, vggWeight) {
    const curve = (value) => points.map((point) => ({ x: point.step, y: value(point) }));
    const isWeighted = points.some(({ perceptual }) => perceptual > 0); // else the training has no perceptual loss
    const [mae, vgg, total] = this.#loss.data.datasets;
    mae.data = curve((point) => point.mae);
    vgg.data = isWeighted ? curve((point) => vggWeight * point.perceptual) : [];
    total.data = isWeighted ? curve((point) => point.mae + vggWeight * point.perceptual) : [];
    vgg.hidden = total.hidden = !isWeighted;
    const [psnr, baseline, rate] = this.#quality.data.datasets;
    psnr.data = quality.map((point) => ({ x: point.step, y: point.psnr }));
    const ends = quality.length ? [quality[0], quality[quality.length - 1]] : [];
    baseline.data = bicubic === null ? [] : ends.map(({ step }) => ({ x: step, y: bicubic }));
    rate.data = curve((point) => point.rate);
    describe(this.#loss, 'Loss', points.at(-1), ({ mae: value }) => value.toPrecision(3));
    describe(this.#quality, 'PSNR', quality.at(-1), ({ psnr: value }) => `${value.toFixed(2)} dB`);
    for (const chart of this.#both) chart.update('none');
  }
}

/** Tell screen readers what a chart shows. */
function describe({ canvas }, title, last, value) {
  const text = last ? `${value(last)} at step ${last.step}` : 'no data yet';
  canvas.setAttribute('aria-label', `${title} by step; ${text}`);
}

const lossConfiguration = () => ({
  type: 'line',
  data: {
    datasets: [series('MAE'), series('VGG, weighted'), series('Loss', { borderDash: [4, 3], borderWidth: 1 })],
  },
  options: options({ y: { type: 'logarithmic', ticks: { maxTicksLimit: 6 } } }),
});

const qualityConfiguration = () => ({
  type: 'line',
  data: {
    datasets: [
      series('PSNR, dB'),
      series('Bicubic, dB', { borderDash: [4, 3], borderWidth: 1.5 }),
      series('Rate', { yAxisID: 'rate', stepped: 'before', borderWidth: 1.5 }),
    ],
  },
  options: options({
    y: { ticks: { maxTicksLimit: 6 }, title: { display: true, text: 'dB' } },
    rate: {
      position: 'right',
      min: 0,
      grid: { drawOnChartArea: false },
      ticks: { maxTicksLimit: 5, callback: (rate) => (rate ? rate.toExponential(0) : '0') },
    },
  }),
});

const series = (label, more) => ({ label, data: [], borderWidth: 2, pointRadius: 0, pointHitRadius: 8, ...more });

function options(scales) {
  const grid = { drawTicks: false };
  const x = { type: 'linear', ticks: { maxTicksLimit: 6, precision: 0 }, grid, border: { display: false } };
  const others = Object.fromEntries(
    Object.entries(scales).map(([name, scale]) => [name, { border: { display: false }, grid, ...scale }]),
  );
  return {
    animation: false,
    maintainAspectRatio: false,
    normalized: true,
    parsing: false,
    interaction: { mode: 'index', intersect: false, axis: 'x' },
    scales: { x, ...others },
    plugins: {
      legend: {
        align: 'end',
        labels: { boxWidth: 14, boxHeight: 2, filter: ({ hidden }) => !hidden },
        onClick: () => {}, // what is shown follows from the loss
      },
    },
  };
}
