import { loadUpscaler } from './span.js';

const loading = loadUpscaler('model.json');
/** @type {any} */
const [input, progress, image] = ['input', 'progress', 'img'].map((name) => document.querySelector(name));
input.onchange = async () => {
  const onProgress = ({ done, total }) => (progress.value = done / total);
  const { blob } = await (await loading).upscale(input.files[0], { onProgress });
  image.src = URL.createObjectURL(/** @type {Blob} */ (blob));
};
