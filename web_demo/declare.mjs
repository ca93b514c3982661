/**
 * Writes span.d.ts from the comments of span.js: `npm run declare`. With `--check` it compares instead, and fails if the
 * file says something else. tsc writes a declaration for every module; this puts those that span.js needs into one file,
 * for whoever copies the page's folder has no use for the others.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { format, resolveConfig } from 'prettier';

const root = dirname(fileURLToPath(import.meta.url));
const target = join(root, 'span.d.ts');
/** What WebGPU's types are called is all that TypeScript before 6 has to know; later, its own are merged with these. */
const HEADER = `/** Types of span.js: upscale images with a SPAN network in the browser. Written by declare.mjs. */

declare global {
  // TypeScript before 6 does not know them.
  interface GPUDevice {}
  interface GPUTexture {}
}

`;
/** A module's type in another one's declaration. */
const IMPORTED = /import\(["'](\.[^"']+)["']\)\.(\w+)/g;
/** An exported declaration with the comment before it: on one line, or up to a brace at a line's beginning. */
const DECLARATION = /^(\/\*\*(?:(?!\*\/)[^])*\*\/\n)?(export (?:declare )?(\w+) (\w+)(?:.*;|[^]*?^\}.*))$/gm;
const COMMENT = /\/\*\*[^]*?\*\//g;

const folder = mkdtempSync(join(tmpdir(), 'span-types-'));
try {
  const emit = [
    '--noEmit',
    'false',
    '--noCheck',
    '--declaration',
    '--emitDeclarationOnly',
    '--stripInternal',
    '--outDir',
    folder,
  ];
  execFileSync(process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), '-p', root, ...emit], {
    stdio: 'inherit',
  });
  const text = await format(HEADER + bundle(), { ...(await resolveConfig(target)), parser: 'typescript' });
  if (!process.argv.includes('--check')) writeFileSync(target, text);
  else if (readFileSync(target, 'utf8') !== text) {
    console.error('span.d.ts is not what span.js declares; run `npm run declare` in web_demo and commit the file.');
    process.exitCode = 1;
  }
} finally {
  rmSync(folder, { recursive: true });
}

/** @returns {string} what span.js exports, and the types that it refers to */
function bundle() {
  const found = new Map();
  for (const name of declarations('span.js').keys()) collect('span.js', name, found);
  const onOneLine = (text) => text.replace(/\/\*\*\n *\* (.*)\n *\*\//g, '/** $1 */');
  return onOneLine([...found.values()].join('\n\n'));
}

/** Put a declaration into `found`, by name, and then those that it needs. */
function collect(path, name, found) {
  const text = declarations(path).get(name);
  const [, from, type] = text.match(/^export type \w+ = import\(["'](.+)["']\)\.(\w+);$/m) ?? [];
  if (type === name) return collect(join(dirname(path), from), name, found); // this module only passes it on
  if (found.has(name)) return;
  found.set(name, text.replace(IMPORTED, '$2'));
  for (const [, module, other] of text.matchAll(IMPORTED)) collect(join(dirname(path), module), other, found);
  const code = text.replace(COMMENT, '');
  for (const [word] of code.matchAll(/\b[A-Z]\w+/g)) if (declarations(path).has(word)) collect(path, word, found);
}

/** @returns {Map<string, string>} a module's exports by name; a comment before a type belongs to something else */
function declarations(path) {
  const text = readFileSync(join(folder, path.replace(/js$/, 'd.ts')), 'utf8');
  const all = [...text.matchAll(DECLARATION)];
  return new Map(all.map(([, comment = '', code, kind, name]) => [name, kind === 'type' ? code : comment + code]));
}
