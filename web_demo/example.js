import { loadUpscaler } from './span.js';

const loading = loadUpscaler('model.json');
/** @type {any} */
const [input, progress, output, image] = ['input', 'progress', 'output', 'img'].map((name) =>
  document.querySelector(name),
);
input.onchange = async () => {
  if (!input.files.length) return; // the dialog was cancelled
  const onProgress = ({ done, total }) => (progress.value = done / total);
  output.value = '';
  try {
    const { blob } = await (await loading).upscale(input.files[0], { onProgress });
    image.src = URL.createObjectURL(/** @type {Blob} */ (blob));
  } catch (error) {
    output.value = error.message;
  }
};
