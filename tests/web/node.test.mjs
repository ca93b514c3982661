/** The npm package in Node where it cannot work, and for TypeScript before 6. The rest: tests/browser/test_package.py. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { loadUpscaler as loadInNode } from '../../web_demo/npm/node.mjs';
import { loadUpscaler } from '../../web_demo/span.js';

test('a server can import what is for pages, and is told when it uses that', async () => {
  await assert.rejects(
    loadUpscaler('model.json'),
    /^Error: Expected a browser, found no Worker; .* span-upscaler\/node/,
  );
});

test('without a GPU and without a model, one learns what is missing', async () => {
  await assert.rejects(loadInNode('model.json'), /^Error: Expected the option gpu, .* of the package webgpu\.$/);
  const gpu = /** @type {GPU} */ ({});
  await assert.rejects(loadInNode('no/model.json', { gpu }), {
    message: 'Expected a model.json at no/model.json, found none that can be read (ENOENT); check the path.',
  });
});

for (const file of ['span.d.ts', 'npm/node.d.mts']) {
  test(`${file} names the types of WebGPU that it refers to`, () => {
    const code = readFileSync(new URL(`../../web_demo/${file}`, import.meta.url), 'utf8').replace(/\/\*[^]*?\*\//g, '');
    const [used, declared] = [/\bGPU\w*/g, /(?<=interface )GPU\w*(?= \{\})/g].map(
      (words) => new Set(code.match(words)),
    );
    assert.ok(used.size);
    assert.deepEqual([...used].sort(), [...declared].sort());
  });
}
