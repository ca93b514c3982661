/** Networks under the authors' names, as `.pth` and `.safetensors`: back by the page's own reader, and refused where they would mislead. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { stateDict } from '../../web_demo/checkpoints/authors.js';
import { detect } from '../../web_demo/checkpoints/detect.js';
import { expandKernel, fuse } from '../../web_demo/checkpoints/reparam.js';
import { readSafetensors, writeSafetensors } from '../../web_demo/checkpoints/safetensors.js';
import { torchMembers } from '../../web_demo/checkpoints/torch-file.js';
import { DIV2K_MEAN } from '../../web_demo/constants.js';
import { readConfig, weightTable } from '../../web_demo/network/model.js';
import { uniformStream } from '../../web_demo/network/random.js';
import { readWeights } from '../../web_demo/network/weights.js';

/** A random network, as the page's training holds it. */
function network({ channels = 4, blocks = 6, scale = 2, variant = 'official', mean = DIV2K_MEAN } = {}) {
  const uniform = uniformStream(5);
  const entries = weightTable({ channels, blocks, scale }).map(({ layer, weight, shape, size }) => ({
    name: `${layer}/${weight}`,
    shape,
    values: Array.from({ length: size }, () => 0.4 * uniform() - 0.2),
  }));
  entries.push({ name: 'normalize/moving_mean', shape: [3], values: mean });
  entries.push({ name: 'normalize/moving_variance', shape: [3], values: [1, 1, 1] });
  const sigmoid = { class_name: 'Activation', config: { name: 'block_1_sigmoid' } };
  return {
    modelTopology: { config: { layers: variant === 'official' ? [sigmoid] : [] } },
    weightSpecs: entries.map(({ name, shape }) => ({ name, shape, dtype: 'float32' })),
    weightData: Float32Array.from(entries.flatMap(({ values }) => values)).buffer,
  };
}

const largest = (a, b) => a.reduce((most, value, i) => Math.max(most, Math.abs(value - b[i])), 0);

test('a convolution that is spread over four is the same', () => {
  const uniform = uniformStream(1);
  const kernel = Float32Array.from({ length: 9 * 3 * 5 }, uniform);
  const bias = Float32Array.from({ length: 5 }, uniform);
  const expanded = expandKernel(kernel, bias);
  const made = fuse(expanded);
  assert.ok(largest(made.kernel, kernel) < 1e-6);
  assert.deepEqual(made.bias, bias);
  // The half that does not count yet can learn.
  assert.ok(expanded.conv.filter((value) => value !== 0).length > (expanded.conv.length * 3) / 4 - 1);
});

test('a .safetensors under the authors’ names comes back as the same network', async () => {
  const before = network();
  const bytes = await new Blob(writeSafetensors(stateDict(before), { format: 'pt', license: 'MIT' })).arrayBuffer();
  const { tensors, stated } = readSafetensors(bytes, 'a.safetensors');
  assert.deepEqual(stated, { format: 'pt', license: 'MIT' });
  // The range would be found by trial, which random weights do not pass.
  const span = JSON.stringify({ img_range: 255, rgb_mean: DIV2K_MEAN });
  const after = detect({ tensors, stated: { span } }, 'a.safetensors');
  const { channels, blocks, scale, variant, imgRange } = readConfig(after);
  assert.deepEqual([channels, blocks, scale, variant, imgRange], [4, 6, 2, 'official', 255]);
  const [expected, found] = [readWeights(before), readWeights(after)];
  for (const { layer, weight } of weightTable({ channels, blocks, scale })) {
    const name = `${layer}/${weight}`;
    const gain = name === 'conv_1/kernel' ? 255 : 1;
    const error = largest(
      expected.get(name),
      found.get(name).map((value) => value * gain),
    );
    assert.ok(error < 1e-5, `${name} differs by ${error}`);
  }
});

test('without a mean the network is said to have no normalisation', () => {
  const state = stateDict(network({ mean: [0, 0, 0] }));
  assert.deepEqual(state.get('no_norm'), { shape: [1], values: new Float32Array(1) });
  assert.equal(stateDict(network()).has('no_norm'), false);
});

test('a .pth has a pickle and a member per tensor, and the same bytes each time', () => {
  const state = stateDict(network());
  const members = torchMembers(state, 'a');
  assert.deepEqual(
    members.map(({ name }) => name),
    ['a/data.pkl', 'a/byteorder', ...[...state].map((_, i) => `a/data/${i}`), 'a/version'],
  );
  assert.deepEqual(members, torchMembers(stateDict(network()), 'a'));
});

test('networks that PyTorch’s tools would compute wrongly are refused, with the way out', () => {
  for (const [options, sentence] of [
    [{ variant: 'span' }, /computes LeakyReLU and tanh, but .* SiLU .* Save it in the format of TensorFlow\.js\.$/],
    [{ blocks: 2 }, /has 2 blocks, but .* expect 6\./],
    [
      { mean: [0.5, 0.5, 0.25] },
      /subtracts the mean 0\.5, 0\.5, 0\.25, but .* subtract 0\.4488, 0\.4371, 0\.404 or nothing\./,
    ],
  ]) {
    assert.throws(() => stateDict(network(options)), { name: 'ModelError', message: sentence });
  }
});
