/** Asking before something is lost, or takes very long. */

/**
 * @param {HTMLDialogElement} dialog with `#train-question-text` and the buttons `#train-question-yes` and
 *   `#train-question-other`
 * @returns {(text: string, yes: string, other?: string) => Promise<'yes' | 'other' | 'no'>} asks; which button was the
 *   answer, the one labelled `yes`, that labelled `other`, if there is one, or Cancel
 */
export function mountQuestion(dialog) {
  /** @type {(id: string) => any} */
  const find = (id) => dialog.querySelector(`#${id}`);
  return (text, yes, other = '') => {
    find('train-question-text').textContent = text;
    find('train-question-yes').textContent = yes;
    find('train-question-other').textContent = other;
    find('train-question-other').hidden = !other;
    dialog.returnValue = 'no';
    dialog.showModal();
    return new Promise((resolve) => {
      dialog.addEventListener('close', () => resolve(/** @type {any} */ (dialog.returnValue || 'no')), { once: true });
    });
  };
}
