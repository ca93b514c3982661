/**
 * Copies the libraries' files that the page loads from node_modules to vendor/, and writes what identifies them to
 * engine/libraries.js: `npm ci && npm run vendor`. With vendor/ in place the page asks no other server for anything.
 */
import { createHash } from 'node:crypto';
import { copyFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(fileURLToPath(import.meta.url));
const FILES = {
  core: '@tensorflow/tfjs-core/dist/tf-core.es2017.min.js',
  layers: '@tensorflow/tfjs-layers/dist/tf-layers.es2017.min.js',
  cpu: '@tensorflow/tfjs-backend-cpu/dist/tf-backend-cpu.es2017.min.js',
  webgl: '@tensorflow/tfjs-backend-webgl/dist/tf-backend-webgl.es2017.min.js',
  webgpu: '@tensorflow/tfjs-backend-webgpu/dist/tf-backend-webgpu.es2017.min.js',
  wasm: '@tensorflow/tfjs-backend-wasm/dist/tf-backend-wasm.es2017.min.js',
  wasmPlain: '@tensorflow/tfjs-backend-wasm/dist/tfjs-backend-wasm.wasm',
  wasmSimd: '@tensorflow/tfjs-backend-wasm/dist/tfjs-backend-wasm-simd.wasm',
  wasmThreads: '@tensorflow/tfjs-backend-wasm/dist/tfjs-backend-wasm-threaded-simd.wasm',
  chart: 'chart.js/dist/chart.umd.min.js',
  zip: 'client-zip/index.js',
  pako: 'pako/dist/browser/pako_deflate.esm.min.mjs',
  jpegDecoder: '@jsquash/jpeg/codec/dec/mozjpeg_dec.js',
  jpegDecoderWasm: '@jsquash/jpeg/codec/dec/mozjpeg_dec.wasm',
  jpegEncoder: '@jsquash/jpeg/codec/enc/mozjpeg_enc.js',
  jpegEncoderWasm: '@jsquash/jpeg/codec/enc/mozjpeg_enc.wasm',
  pngDecoder: '@jsquash/png/codec/pkg/squoosh_png.js',
  pngDecoderWasm: '@jsquash/png/codec/pkg/squoosh_png_bg.wasm',
  webpDecoder: '@jsquash/webp/codec/dec/webp_dec.js',
  webpDecoderWasm: '@jsquash/webp/codec/dec/webp_dec.wasm',
  webpEncoder: '@jsquash/webp/codec/enc/webp_enc.js',
  webpEncoderWasm: '@jsquash/webp/codec/enc/webp_enc.wasm',
};
/** Of packages whose files do not name their licence themselves. */
const LICENSES = {
  'client-zip/LICENSE.txt': 'client-zip.LICENSE.txt',
  'pako/LICENSE': 'pako.LICENSE.txt',
  '@jsquash/jpeg/LICENSE': 'jsquash.LICENSE.txt',
  '@jsquash/jpeg/codec/LICENSE.codec.md': 'mozjpeg.LICENSE.md',
  '@jsquash/png/codec/LICENSE.codec.md': 'squoosh_png.LICENSE.md',
  '@jsquash/webp/codec/LICENSE.codec.md': 'libwebp.LICENSE.md',
};

rmSync(join(root, 'vendor'), { recursive: true, force: true });
mkdirSync(join(root, 'vendor'));
const lines = Object.entries(FILES).map(([name, path]) => {
  const source = join(root, 'node_modules', path);
  const owner = path
    .split('/')
    .slice(0, path.startsWith('@') ? 2 : 1)
    .join('/');
  const { version } = JSON.parse(readFileSync(join(root, 'node_modules', owner, 'package.json')));
  const hash = createHash('sha384').update(readFileSync(source)).digest('base64');
  // Not every server knows .mjs.
  const file = basename(path) === 'index.js' ? `${owner}.js` : basename(path).replace(/\.mjs$/, '.js');
  copyFileSync(source, join(root, 'vendor', file));
  const fields = {
    path: `${owner}@${version}${path.slice(owner.length)}`,
    ...(file !== basename(path) && { file }),
    integrity: `sha384-${hash}`,
  };
  return `  ${name}: {\n${Object.entries(fields)
    .map(([key, value]) => `    ${key}: '${value}',\n`)
    .join('')}  },\n`;
});
for (const [path, file] of Object.entries(LICENSES)) {
  copyFileSync(join(root, 'node_modules', path), join(root, 'vendor', file));
}
const comment = `/**
 * Written by vendor.mjs. Of every library: its place among the npm packages, its name in vendor/ if that is another, and
 * the file's hash.
 * @type {Record<string, {path: string, file?: string, integrity: string}>}
 */
`;
writeFileSync(join(root, 'engine/libraries.js'), `${comment}export const LIBRARIES = {\n${lines.join('')}};\n`);
