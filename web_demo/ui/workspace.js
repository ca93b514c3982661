/** What is said of the image in sight, and which buttons there are for it and for all. */
import { isPending } from './item.js';
import { $ } from './page.js';

/** @typedef {import('./item.js').Item} Item */

/** On phones, that is the way to the photographs and to other apps. */
const CAN_SHARE =
  matchMedia('(pointer: coarse)').matches &&
  Boolean(navigator.canShare?.({ files: [new File([''], 'a.png', { type: 'image/png' })] }));

/**
 * @param {object} shown
 * @param {Item[]} shown.items
 * @param {Item | null} shown.current the one in sight
 * @param {boolean} shown.isStuck whether it waits for a model while none can be used
 * @param {Item[]} shown.old those that were enlarged otherwise than they would be now
 * @param {any} shown.focused what had the focus before thumbnails were drawn
 */
export function drawWorkspace({ items, current, isStuck, old, focused }) {
  $('drop').hidden = items.length > 0;
  $('workspace').hidden = items.length === 0;
  if (current) drawJob(current, isStuck, old.includes(current));
  $('again-all').hidden = old.length < 2;
  $('again-all').textContent = `Run all again (${old.length})`;
  const results = items.filter(({ result }) => result?.blob);
  $('download-all').hidden = items.length < 2;
  $('download-all').disabled = results.length === 0;
  $('clear').hidden = items.length < 2;
  keepFocus(focused, items.length > 0);
}

/** @param {Item} item @param {boolean} isStuck @param {boolean} isOld */
function drawJob(item, isStuck, isOld) {
  const { state, name, detail = '', progress, result, accepted, hopeless = false, choices = [] } = item;
  $('job').dataset.state = isStuck ? 'failed' : state;
  $('job-name').textContent = name;
  $('job-detail').textContent = isStuck ? 'Waiting for a model that can be used' : detail;
  $('job-progress').value = progress;
  const isHeld = state === 'held';
  $('cancel').hidden = !isPending(item);
  $('again').hidden = !(isOld || (state === 'failed' && !hopeless) || state === 'cancelled');
  $('download').textContent = !isHeld ? 'Download' : accepted === false ? 'Start' : 'Choose file';
  $('download').disabled = !isHeld && !result?.blob;
  $('save').hidden = !isHeld && !result?.blob;
  $('share').hidden = !CAN_SHARE || !result?.blob;
  $('format').hidden = isHeld;
  $('job-choices').hidden = !isHeld || !choices.length;
  $('job-choices').replaceChildren(...(isHeld ? choices : []).map(({ label }, i) => choiceButton(label, i)));
}

/** A button that is moved, hidden or disabled loses the focus, and the keyboard its place. */
function keepFocus(focused, isAny) {
  if (!$('upscale').contains(focused)) return;
  if (!focused.disabled && !focused.closest('#upscale [hidden]')) return focused.focus();
  const next = { again: ['cancel', 'download'], cancel: ['again', 'download'] }[focused.id] ?? [];
  const isThere = (id) => !$(id).disabled && !$(id).closest('#upscale [hidden]');
  $(isAny ? [...next, 'add'].find(isThere) : 'choose').focus();
}

function choiceButton(label, i) {
  const button = Object.assign(document.createElement('button'), { className: 'button', textContent: label });
  button.dataset.choice = String(i);
  return button;
}
