/** What a file holds that one picture of 8 bits cannot show: further frames, HDR, a video. */
import {
  END,
  SCAN,
  containerOf,
  gifBlocks,
  jpegSegments,
  pngChunks,
  text,
  viewOf,
  webpChunks,
} from '../images/containers.js';

/** Bytes in which the properties of an AVIF or HEIC lie. */
const HEAD = 65536;
/** Transfer functions of HDR: ITU-T H.273, table 3. */
const HDR = { 16: 'PQ', 18: 'HLG' };
const GAIN_MAP = /hdrgm:Version|HDRGainMapVersion|Semantic=["']GainMap/;
const ISO_GAIN_MAP = 'urn:iso:std:iso:ts:21496';

/**
 * Tell what of a file is not in its picture as browsers decode it.
 * @param {Uint8Array} bytes
 * @returns {string[]} sentences
 */
export function unseen(bytes) {
  const frames = framesOf(bytes);
  const notes = frames > 1 ? [`It holds ${frames} frames; only the first is used.`] : [];
  if (containerOf(bytes) === 'jpeg') notes.push(...ofJpeg(bytes));
  if (text(bytes, 4, 4) === 'ftyp') notes.push(...ofBoxes(bytes.subarray(0, HEAD)));
  if (containerOf(bytes) === 'png') notes.push(...transferNote(chunkOf(bytes, 'cICP')?.[1]));
  return notes;
}

function framesOf(bytes) {
  const container = containerOf(bytes);
  if (container === 'gif') return [...gifBlocks(bytes)].filter(({ isFrame }) => isFrame).length;
  if (container === 'webp') return [...webpChunks(bytes)].filter(({ name }) => name === 'ANMF').length;
  const control = container === 'png' && chunkOf(bytes, 'acTL');
  return control && control.length >= 4 ? viewOf(control).getUint32(0) : 1;
}

const chunkOf = (bytes, wanted) => {
  for (const { name, data } of pngChunks(bytes)) {
    if (name === wanted) return data;
    if (name === 'IDAT') break; // what tells of the picture stands before it
  }
  return undefined;
};

function ofJpeg(bytes) {
  let hasGainMap = false;
  let isPartOfMore = false;
  for (const { name, data, stop } of jpegSegments(bytes)) {
    if (name === 'e1' || name === 'e2') {
      const start = text(data, 0, 32);
      const isXmp = name === 'e1' && start.startsWith('http://ns.adobe.com/xap/1.0/');
      hasGainMap ||= start.startsWith(ISO_GAIN_MAP) || (isXmp && GAIN_MAP.test(new TextDecoder().decode(data)));
      isPartOfMore ||= name === 'e2' && start.startsWith('MPF\0');
    }
    if (name === SCAN && hasGainMap) break;
    if (name === END && !isPartOfMore) return [...gainMap(hasGainMap), ...behind(bytes, stop)];
  }
  return gainMap(hasGainMap);
}

const gainMap = (has) => (has ? ['It is an HDR photograph; its gain map for bright screens is left out.'] : []);

/** Cameras fill up blocks with zeros. */
function behind(bytes, stop) {
  const rest = bytes.subarray(stop);
  if (!rest.some(Boolean)) return [];
  const what = text(rest, 0, 64).includes('ftyp') ? 'a video' : 'data';
  return [`It holds ${what} of ${rest.length} bytes behind the picture, left out.`];
}

/** AVIF and HEIC. Source: ISO/IEC 23008-12 and AV1's ISOBMFF binding, section 2.3.3. */
function ofBoxes(head) {
  const letters = Array.from(head, (byte) => String.fromCharCode(byte)).join('');
  const after = (name) => (letters.includes(name) ? letters.indexOf(name) + name.length : -1);
  const notes = [];
  if (/^(avis|msf1|hevc|hevx)/.test(letters.slice(8))) {
    notes.push('It is a sequence; only one of its pictures is used.');
  }
  const colors = after('colrnclx');
  if (colors > 0) notes.push(...transferNote(viewOf(head).getUint16(colors + 2)));
  const flags = head[after('av1C') + 2];
  const bits = after('av1C') < 0 || !(flags & 0x40) ? 8 : flags & 0x20 ? 12 : 10;
  if (bits > 8) notes.push(`Its ${bits} bits per sample became 8.`);
  return notes;
}

const transferNote = (transfer) =>
  HDR[transfer] ? [`It is an HDR image (${HDR[transfer]}); its result has the colours of usual screens.`] : [];
