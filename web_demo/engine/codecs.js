/**
 * Decoding and encoding without a canvas, by the codecs of jSquash (libjpeg, libwebp and the image crates of Rust as
 * WebAssembly). They are loaded only where the browser's own way cannot be trusted: see images/canvas.js.
 */
import { LACKS_END } from '../images/alike.js';
import { containerOf, join } from '../images/containers.js';
import { ImageError, openFile } from '../images/decode.js';
import { FROM_EXIF, turned } from '../images/orientation.js';
import { readMetadata } from '../metadata/metadata.js';
import { fileUrl, loadModule } from './tf.js';

/** What the encoders make of a quality; the rest is what jSquash and Squoosh set. */
const JPEG = {
  ...{ baseline: false, arithmetic: false, progressive: true, optimize_coding: true, smoothing: 0, color_space: 3 },
  ...{ quant_table: 3, trellis_multipass: false, trellis_opt_zero: false, trellis_opt_table: false, trellis_loops: 1 },
  ...{ auto_subsample: true, chroma_subsample: 2, separate_chroma_quality: false, chroma_quality: 75 },
};
const WEBP = {
  ...{ target_size: 0, target_PSNR: 0, method: 4, sns_strength: 50, filter_strength: 60, filter_sharpness: 0 },
  ...{ filter_type: 1, partitions: 0, segments: 4, pass: 1, show_compressed: 0, preprocessing: 0, autofilter: 0 },
  ...{ partition_limit: 0, alpha_compression: 1, alpha_filtering: 1, alpha_quality: 100, lossless: 0, exact: 0 },
  ...{ image_hint: 0, emulate_jpeg_size: 0, thread_level: 0, low_memory: 0, near_lossless: 100 },
  ...{ use_delta_palette: 0, use_sharp_yuv: 0 },
};
/** Coded data of a JPEG that mean nothing, and hold no marker. */
const NOISE = Uint8Array.from({ length: 65536 }, (_, i) => (Math.imul(i + 1, 2654435761) >>> 24) % 255);
/** @type {Map<string, Promise<any>>} codecs that are loaded, by name in libraries.js */
const loaded = new Map();

/** @typedef {{data: Uint8ClampedArray | Uint16Array, width: number, height: number}} Decoded RGBA, straight alpha */

/**
 * Decode a file without the browser.
 * @param {Blob & {name?: string}} file
 * @param {{deep?: boolean}} [options] `deep`: give 16 bits of a PNG
 * @returns {Promise<Decoded>} upright, the file's own colour values
 * @throws {ImageError} it is neither PNG, JPEG nor WebP, or damaged
 */
export async function decodeFile(file, { deep = false } = {}) {
  const name = file.name ?? 'The image';
  const kind = containerOf(new Uint8Array(await file.slice(0, 12).arrayBuffer()));
  if (!kind || kind === 'gif') {
    (await openFile(file)).close(); // what the browser does not read itself is refused as that
    throw new ImageError(
      `${name} is neither PNG, JPEG nor WebP. This browser hides the content of other images from pages, against ` +
        'fingerprinting: allow this site to read canvases, or take one of those formats.',
    );
  }
  const codec = await load(`${kind}Decoder`);
  try {
    const bytes = new Uint8Array(await file.arrayBuffer());
    if (kind === 'jpeg') return decodeJpeg(codec, bytes);
    const image = deep ? deepOf(codec.decode_rgba16(bytes)) : codec.decode(bytes);
    if (image) return turned(image, FROM_EXIF[(await readMetadata(bytes)).orientation]);
  } catch {
    // Said below.
  }
  throw new ImageError(`${name} is damaged; choose another file.`);
}

/** @returns {Decoded} @throws {Error} it is damaged */
function decodeJpeg(codec, bytes) {
  const image = codec.decode(bytes.buffer, true); // true: upright
  if (!image) throw new Error('damaged');
  return image;
}

/** What the library holds of 16 bits stays its own until it is freed. @returns {Decoded} */
function deepOf(image) {
  const { width, height } = image;
  const data = new Uint16Array(image.data);
  image.free();
  return { data, width, height };
}

/**
 * Decode a JPEG that lacks its end.
 * @param {Blob} file
 * @returns {Promise<{image: Decoded, note: string}>} `note`: a sentence about how much is missing, which is grey
 * @throws {Error} there is too little of it
 */
export async function decodeCut(file) {
  const codec = await load('jpegDecoder');
  const bytes = new Uint8Array(await file.arrayBuffer());
  const endings = [[], NOISE].map((noise) => join([bytes, noise, [0xff, 0xd9]]));
  const [image, other] = endings.map((whole) => decodeJpeg(codec, whole));
  // Where the file's own data end, whatever follows tells.
  const isOther = (_, i) => [0, 1, 2].some((c) => image.data[4 * i + c] !== other.data[4 * i + c]);
  const pixels = image.width * image.height;
  const lost = Array.from({ length: pixels }, isOther).filter(Boolean).length / pixels;
  const missing = `The file is cut off; ${Math.max(1, Math.round(lost * 100))} % of the image is missing and grey.`;
  return { image, note: lost ? missing : LACKS_END };
}

/**
 * Encode pixels without the browser.
 * @param {Decoded} image of 8 bits
 * @param {'image/jpeg' | 'image/webp'} type
 * @param {number} quality 0..1
 * @returns {Promise<Blob>}
 */
export async function encodeFile({ data, width, height }, type, quality) {
  const kind = type === 'image/jpeg' ? 'jpeg' : 'webp';
  const codec = await load(`${kind}Encoder`);
  const options = { ...(kind === 'jpeg' ? JPEG : WEBP), quality: 100 * quality };
  return new Blob([codec.encode(data, width, height, options)], { type });
}

function load(part) {
  if (!loaded.has(part)) {
    const attempt = start(part);
    attempt.catch(() => loaded.delete(part)); // a later call tries again
    loaded.set(part, attempt);
  }
  return /** @type {Promise<any>} */ (loaded.get(part));
}

/** The PNG decoder is Rust's and starts otherwise than those of Emscripten. */
async function start(part) {
  const [library, binary] = await Promise.all([loadModule(part), fileUrl(`${part}Wasm`)]);
  // What libjpeg prints of damage is told by what it returns.
  const quiet = { print: () => {}, printErr: () => {} };
  if (part !== 'pngDecoder') return library.default({ noInitialRun: true, locateFile: () => binary, ...quiet });
  await library.default(new URL(binary));
  return library;
}
