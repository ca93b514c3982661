/** The photograph of the first view: small, and enlarged by the page's own network, with a divider between the two. */
import { $, complain } from './page.js';

const PHOTOGRAPH = 'sample/before.jpg';

/** @param {(files: File[]) => void} onTry takes the small photograph */
export function mountSample(onTry) {
  const range = $('sample-range');
  const draw = () => $('sample').style.setProperty('--split', `${range.value}%`);
  range.addEventListener('input', draw);
  draw();
  $('sample-try').addEventListener('click', () => take(onTry).catch(complain));
}

async function take(onTry) {
  const response = await fetch(PHOTOGRAPH).catch(() => null);
  if (!response?.ok) throw new Error('The photograph could not be fetched; check the connection, or choose your own.');
  onTry([new File([await response.blob()], 'cat.jpg', { type: 'image/jpeg' })]);
}
