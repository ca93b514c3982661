/** What the networks of the package are for, read off their titles: "Photo ×4" is of the quality Photo. */

/** The qualities in the order in which they are offered, and what each is for. */
export const QUALITIES = {
  Photo: 'Mends blur, noise and JPEG traces of cameras and web sites.',
  Faithful: 'Adds nothing: for pictures that are clean and sharp.',
  Fast: 'A third of the work, and a little less sharp.',
};

/**
 * @param {{name: string}} model
 * @returns {string | undefined} the quality that its title names
 */
export function qualityOf({ name }) {
  const [quality] = name.split(' ×');
  return Object.hasOwn(QUALITIES, quality) ? quality : undefined;
}
