/** What an enlarged PNG says about its pixels, put into a JPEG or WebP of the same pixels. */
import { pngChunks } from '../images/containers.js';
import { NAMES } from '../images/formats.js';
import { readMetadata } from './metadata.js';
import { intoJpeg, intoWebp } from './write.js';

/** Of a PNG's header: where its bits per sample stand. */
const DEPTH_AT = 8;

/**
 * Return a file with the metadata of a PNG in place of its own.
 * @param {Blob} encoded
 * @param {Blob} png its beginning, up to the pixels
 * @param {{type: string, width: number, height: number, icc?: Uint8Array}} form `type`: image/jpeg or image/webp;
 *   `icc`: the profile of its values; none for sRGB
 * @returns {Promise<{blob: Blob, notes: string[]}>} `notes`: sentences about what the format cannot hold
 */
export async function intoFormat(encoded, png, { type, width, height, icc }) {
  const [pixels, head] = await Promise.all(
    [encoded, png].map(async (blob) => new Uint8Array(await blob.arrayBuffer())),
  );
  const { metadata } = await readMetadata(head);
  const parts = { ...metadata, icc, width, height };
  const { file, lost } = type === 'image/jpeg' ? intoJpeg(pixels, parts) : intoWebp(pixels, parts);
  const notes = lost.length ? [`${NAMES[type]} cannot hold the ${lost.join(', ')}; PNG can.`] : [];
  const [header] = pngChunks(head);
  if (header?.data[DEPTH_AT] === 16) notes.push(`${NAMES[type]} holds 8 bits per sample; PNG keeps 16.`);
  return { blob: new Blob([file], { type }), notes };
}
