/**
 * Makes the npm package span-upscaler: `node npm/pack.mjs FOLDER [--models EXPORT]`.
 *
 * It holds what span.js and node.mjs import, the vendored libraries that they load, and the networks of a folder that
 * span-export wrote with --also.
 */
import { execFileSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, posix, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { LIBRARIES } from '../engine/libraries.js';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const ENTRANCES = ['span.js', 'npm/node.mjs'];
/** Loaded by the page alone: its charts, archives, training and file formats. */
const PAGE_LIBRARIES = ['layers', 'chart', 'zip', 'jpegEncoder', 'jpegEncoderWasm', 'webpEncoder', 'webpEncoderWasm'];
const IMPORT = /(?:from |import |import\(|new URL\()'(\.[\w./-]+\.js)'/g;

const { values, positionals } = parseArgs({ allowPositionals: true, options: { models: { type: 'string' } } });
const [target = '.'] = positionals;
const stage = mkdtempSync(join(tmpdir(), 'span-upscaler-'));
try {
  const modules = closure(ENTRANCES);
  for (const path of [...modules, ...libraries(), 'span.d.ts', 'npm/node.d.mts']) copy(join(root, path), path);
  copy(join(root, 'npm/README.md'), 'README.md');
  copy(join(root, '../LICENSE'), 'LICENSE');
  if (values.models) addModels(values.models);
  writeFileSync(join(stage, 'package.json'), `${JSON.stringify(description(), null, 2)}\n`);
  mkdirSync(target, { recursive: true });
  const npm = ['pack', '--silent', '--pack-destination', resolve(target)];
  console.log(join(target, String(execFileSync('npm', npm, { cwd: stage })).trim()));
} finally {
  rmSync(stage, { recursive: true });
}

function copy(from, path) {
  mkdirSync(dirname(join(stage, path)), { recursive: true });
  cpSync(from, join(stage, path));
}

/** @returns {Set<string>} modules and all that they import, workers among it */
function closure(paths, found = new Set()) {
  for (const path of paths) {
    if (found.has(path)) continue;
    found.add(path);
    const code = readFileSync(join(root, path), 'utf8').replace(/^ *(\/\*)?\*.*$/gm, ''); // comments import types
    closure(
      [...code.matchAll(IMPORT)].map(([, other]) => posix.join(posix.dirname(path), other)),
      found,
    );
  }
  return found;
}

/** @returns {string[]} vendored files, and the licences of all */
function libraries() {
  const needed = Object.entries(LIBRARIES).filter(([name]) => !PAGE_LIBRARIES.includes(name));
  const files = needed.map(([, { path, file }]) => file ?? path.split('/').pop());
  const licences = readdirSync(join(root, 'vendor')).filter(
    (name) => /LICENSE/.test(name) && !/^client-zip/.test(name),
  );
  return [...files, ...licences].map((name) => `vendor/${name}`);
}

/** A module beside every network names its files, so that bundlers take them along. */
function addModels(folder) {
  const list = join(folder, 'models.json');
  if (!existsSync(list)) {
    throw new Error(`Expected models.json in ${folder}, as span-export --tfjs DIR --also W writes it.`);
  }
  for (const { name, url } of JSON.parse(readFileSync(list)).models) {
    const from = dirname(join(folder, url));
    const { weightsManifest } = JSON.parse(readFileSync(join(from, 'model.json')));
    const weights = weightsManifest.flatMap(({ paths }) => paths);
    for (const file of ['model.json', ...weights]) copy(join(from, file), `models/${name}/${file}`);
    const place = (file) => `new URL('./${name}/${file}', import.meta.url)`;
    const entries = weights.map((file) => `  '${file}': ${place(file)},\n`);
    writeFileSync(
      join(stage, 'models', `${name}.js`),
      `/** Fetches the network ${name}, for loadUpscaler. */
import { fetchModel } from '../network/model.js';

const weights = {\n${entries.join('')}};

export default () => fetchModel(${place('model.json')}, (path) => weights[path]);
`,
    );
    writeFileSync(
      join(stage, 'models', `${name}.d.ts`),
      `import type { ModelArtifacts } from '../span.js';

/** Fetch the network ${name}, for loadUpscaler. */
export default function fetchNetwork(): Promise<ModelArtifacts>;
`,
    );
  }
}

function description() {
  const { version, license } = JSON.parse(readFileSync(join(root, 'package.json')));
  return {
    name: 'span-upscaler',
    version,
    description: 'Upscale images with SPAN super-resolution networks in the browser: WebGPU, WebGL, WebAssembly',
    keywords: ['super-resolution', 'upscale', 'image', 'webgpu', 'webassembly', 'span'],
    license,
    type: 'module',
    exports: {
      '.': { types: './span.d.ts', default: './span.js' },
      './node': { types: './npm/node.d.mts', default: './npm/node.mjs' },
      './models/*.json': './models/*.json',
      './models/*': { types: './models/*.d.ts', default: './models/*.js' },
      './package.json': './package.json',
    },
    engines: { node: '>=20' },
  };
}
