/**
 * XMP that stays true for an enlarged image, by the rules of `span_keras/images/xmp.py`: sizes follow, and what describes
 * other parts of the old file goes. All else stays word for word. Workers have no XML parser, so tags are found here.
 */

/** Namespaces of pictures, videos and depth maps behind the picture, of a gain map, and of XMP in further segments. */
const STALE = [
  'http://ns.adobe.com/hdr-gain-map/1.0/',
  'http://ns.google.com/photos/1.0/container/',
  'http://ns.google.com/photos/1.0/container/item/',
  'http://ns.google.com/photos/1.0/audio/',
  'http://ns.google.com/photos/1.0/depthmap/',
  'http://ns.google.com/photos/1.0/image/',
  'http://ns.google.com/photos/dd/1.0/container/',
  'http://ns.google.com/photos/dd/1.0/item/',
  'http://ns.google.com/photos/dd/1.0/device/',
  'http://ns.apple.com/HDRGainMap/1.0/',
  'http://ns.apple.com/pixeldatainfo/1.0/',
  'http://ns.adobe.com/xmp/note/',
];
/** What begins the names of such properties in Google's namespace for cameras, which has others too. */
const STALE_NAMES = /MotionPhoto|MicroVideo|SpecialTypeID/;
const CAMERA = 'http://ns.google.com/photos/1.0/camera/';
const PANORAMA = 'http://ns.google.com/photos/1.0/panorama/';
/** Properties that repeat the picture's size. */
const SIDES = {
  'http://ns.adobe.com/tiff/1.0/ImageWidth': 'width',
  'http://ns.adobe.com/exif/1.0/PixelXDimension': 'width',
  'http://ns.adobe.com/tiff/1.0/ImageLength': 'height',
  'http://ns.adobe.com/exif/1.0/PixelYDimension': 'height',
};
/** The same of a panorama, whose other sizes go by these. */
const CROPPED = {
  [`${PANORAMA}CroppedAreaImageWidthPixels`]: 'width',
  [`${PANORAMA}CroppedAreaImageHeightPixels`]: 'height',
};

/** Comments, instructions, raw text, declarations, and tags with their attributes. */
const MARKUP =
  /<!--[^]*?-->|<\?[^]*?\?>|<!\[CDATA\[[^]*?\]\]>|<(?<end>\/?)(?<tag>[^\s/>!?]+)(?<attributes>(?:\s+[^\s=>]+\s*=\s*(?:"[^"<]*"|'[^'<]*'))*)\s*(?<empty>\/?)>/y;
const ATTRIBUTE = /\s+([^\s=>]+)\s*=\s*("[^"<]*"|'[^'<]*')/y;

/**
 * @typedef {object} Property what an element holds or is
 * @property {string} namespace
 * @property {string} name
 * @property {string} value
 * @property {[number, number]} whole where it stands in the packet
 * @property {[number, number] | null} inner where its value does; null if it is none
 */

/**
 * Return an XMP packet for a picture of another size.
 * @param {string} xmp
 * @param {number} width
 * @param {number} height
 * @returns {string | undefined} XML that is broken or has entities of its own is kept as it is, unless it names such parts
 */
export function scaledXmp(xmp, width, height) {
  const packet = xmp.replace(/^\0+|\0+$/g, '');
  const properties = propertiesOf(packet);
  if (!properties) return STALE_NAMES.test(xmp) || STALE.some((name) => xmp.includes(name)) ? undefined : packet;
  const sides = { width, height };
  const factors = {};
  for (const { namespace, name, value } of properties) {
    const side = CROPPED[namespace + name];
    if (side && Number(digits(value))) factors[side] = sides[side] / Number(value);
  }
  /** @type {Array<[number, number, string]>} */
  const edits = [];
  for (const { namespace, name, value, whole, inner } of properties) {
    const side = SIDES[namespace + name];
    if (side) {
      if (inner) edits.push([...inner, String(sides[side])]);
    } else if (namespace === PANORAMA && name.endsWith('Pixels')) {
      const factor = factors[/(Height|Top)Pixels$/.test(name) ? 'height' : 'width'];
      const isKnown = factor && inner && digits(value);
      edits.push(isKnown ? [...inner, String(Math.round(Number(value) * factor))] : [...whole, '']);
    } else if (STALE.includes(namespace) || (namespace === CAMERA && name.search(STALE_NAMES) === 0)) {
      edits.push([...whole, '']);
    }
  }
  return edited(packet, edits);
}

const digits = (value) => /^\s*\d+\s*$/.test(value) && value.trim();

/** What is inside of something that goes, goes with it. */
function edited(packet, edits) {
  let [out, at] = ['', 0];
  for (const [from, to, replacement] of edits.sort((a, b) => a[0] - b[0] || b[1] - a[1])) {
    if (from < at) continue;
    out += packet.slice(at, from) + replacement;
    at = to;
  }
  return out + packet.slice(at);
}

/** @returns {Property[] | null} in their order; null if the packet cannot be understood */
function propertiesOf(packet) {
  if (/<!DOCTYPE|<!ENTITY/.test(packet)) return null;
  /** @type {Property[]} */
  const properties = [];
  /** @type {Array<{tag: string, namespaces: Record<string, string>, property: Property | null, start: number}>} */
  const open = [];
  for (let at = packet.indexOf('<'); at >= 0; at = packet.indexOf('<', at)) {
    MARKUP.lastIndex = at;
    const found = MARKUP.exec(packet);
    if (!found) return null;
    const { end, tag, attributes, empty } = /** @type {Record<string, string>} */ (found.groups);
    const start = at;
    at = MARKUP.lastIndex;
    if (!tag) continue;
    const parent = open.at(-1);
    if (end) {
      if (parent?.tag !== tag) return null;
      close(parent, packet, start, at);
      open.pop();
      continue;
    }
    const namespaces = { ...parent?.namespaces };
    const pairs = attributesOf(packet, start + 1 + tag.length, attributes.length);
    for (const { key, value } of pairs) if (key.startsWith('xmlns:')) namespaces[key.slice(6)] = value;
    const named = (name) => {
      const [prefix, local] = name.includes(':') ? name.split(':') : ['', name];
      return { namespace: namespaces[prefix] ?? '', name: local };
    };
    for (const { key, value, whole, inner } of pairs) properties.push({ ...named(key), value, whole, inner });
    /** @type {Property | null} */
    const property = parent ? { ...named(tag), value: '', whole: [start, at], inner: null } : null;
    if (property) properties.push(property);
    if (!empty) open.push({ tag, namespaces, property, start: at });
  }
  return open.length || !properties.length ? null : properties;
}

/** An element's value is its text, if it begins with some. */
function close({ property, start }, packet, from, to) {
  if (!property) return;
  property.whole[1] = to;
  const stop = packet.indexOf('<', start);
  if (stop <= start) return;
  property.inner = [start, Math.min(stop, from)];
  property.value = packet.slice(...property.inner);
}

function attributesOf(packet, at, length) {
  const pairs = [];
  ATTRIBUTE.lastIndex = at;
  for (let found; ATTRIBUTE.lastIndex < at + length && (found = ATTRIBUTE.exec(packet));) {
    const [all, key, quoted] = found;
    const stop = found.index + all.length;
    /** @type {[number, number]} */
    const whole = [found.index, stop];
    /** @type {[number, number]} */
    const inner = [stop - quoted.length + 1, stop - 1];
    pairs.push({ key, value: quoted.slice(1, -1), whole, inner });
  }
  return pairs;
}
