/** What the npm package says in Node where it cannot work. Where it can: tests/browser/test_package.py. */
import assert from 'node:assert/strict';
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
