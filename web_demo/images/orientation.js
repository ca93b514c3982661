/** The eight orientations of an image, numbered as in `span_keras/images/orientation.py`. */

/** Number -> the orientation that undoes it: behind a transposition, rows are columns. */
export const INVERSE = [0, 1, 2, 3, 4, 6, 5, 7];
/** EXIF's orientation, from 1 -> the one that makes the image upright. */
export const FROM_EXIF = [0, 0, 2, 3, 1, 4, 6, 7, 5];

/**
 * Turn an image.
 * @template {Uint8ClampedArray | Uint16Array | Float32Array} Data
 * @param {{data: Data, width: number, height: number}} image
 * @param {number} number bit 2 transposes, then bit 0 flips rows and bit 1 columns
 * @param {number} [channels]
 * @returns {{data: Data, width: number, height: number}} the same image where nothing is to be done
 */
export function turned({ data, width, height }, number, channels = 4) {
  if (number === 0) return { data, width, height };
  const [across, down] = number & 4 ? [height, width] : [width, height];
  const out = new /** @type {any} */ (data.constructor)(data.length);
  for (let y = 0, to = 0; y < down; y++) {
    const row = number & 1 ? down - 1 - y : y;
    for (let x = 0; x < across; x++) {
      const column = number & 2 ? across - 1 - x : x;
      let from = (number & 4 ? column * width + row : row * width + column) * channels;
      for (let c = 0; c < channels; c++) out[to++] = data[from++];
    }
  }
  return { data: out, width: across, height: down };
}
