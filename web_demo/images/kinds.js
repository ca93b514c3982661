/** What a file that browsers do not decode is, by its first bytes: a part of `span_keras/images/kinds.py`. */

/* eslint no-control-regex: off -- files begin with control characters */

/** Bytes that `refusalOf` wants to see. */
export const HEAD = 512;

const CONVERT = 'save it as PNG or JPEG';
const RAW = 'a camera’s raw file, which browsers do not read; develop it to JPEG or PNG';

/** Of the first bytes as Latin-1; the first that fits. */
const KINDS = [
  [/^(II\*\0\x10\0\0\0CR|.{4}ftypcrx |FUJIFILMCCD-RAW|II(U\0|RO))/s, RAW],
  [/^(II[*+]\0|MM\0[*+])/, `a TIFF image, which this browser does not read; ${CONVERT}, or enlarge it by span-upscale`],
  [
    /^.{4}ftyp(he[iv][cxms]|mif1|msf1)/s,
    'a HEIC photograph, which this browser does not read; open the page in Safari, or save the photograph as JPEG',
  ],
  [/^.{4}ftyp(avi[fs])/s, `an AVIF image that is damaged, or that this browser does not read; ${CONVERT}`],
  [/^(\xff\x0a|\0\0\0\x0cJXL \r\n\x87\n)/, `a JPEG XL image, which this browser does not read; ${CONVERT}`],
  [/^(\0\0\0\x0cjP {2}\r\n\x87\n|\xff\x4f\xff\x51)/, `a JPEG 2000 image, which this browser does not read; ${CONVERT}`],
  [/^8BPS/, 'a Photoshop file; export it as PNG'],
  [
    /^\s*(<\?xml[^>]*>\s*)?(<!--.*?-->\s*)*(<!DOCTYPE svg|<svg)/is,
    'a drawing (SVG), which is sharp in any size; export it as PNG in the size wanted',
  ],
  [/^%!PS/, 'a drawing (PostScript); export it as PNG in the size wanted'],
  [/^\s*(<!--.*?-->\s*)*<(!doctype html|html|head|body)/is, 'a web page; download the image itself'],
  [/^version https:\/\/git-lfs/, 'a git-lfs pointer to an image; fetch the image with git lfs pull'],
  [/^%PDF-/, 'a PDF document; extract its images'],
  [/^PK\x03\x04/, 'a ZIP archive; unpack it'],
  [/^.{4}ftyp/s, 'a video; extract a frame'],
];
/** Raw files that begin like TIFF. */
const RAW_ENDING =
  /\.(3fr|arw|cr2|cr3|crw|dcr|dng|erf|iiq|kdc|mef|mos|mrw|nef|nrw|orf|pef|raf|raw|rw2|rwl|sr2|srf|srw|x3f)$/i;

/**
 * Tell what a file is that is not decoded.
 * @param {string} head its first bytes as Latin-1
 * @param {string} name
 * @returns {string | undefined} to stand behind “is”: what it is and what to do; nothing if it may be a damaged image
 */
export function refusalOf(head, name) {
  if (RAW_ENDING.test(name)) return RAW;
  return /** @type {string | undefined} */ (KINDS.find(([start]) => /** @type {RegExp} */ (start).test(head))?.[1]);
}
