import { loadUpscaler } from './span.js';

const loading = loadUpscaler('model.json');
document.querySelector('input').onchange = async ({ target }) => {
  const progress = document.querySelector('progress');
  const onProgress = ({ done, total }) => (progress.value = done / total);
  const { blob } = await (await loading).upscale(target.files[0], { onProgress });
  document.querySelector('img').src = URL.createObjectURL(blob);
};
