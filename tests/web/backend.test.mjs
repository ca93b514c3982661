/** Why a backend cannot start, where what starts it would not say. */
import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import { requireWasm } from '../../web_demo/engine/backend.js';

const { WebAssembly } = globalThis;
afterEach(() => Object.assign(globalThis, { WebAssembly }));

test('WebAssembly may be missing or forbidden', () => {
  requireWasm();
  Object.assign(globalThis, { WebAssembly: undefined }); // as in the lockdown mode of iOS
  assert.throws(requireWasm, { message: 'this browser has no WebAssembly' });
  class Module {
    constructor() {
      throw new WebAssembly.CompileError('unsafe-eval is not an allowed source of script');
    }
  }
  Object.assign(globalThis, { WebAssembly: { Module } });
  assert.throws(requireWasm, /^Error: the content security policy forbids it; allow 'wasm-unsafe-eval'/);
});
