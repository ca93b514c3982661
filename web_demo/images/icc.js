/** Finding the colour profile in an image file, so that the enlarged file can carry it on. */

import { SCAN, containerOf, inflate, join, jpegSegments, pngChunks, text, viewOf, webpChunks } from './containers.js';

/** Bytes of a profile; those of printers have one or two million. */
const MAX_BYTES = 4e6;

/**
 * Read the colour profile of an image file.
 * @param {Blob} blob PNG, JPEG, WebP or AVIF; others have no profile here
 * @returns {Promise<Uint8Array | undefined>} an RGB profile; others no longer apply once the browser has made RGB
 */
export async function readProfile(blob) {
  const bytes = new Uint8Array(await blob.arrayBuffer());
  const profile = (await fromPng(bytes)) ?? fromJpeg(bytes) ?? fromWebp(bytes) ?? fromAvif(bytes);
  return profile?.length > 128 && text(profile, 16, 4) === 'RGB ' ? profile : undefined;
}

async function fromPng(bytes) {
  if (containerOf(bytes) !== 'png') return undefined;
  for (const { name, data } of pngChunks(bytes)) {
    if (name === 'IDAT') return undefined; // a profile comes before the pixels
    if (name === 'iCCP') return inflate(data.subarray(data.indexOf(0) + 2), MAX_BYTES).catch(() => undefined);
  }
  return undefined;
}

function fromJpeg(bytes) {
  if (containerOf(bytes) !== 'jpeg') return undefined;
  const parts = [];
  for (const { name, data } of jpegSegments(bytes)) {
    if (name === SCAN) break;
    if (name === 'e2' && text(data, 0, 11) === 'ICC_PROFILE') parts[data[12]] = data.subarray(14); // numbered from 1
  }
  return parts.length ? join(parts.filter(Boolean)) : undefined;
}

function fromWebp(bytes) {
  if (containerOf(bytes) !== 'webp') return undefined;
  for (const { name, data } of webpChunks(bytes)) if (name === 'ICCP') return data.slice();
  return undefined;
}

/** The `colr` box of kind `prof` lies among the image's properties, near the start of the file. */
function fromAvif(bytes) {
  if (text(bytes, 4, 4) !== 'ftyp') return undefined;
  const view = viewOf(bytes);
  for (let at = 4; at + 8 < Math.min(bytes.length, 65536); at++) {
    if (bytes[at] !== 0x63 || text(bytes, at, 8) !== 'colrprof') continue;
    return bytes.slice(at + 8, at - 4 + view.getUint32(at - 4));
  }
  return undefined;
}
