/** The colour space that a profile's description names. Apart from `icc.js`, because most images have no profile. */
import { text, viewOf } from './containers.js';

/**
 * Tell the colour space of canvases that a profile is for. Other names, such as that of a linear sRGB, tell that the values mean something else.
 * @param {Uint8Array} icc
 * @returns {PredefinedColorSpace | null} `null` if canvases do not know it
 */
export function colorSpaceOf(icc) {
  const name = describe(icc);
  if (/^Display P3( Gamut with sRGB Transfer)?$/.test(name)) return 'display-p3';
  return /^(GIMP built-in )?sRGB( IEC61966-2.*| built-in| Gamut with sRGB Transfer)?$/.test(name) ? 'srgb' : null;
}

/** The profile's own description: ASCII in those of version 2, else UTF-16, the first of several languages. */
function describe(icc) {
  const view = viewOf(icc);
  for (let at = 132; at + 12 <= icc.length && at < 132 + 12 * view.getUint32(128); at += 12) {
    const start = view.getUint32(at + 4);
    if (text(icc, at, 4) !== 'desc' || start + 28 > icc.length) continue;
    const unicode = text(icc, start, 4) === 'mluc';
    const [from, length] = unicode
      ? [view.getUint32(start + 24), view.getUint32(start + 20)]
      : [12, view.getUint32(start + 8)];
    return text(icc, start + from, Math.min(length, 200))
      .replaceAll('\0', '')
      .trim();
  }
  return '';
}
