/** The two live charts: parts of the loss, and PSNR with the learning rate. */

/**
 * @param {ChartConstructor} Chart Chart.js's constructor
 * @param {HTMLCanvasElement} lossCanvas
 * @param {HTMLCanvasElement} qualityCanvas
 */
export function createCharts(Chart, lossCanvas, qualityCanvas) {
  const loss = new Chart(lossCanvas, {
    type: 'line',
    data: {
      datasets: [series('MAE'), series('VGG, weighted'), series('Loss', { borderDash: [4, 3], borderWidth: 1 })],
    },
    options: options({ y: { type: 'logarithmic', ticks: { maxTicksLimit: 6 } } }),
  });
  const quality = new Chart(qualityCanvas, {
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

  const charts = [loss, quality];
  const recolour = () => {
    const style = getComputedStyle(lossCanvas);
    const colour = (name) => style.getPropertyValue(name).trim();
    const [main, second, soft, line] = ['--accent', '--series-2', '--soft', '--line'].map(colour);
    const colours = [
      [main, second, soft],
      [main, soft, second],
    ];
    charts.forEach((chart, i) => {
      chart.data.datasets.forEach((dataset, j) =>
        Object.assign(dataset, { borderColor: colours[i][j], backgroundColor: colours[i][j] }),
      );
      for (const scale of Object.values(chart.options.scales)) {
        scale.ticks.color = soft;
        scale.grid.color = line;
        if (scale.title) scale.title.color = soft;
      }
      chart.options.plugins.legend.labels.color = soft;
      chart.update('none');
    });
  };
  recolour();

  return {
    recolour,
    resize: () => charts.forEach((chart) => chart.resize()),
    /**
     * @param {import('../session/history.js').HistoryData} history
     * @param {number} vggWeight weight of the perceptual part
     */
    show({ points, quality: measured, bicubic = null }, vggWeight) {
      const weighted = points.some(({ perceptual }) => perceptual > 0); // else the training has no perceptual loss
      const curve = (value) => points.map((point) => ({ x: point.step, y: value(point) }));
      const [mae, vgg, total] = loss.data.datasets;
      mae.data = curve((point) => point.mae);
      vgg.data = weighted ? curve((point) => vggWeight * point.perceptual) : [];
      total.data = weighted ? curve((point) => point.mae + vggWeight * point.perceptual) : [];
      vgg.hidden = total.hidden = !weighted;
      const [psnr, baseline, rate] = quality.data.datasets;
      psnr.data = measured.map((point) => ({ x: point.step, y: point.psnr }));
      const ends = measured.length ? [measured[0], measured[measured.length - 1]] : [];
      baseline.data = bicubic === null ? [] : ends.map(({ step }) => ({ x: step, y: bicubic }));
      rate.data = curve((point) => point.rate);
      lossCanvas.setAttribute(
        'aria-label',
        describe('Loss', points.at(-1), (point) => point.mae.toPrecision(3)),
      );
      qualityCanvas.setAttribute(
        'aria-label',
        describe('PSNR', measured.at(-1), (point) => `${point.psnr.toFixed(2)} dB`),
      );
      charts.forEach((chart) => chart.update('none'));
    },
  };
}

const describe = (name, last, value) =>
  last ? `${name} by step; ${value(last)} at step ${last.step}` : `${name} by step; no data yet`;

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
