/** Exported models: their table of weights, what is read off them, and what is said of those that cannot be used. */
import assert from 'node:assert/strict';
import { File } from 'node:buffer';
import { test } from 'node:test';
import { readModelFiles } from '../../web_demo/checkpoints/model-files.js';
import { decodeGolden, haloOf, readConfig, weightTable } from '../../web_demo/network/model.js';

const CONFIG = { scale: 2, channels: 4, blocks: 2 };
const CHANNELS = { inChannels: 3, outChannels: 3 };

/** A model.json and its weights: the network of CONFIG, normalising its input, all in float32. */
function makeModel({ change = (specs) => specs, values = () => 0.5, official = false } = {}) {
  const table = weightTable(CONFIG).map(({ layer, weight, shape }) => ({ name: `${layer}/${weight}`, shape }));
  const extra = [
    { name: 'normalize/moving_mean', shape: [3], data: [0.25, 0.5, 0.75] },
    { name: 'normalize/moving_variance', shape: [3], data: Array(3).fill(255 ** -2) },
  ];
  const specs = change([...table, ...extra].map((spec) => ({ dtype: 'float32', ...spec })));
  const numbers = specs.flatMap(({ name, shape, data }) =>
    Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => data?.[i] ?? values(name, i)),
  );
  const layers = [
    { class_name: 'LeakyReLU', config: { name: 'block_1_act1', alpha: 0.1 } },
    { class_name: 'Activation', config: { name: official ? 'block_1_sigmoid' : 'block_1_sym' } },
  ];
  const json = {
    modelTopology: { model_config: { config: { layers } } },
    weightsManifest: [{ paths: ['folder/group1.bin'], weights: specs.map(({ data, ...spec }) => spec) }],
    userDefinedMetadata: { span: { golden: { tolerance: 0.5 } } },
  };
  return { json, weights: Float32Array.from(numbers) };
}

const files = ({ json, weights }, name = 'model.json') => [
  new File([JSON.stringify(json)], name),
  new File([weights], 'group1.bin'),
];

const read = async (model) => readConfig(await readModelFiles(files(model)));
const refuses = (work, message) => assert.rejects(work, { name: 'ModelError', message });

test('the table lists every weight in forward order, without a gap', () => {
  for (const [config, expected] of [
    [{ scale: 2, channels: 48, blocks: 6 }, 410700],
    [{ scale: 3, channels: 48, blocks: 6 }, 417195],
    [{ scale: 4, channels: 48, blocks: 6 }, 426288],
  ]) {
    const table = weightTable(config);
    let next = 0;
    for (const { shape, size, offset } of table) {
      assert.equal(offset, next);
      assert.equal(
        size,
        shape.reduce((a, b) => a * b),
      );
      next += size;
    }
    assert.equal(next, expected); // parameters of the fused network
    assert.deepEqual(
      table.slice(0, 4).map(({ layer, weight }) => `${layer}/${weight}`),
      ['conv_1/kernel', 'conv_1/bias', 'block_1_c1/kernel', 'block_1_c1/bias'],
    );
    assert.equal(table.at(-1).layer, 'upsampler');
  }
  assert.equal(haloOf({ blocks: 6 }), 21); // 21 serial 3 × 3 convolutions
});

test('the network is read off its weights and layers', async () => {
  const { golden, ...config } = await read(makeModel());
  assert.deepEqual(config, {
    ...CONFIG,
    ...CHANNELS,
    variant: 'span',
    imgRange: 255,
    rgbMean: [0.25, 0.5, 0.75],
    halo: 9,
  });
  assert.equal(golden.tolerance, 0.5);
  assert.equal((await read(makeModel({ official: true }))).variant, 'official');
  const plain = await read(makeModel({ change: (specs) => specs.filter(({ name }) => !name.startsWith('normalize')) }));
  assert.deepEqual([plain.imgRange, plain.rgbMean], [1, [0, 0, 0]]);
});

test('files are found by name, in any order', async () => {
  const [json, bin] = files(makeModel());
  const artifacts = await readModelFiles([bin, new File([''], 'notes.txt'), json]);
  assert.equal(artifacts.weightData.byteLength, bin.size);
  assert.equal(artifacts.weightSpecs[0].name, 'conv_1/kernel');
  await refuses(readModelFiles([json]), /^model\.json needs folder\/group1\.bin, found model\.json; choose both/);
  await refuses(
    readModelFiles([bin]),
    /^Choose one model\.json together with its \.bin files, or a \.safetensors; found group1\.bin\.$/,
  );
  await refuses(readModelFiles([]), /found nothing\.$/);
  await refuses(readModelFiles([json, new File(['{}'], 'other.json'), bin]), /^Choose one model\.json/);
});

test('a broken model is refused with a sentence', async () => {
  const [json, bin] = files(makeModel());
  await refuses(readModelFiles([new File(['<html>'], 'model.json'), bin]), /^model\.json is not JSON; expected/);
  const short = new File([await bin.slice(4).arrayBuffer()], 'group1.bin');
  await refuses(
    readModelFiles([json, short]),
    `The weights hold ${short.size} bytes where ${bin.size} were expected; fetch the model again.`,
  );
  const { json: sound } = makeModel();
  for (const odd of [
    {},
    { weightsManifest: [{}] },
    { weightsManifest: [{ paths: [1], weights: [] }] },
    { weightsManifest: [{ paths: [], weights: [{ name: 'a', dtype: 'float32' }] }] },
    { weightsManifest: [{ paths: [], weights: [{ name: 'a', shape: [1], dtype: 'string' }] }] },
    { modelTopology: { model_config: { config: { layers: {} } } } },
  ]) {
    const content = Object.keys(odd).length ? { ...sound, ...odd } : {};
    const changed = new File([JSON.stringify(content)], 'model.json');
    await refuses(readModelFiles([changed, bin]), /^Expected a TensorFlow\.js layers model/);
  }
});

test('weights that are no SPAN network are named', async () => {
  const renamed = (from, to) => (specs) => specs.map((spec) => ({ ...spec, name: spec.name.replace(from, to) }));
  await refuses(
    read(makeModel({ change: renamed('conv_cat', 'conv_dog') })),
    'Expected an exported SPAN network; this model has no conv_cat. Write one with span-export.',
  );
  const wrong = 'This model is not the SPAN network it seems to be: ';
  await refuses(
    read(makeModel({ change: renamed('block_2_c2/kernel', 'block_2_c4/kernel') })),
    `${wrong}block_2_c2/kernel is missing, expected 3×3×4×4.`,
  );
  const reshaped = (specs) =>
    specs.map((spec) => (spec.name === 'block_2_c3/kernel' ? { ...spec, shape: [3, 3, 2, 8] } : spec));
  await refuses(
    read(makeModel({ change: reshaped })),
    `${wrong}block_2_c3/kernel has shape 3×3×2×8, expected 3×3×4×4.`,
  );
  const nine = (specs) =>
    specs.map((spec) =>
      spec.name.startsWith('upsampler') ? { ...spec, shape: [...spec.shape.slice(0, -1), 243] } : spec,
    );
  await refuses(
    read(makeModel({ change: nine })),
    'Expected a network that enlarges grey, RGB or RGBA 1 to 8 times, found 3 input channels and 243 sub-pixels.',
  );
  for (const value of [NaN, Infinity]) {
    const values = (name, i) => (name === 'conv_2/kernel' && i === 7 ? value : 0.5);
    await refuses(
      read(makeModel({ values })),
      'conv_2/kernel of this model holds values that are not numbers; use another one.',
    );
  }
});

test('half floats are numbers, or are refused', async () => {
  const halves = (specs) => specs.map((spec) => ({ ...spec, quantization: { dtype: 'float16' } }));
  const withoutNormalization = (specs) => halves(specs.filter(({ name }) => !name.startsWith('normalize')));
  const model = makeModel({ change: withoutNormalization });
  const bits = new Uint16Array(model.weights.length).fill(0x7bff); // the largest number
  assert.equal((await read({ ...model, weights: bits })).channels, 4);
  for (const broken of [0x7c00, 0xfc00, 0x7e01]) {
    const weights = bits.slice();
    weights[40] = broken;
    await refuses(read({ ...model, weights }), /^conv_1\/kernel of this model holds values that are not numbers;/);
  }
});

test('another slope is refused', async () => {
  const model = makeModel();
  model.json.modelTopology.model_config.config.layers[0].config.alpha = 0.2;
  await refuses(read(model), /^Expected LeakyReLU with slope 0\.1, found 0\.2 in block_1_act1;/);
});

test('a quantised normalisation is refused', async () => {
  const quantise = (specs) =>
    specs.map((spec) =>
      spec.name === 'normalize/moving_mean' ? { ...spec, quantization: { dtype: 'float16' } } : spec,
    );
  const model = makeModel({ change: quantise });
  model.weights = new Uint8Array(model.weights.buffer.slice(6)); // three values of two bytes less
  await refuses(read(model), /^Expected normalize\/moving_mean in float32, found float16;/);
});

test('a golden tile is decoded', () => {
  const encode = (bytes) => Buffer.from(bytes).toString('base64');
  const output = Float32Array.of(0.5, -1.25, 3e-7);
  const golden = { inputShape: [1, 2, 3], outputShape: [1, 1, 3], tolerance: 0.01 };
  const found = decodeGolden({ ...golden, input: encode([0, 127, 128, 255, 1, 2]), output: encode(output.buffer) });
  assert.deepEqual(
    { ...found, input: [...found.input], output: [...found.output] },
    {
      height: 1,
      width: 2,
      input: [0, 127, 128, 255, 1, 2],
      output: [...output],
      tolerance: 0.01,
    },
  );
});
