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
};

rmSync(join(root, 'vendor'), { recursive: true, force: true });
mkdirSync(join(root, 'vendor'));
const lines = Object.entries(FILES).map(([name, path]) => {
  const source = join(root, 'node_modules', path);
  const owner = path.split('/').slice(0, path.startsWith('@') ? 2 : 1).join('/');
  const { version } = JSON.parse(readFileSync(join(root, 'node_modules', owner, 'package.json')));
  const hash = createHash('sha384').update(readFileSync(source)).digest('base64');
  copyFileSync(source, join(root, 'vendor', basename(path)));
  return `  ${name}: {\n    path: '${owner}@${version}${path.slice(owner.length)}',\n    integrity: 'sha384-${hash}',\n  },\n`;
});
const comment = '/** Written by vendor.mjs: the libraries as npm packages hold them, and the hashes of their files. */\n';
writeFileSync(join(root, 'engine/libraries.js'), `${comment}export const LIBRARIES = {\n${lines.join('')}};\n`);
