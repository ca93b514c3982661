/** Style sheets of views, loaded with the views. */

/**
 * Load a style sheet once.
 * @param {URL} url
 * @returns {Promise<unknown>} fulfilled when it applies; rejects with a sentence if it cannot be loaded
 */
export function loadStyle({ href }) {
  if ([...document.styleSheets].some((sheet) => sheet.href === href)) return Promise.resolve();
  const link = Object.assign(document.createElement('link'), { rel: 'stylesheet', href });
  return new Promise((resolve, reject) => {
    link.onload = resolve;
    link.onerror = () => reject(new Error(`${href} could not be loaded; reload the page.`));
    document.head.append(link);
  });
}
