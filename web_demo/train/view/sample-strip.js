/** LR, bicubic, SPAN and HR of one sample side by side; a row of buttons chooses the sample. */

import { count } from '../../ui/format.js';

/** @typedef {import('../session/samples.js').ShownSample} ShownSample */

/** @type {WeakMap<HTMLElement, number>} */
const chosen = new WeakMap();

/**
 * @param {HTMLElement} root the training view
 * @param {{samples: ShownSample[], psnr: number, bicubic: number, step: number}} event
 * @param {boolean} heldOut whether the samples are of photographs not trained on
 */
export function showSamples(root, event, heldOut) {
  const { samples, step, psnr, bicubic } = event;
  const index = Math.min(chosen.get(root) ?? 0, samples.length - 1);
  /** @type {(id: string) => any} */
  const find = (id) => root.querySelector(`#${id}`);
  const picker = find('train-picker');
  const focused = [...picker.children].indexOf(document.activeElement);
  picker.replaceChildren(
    ...(samples.length > 1 ? samples : []).map(({ name }, i) => {
      const button = Object.assign(document.createElement('button'), {
        type: 'button',
        className: 'train-pick',
        textContent: String(i + 1),
      });
      button.title = name;
      button.setAttribute('aria-label', `Sample ${i + 1}, ${name}`);
      button.setAttribute('aria-pressed', String(i === index));
      button.addEventListener('click', () => {
        chosen.set(root, i);
        showSamples(root, event, heldOut);
      });
      return button;
    }),
  );
  picker.children[focused]?.focus({ preventScroll: true });
  const sample = samples[index];
  const { width, height } = sample.lr;
  find('train-strip').replaceChildren(
    figure('LR', `${width} × ${height}`, sample.lr),
    figure('Bicubic', `${sample.bicubicPsnr.toFixed(2)} dB`, sample.bicubic),
    figure('SPAN', `${sample.psnr.toFixed(2)} dB`, sample.span),
    figure('HR', `${sample.hr.width} × ${sample.hr.height}`, sample.hr),
  );
  const whose = heldOut ? 'photographs that are not trained on' : 'the photographs trained on';
  find('train-samples-note').textContent =
    `Step ${count(step)}: mean PSNR ${psnr.toFixed(2)} dB, bicubic ${bicubic.toFixed(2)} dB (averaged weights, luma, on ${whose}).`;
}

function figure(title, detail, { width, height, data }) {
  const canvas = Object.assign(document.createElement('canvas'), { width, height });
  canvas.setAttribute('role', 'img');
  canvas.setAttribute('aria-label', `${title}, ${detail}`);
  const image = new ImageData(width, height);
  for (let from = 0, to = 0; from < data.length; from += 3, to += 4) {
    image.data.set([data[from], data[from + 1], data[from + 2], 255], to);
  }
  canvas.getContext('2d')?.putImageData(image, 0, 0);
  const caption = document.createElement('figcaption');
  const name = Object.assign(document.createElement('strong'), { textContent: title });
  caption.append(name, Object.assign(document.createElement('span'), { className: 'note', textContent: detail }));
  const element = document.createElement('figure');
  element.append(canvas, caption);
  return element;
}
