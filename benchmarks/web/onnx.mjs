// Times an ONNX model on ONNX Runtime's WebGPU provider, for comparison with engine.mjs:
//   node benchmarks/web/onnx.mjs MODEL.onnx... [--sizes 64,128,256,512]
// MODEL.onnx is what `span-export --onnx` writes, or benchmarks/web/onnx_slice.py made of it: then only twelve values
// leave the GPU. Needs the npm package `onnxruntime-node`, found beside this file or through ORT_MODULE=folder.
import { createRequire } from 'node:module';
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { timeAwaited } from './dawn.mjs';

const require = createRequire(import.meta.url);
const ort = require(process.env.ORT_MODULE ? resolve(process.env.ORT_MODULE) : 'onnxruntime-node');
const { values: options, positionals: files } = parseArgs({
  allowPositionals: true,
  options: { sizes: { type: 'string', default: '64,128,256,512' } },
});
for (const file of files) {
  const session = await ort.InferenceSession.create(file, { executionProviders: ['webgpu'], logSeverityLevel: 3 });
  const [input] = session.inputNames;
  const [, channelsFirst] = session.inputMetadata?.[0]?.shape ?? [];
  const times = [];
  for (const size of options.sizes.split(',').map(Number)) {
    const shape = channelsFirst === 3 ? [1, 3, size, size] : [1, size, size, 3];
    const values = Float32Array.from({ length: size * size * 3 }, (_, i) => ((i * 7919) % 251) / 255);
    const tensor = new ort.Tensor('float32', values, shape);
    const time = await timeAwaited(() => session.run({ [input]: tensor }), { rounds: 7 });
    times.push(`${size}: ${time.toFixed(2)}`);
  }
  console.log(
    `ONNX Runtime ${ort.env.versions.node} WebGPU, ${file.split('/').at(-1)}, each awaited: ${times.join('  ')} ms`,
  );
}
process.exit(0);
