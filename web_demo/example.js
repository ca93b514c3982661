import { loadUpscaler } from './span.js';

const upscaler = await loadUpscaler('model.json');
document.querySelector('input').onchange = async ({ target }) => {
  const progress = document.querySelector('progress');
  const onProgress = ({ done, total }) => (progress.value = done / total);
  const { blob } = await upscaler.upscale(target.files[0], { onProgress });
  document.querySelector('img').src = URL.createObjectURL(blob);
};
