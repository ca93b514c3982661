/** Finding the colour profile in an image file, so that the enlarged file can carry it on. */

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

/** @returns {string} the bytes as characters of Latin-1 */
export const text = (bytes, at, length) => String.fromCharCode(...bytes.subarray(at, at + length));
/** @param {Uint8Array} bytes @returns {DataView} of the same memory */
export const viewOf = (bytes) => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

async function fromPng(bytes) {
  if (text(bytes, 1, 3) !== 'PNG') return undefined;
  const view = viewOf(bytes);
  for (let at = 8; at + 12 <= bytes.length;) {
    const length = view.getUint32(at);
    const type = text(bytes, at + 4, 4);
    if (type === 'IDAT') return undefined; // a profile comes before the pixels
    if (type === 'iCCP') {
      const data = bytes.subarray(at + 8, at + 8 + length);
      return inflate(data.subarray(data.indexOf(0) + 2)).catch(() => undefined);
    }
    at += length + 12;
  }
  return undefined;
}

/** @returns {Promise<Uint8Array | undefined>} nothing for more than any profile holds: few bytes can become gigabytes */
async function inflate(bytes) {
  const reader = new Blob([bytes]).stream().pipeThrough(new DecompressionStream('deflate')).getReader();
  const parts = [];
  let length = 0;
  for (let next = await reader.read(); !next.done; next = await reader.read()) {
    length += next.value.length;
    if (length > MAX_BYTES) return void reader.cancel();
    parts.push(next.value);
  }
  return join(parts);
}

function fromJpeg(bytes) {
  if (bytes[0] !== 0xff || bytes[1] !== 0xd8) return undefined;
  const view = viewOf(bytes);
  const parts = [];
  for (let at = 2; at + 4 <= bytes.length && bytes[at] === 0xff && bytes[at + 1] !== 0xda;) {
    const length = view.getUint16(at + 2);
    if (bytes[at + 1] === 0xe2 && text(bytes, at + 4, 11) === 'ICC_PROFILE') {
      parts[bytes[at + 16]] = bytes.subarray(at + 18, at + 2 + length); // numbered from 1
    }
    at += length + 2;
  }
  return parts.length ? join(parts.filter(Boolean)) : undefined;
}

function fromWebp(bytes) {
  if (text(bytes, 0, 4) !== 'RIFF' || text(bytes, 8, 4) !== 'WEBP') return undefined;
  const view = viewOf(bytes);
  for (let at = 12; at + 8 <= bytes.length;) {
    const length = view.getUint32(at + 4, true);
    if (text(bytes, at, 4) === 'ICCP') return bytes.slice(at + 8, at + 8 + length);
    at += 8 + length + (length % 2);
  }
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

function join(parts) {
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}
