/** Asking before something is lost. */

/**
 * @param {HTMLDialogElement} dialog with `#train-question-text` and the button `#train-question-yes`
 * @returns {(text: string, yes: string) => Promise<boolean>} asks; whether the answer was the button `yes`
 */
export function mountQuestion(dialog) {
  /** @type {(id: string) => any} */
  const find = (id) => dialog.querySelector(`#${id}`);
  return (text, yes) => {
    find('train-question-text').textContent = text;
    find('train-question-yes').textContent = yes;
    dialog.returnValue = 'no';
    dialog.showModal();
    return new Promise((resolve) => {
      dialog.addEventListener('close', () => resolve(dialog.returnValue === 'yes'), { once: true });
    });
  };
}
