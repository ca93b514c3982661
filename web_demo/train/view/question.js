/** Asking before something is lost. */

/**
 * @param {HTMLDialogElement} dialog with `#train-question-text` and the button `#train-question-yes`
 * @returns {(text: string, yes: string) => Promise<boolean>} asks; whether the answer was the button `yes`
 */
export function mountQuestion(dialog) {
  return (text, yes) => {
    dialog.querySelector('#train-question-text').textContent = text;
    dialog.querySelector('#train-question-yes').textContent = yes;
    dialog.returnValue = 'no';
    dialog.showModal();
    return new Promise((resolve) => {
      dialog.addEventListener('close', () => resolve(dialog.returnValue === 'yes'), { once: true });
    });
  };
}
