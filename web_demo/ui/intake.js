/** The ways in which images come into the page: chosen, dropped anywhere, or pasted. */
import { listed, typed } from './chosen.js';
import { complain, announce } from './page.js';

/** @param {(files: File[]) => void} onFiles */
export function mountIntake(input, openers, onFiles) {
  const take = (files) => typed(files).then(onFiles).catch(complain);
  for (const opener of openers) opener.addEventListener('click', () => input.click());
  input.addEventListener('change', () => {
    take([...input.files]);
    input.value = ''; // so that the same file can be chosen again
  });
  const drag = (on) => document.body.classList.toggle('dragging', on);
  addEventListener('dragover', (event) => {
    event.preventDefault();
    drag(true);
  });
  addEventListener('dragleave', (event) => event.relatedTarget ?? drag(false));
  addEventListener('drop', () => drag(false), { capture: true });
  addEventListener('drop', (event) => {
    event.preventDefault();
    takeDrop(event.dataTransfer, onFiles).catch(complain);
  });
  addEventListener('paste', (event) => {
    const files = [...(event.clipboardData?.files ?? [])];
    if (files.length) return void take(files);
    const isText = /** @type {Element} */ (event.target).closest?.('input, textarea, [contenteditable]');
    if (!isText) announce('There is no image in the clipboard; copy an image or a file and paste again.');
  });
}

/**
 * Hand over what was dropped, or say why there is nothing; folders are looked through.
 * @param {DataTransfer | null} transfer of an event that is under way
 * @param {(files: File[]) => void} onFiles
 */
export async function takeDrop(transfer, onFiles) {
  if (!transfer) return;
  if (!transfer.types.includes('Files')) {
    return announce('A link or a text was dropped, no file; save the image and drop its file.');
  }
  // Later, the event is over, and they are gone.
  const files = [...transfer.files];
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!entries.some((entry) => entry?.isDirectory)) return onFiles(await typed(files));
  const { filesIn } = await import('./drop.js');
  const unread = [];
  const found = (await Promise.all(entries.map((entry) => filesIn(entry, unread)))).flat();
  if (found.length || !unread.length) onFiles(await typed(found));
  if (unread.length) announce(`Left out, because this browser cannot read them: ${listed(unread)}.`);
}
