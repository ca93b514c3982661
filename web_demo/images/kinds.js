/** What a file is by its first bytes, and what to do if browsers do not decode it; see `span_keras/images/kinds.py`. */
import { STARTS, text } from './containers.js';

/* eslint no-control-regex: off -- files begin with control characters */

/** Bytes that tell what a file is. */
const HEAD = 512;

const CONVERT = 'save it as PNG or JPEG';
const RAW = 'a camera’s raw file, which browsers do not read; develop it to JPEG or PNG';

/**
 * The first whose `start` fits a file's first bytes as Latin-1. `type`: of images; `refusal`: of what browsers may not
 * decode, what it is and what to do.
 * @type {Array<{start: RegExp, type?: string, refusal?: string}>}
 */
const KINDS = [
  ...Object.entries(STARTS).map(([name, start]) => ({ start, type: `image/${name}` })),
  { start: /^BM.{4}\0{4}/s, type: 'image/bmp' },
  { start: /^(II\*\0\x10\0\0\0CR|.{4}ftypcrx |FUJIFILMCCD-RAW|II(U\0|RO))/s, type: 'image/x-dcraw', refusal: RAW },
  {
    start: /^(II[*+]\0|MM\0[*+])/,
    type: 'image/tiff',
    refusal: `a TIFF image, which this browser does not read; ${CONVERT}, or enlarge it by span-upscale`,
  },
  {
    start: /^.{4}ftyp(he[iv][cxms]|mif1|msf1)/s,
    type: 'image/heic',
    refusal:
      'a HEIC photograph, which this browser does not read; open the page in Safari, or save the photograph as JPEG',
  },
  {
    start: /^.{4}ftypavi[fs]/s,
    type: 'image/avif',
    refusal: `an AVIF image that is damaged, or that this browser does not read; ${CONVERT}`,
  },
  {
    start: /^(\xff\x0a|\0\0\0\x0cJXL \r\n\x87\n)/,
    type: 'image/jxl',
    refusal: `a JPEG XL image, which this browser does not read; ${CONVERT}`,
  },
  {
    start: /^(\0\0\0\x0cjP {2}\r\n\x87\n|\xff\x4f\xff\x51)/,
    type: 'image/jp2',
    refusal: `a JPEG 2000 image, which this browser does not read; ${CONVERT}`,
  },
  { start: /^8BPS/, type: 'image/vnd.adobe.photoshop', refusal: 'a Photoshop file; export it as PNG' },
  {
    start: /^\s*(<\?xml[^>]*>\s*)?(<!--.*?-->\s*)*(<!DOCTYPE svg|<svg)/is,
    type: 'image/svg+xml',
    refusal: 'a drawing (SVG), which is sharp in any size; export it as PNG in the size wanted',
  },
  { start: /^%!PS/, refusal: 'a drawing (PostScript); export it as PNG in the size wanted' },
  { start: /^\s*(<!--.*?-->\s*)*<(!doctype html|html|head|body)/is, refusal: 'a web page; download the image itself' },
  {
    start: /^version https:\/\/git-lfs/,
    refusal: 'a git-lfs pointer to an image; fetch the image with git lfs pull',
  },
  { start: /^%PDF-/, refusal: 'a PDF document; extract its images' },
  { start: /^PK\x03\x04/, refusal: 'a ZIP archive; unpack it' },
  { start: /^.{4}ftyp/s, refusal: 'a video; extract a frame' },
];
/** Raw files that begin like TIFF. */
const RAW_ENDING =
  /\.(3fr|arw|cr2|cr3|crw|dcr|dng|erf|iiq|kdc|mef|mos|mrw|nef|nrw|orf|pef|raf|raw|rw2|rwl|sr2|srf|srw|x3f)$/i;

/** @param {Blob} blob @returns {Promise<string>} its first bytes as Latin-1, for the other functions */
export const headOf = async (blob) => text(new Uint8Array(await blob.slice(0, HEAD).arrayBuffer()), 0, HEAD);

/** @param {string} head @returns {string | undefined} the MIME type of an image; nothing of what is none */
export const typeOf = (head) => kindOf(head)?.type;

/**
 * Tell what a file is that is not decoded.
 * @param {string} head
 * @param {string} name
 * @returns {string | undefined} to stand behind “is”: what it is and what to do; nothing if it may be a damaged image
 */
export function refusalOf(head, name) {
  return RAW_ENDING.test(name) ? RAW : kindOf(head)?.refusal;
}

const kindOf = (head) => KINDS.find(({ start }) => start.test(head));
