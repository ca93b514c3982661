/** The ways in which images come into the page: chosen, dropped anywhere, or pasted. */

/** @param {(files: File[]) => void} onFiles */
export function mountIntake(input, openers, onFiles) {
  for (const opener of openers) opener.addEventListener('click', () => input.click());
  input.addEventListener('change', () => {
    onFiles([...input.files]);
    input.value = ''; // so that the same file can be chosen again
  });
  const take = (transfer) => {
    const files = [...(transfer?.files ?? [])];
    if (files.length) onFiles(files);
  };
  const drag = (on) => document.body.classList.toggle('dragging', on);
  addEventListener('dragover', (event) => {
    event.preventDefault();
    drag(true);
  });
  addEventListener('dragleave', (event) => event.relatedTarget ?? drag(false));
  addEventListener('drop', () => drag(false), { capture: true });
  addEventListener('drop', (event) => {
    event.preventDefault();
    take(event.dataTransfer);
  });
  addEventListener('paste', (event) => take(event.clipboardData));
}
