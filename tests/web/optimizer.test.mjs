/** AdamW and the averaged weights on TensorFlow.js's CPU backend, against the same formulas in double precision. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createRequire } from 'node:module';
import { BETA_1, BETA_2, EPSILON } from '../../web_demo/constants.js';
import { AdamW, WeightAverage } from '../../web_demo/train/session/optimizer.js';

const require = createRequire(new URL('../../web_demo/package.json', import.meta.url));
const tf = require('@tensorflow/tfjs-core');
require('@tensorflow/tfjs-backend-cpu');
await tf.setBackend('cpu');

const OPTIONS = { weightDecay: 0.1, clipNorm: 1 };
const RATE = 0.01;
const DECAY_MASK = [1, 0, 1, 0];
const START = [0.5, -0.25, 2, 0];
/** Gradients of norm above and below the limit. */
const GRADIENTS = [
  [3, -4, 0, 1],
  [0.1, 0.2, -0.3, 0],
  [0, 0, 0, 0],
  [-1, 1, 1e-6, 5],
];

const norm = (gradient) => Math.hypot(...gradient);

/** Weights after each gradient: Algorithm 2 of the AdamW paper with Keras's place of epsilon. */
function reference() {
  let [weights, m, v] = [START, [0, 0, 0, 0], [0, 0, 0, 0]];
  return GRADIENTS.map((raw, i) => {
    const gradient = raw.map((value) => value * Math.min(1, OPTIONS.clipNorm / norm(raw) || 1));
    m = m.map((value, k) => BETA_1 * value + (1 - BETA_1) * gradient[k]);
    v = v.map((value, k) => BETA_2 * value + (1 - BETA_2) * gradient[k] ** 2);
    const alpha = (RATE * Math.sqrt(1 - BETA_2 ** (i + 1))) / (1 - BETA_1 ** (i + 1));
    weights = weights.map((value, k) => {
      const decayed = value - RATE * OPTIONS.weightDecay * DECAY_MASK[k] * value;
      return decayed - (alpha * m[k]) / (Math.sqrt(v[k]) + EPSILON);
    });
    return weights;
  });
}

function assertNear(found, expected) {
  found.forEach((value, i) => assert.ok(Math.abs(value - expected[i]) < 1e-6, `${found}, expected ${expected}`));
}

/** Run some gradients; returns the weights after each, and the optimizer's state. */
async function run(gradients, start, state) {
  const optimizer = new AdamW(tf, Float32Array.from(DECAY_MASK), OPTIONS, state);
  let weights = tf.tensor1d(start);
  const steps = [];
  for (const gradient of gradients) {
    const change = tf.tensor1d(gradient);
    const next = optimizer.update(weights, change, norm(gradient), RATE);
    tf.dispose([weights, change]);
    weights = next;
    steps.push([...(await weights.data())]);
  }
  const kept = await optimizer.state();
  weights.dispose();
  optimizer.dispose();
  return { steps, kept };
}

test('weights change as the formulas say', async () => {
  const { steps, kept } = await run(GRADIENTS, START);
  reference().forEach((expected, i) => assertNear(steps[i], expected));
  assert.equal(kept.updates, GRADIENTS.length);
});

test('an optimizer goes on from its state', async () => {
  const whole = await run(GRADIENTS, START);
  const first = await run(GRADIENTS.slice(0, 2), START);
  const second = await run(GRADIENTS.slice(2), first.steps[1], structuredClone(first.kept));
  assert.deepEqual([...first.steps, ...second.steps], whole.steps);
  assert.deepEqual(second.kept, whole.kept);
});

test('a forgotten momentum is zero, and nothing else changes', async () => {
  const optimizer = new AdamW(tf, Float32Array.from(DECAY_MASK), OPTIONS);
  const [weights, gradient] = [tf.tensor1d(START), tf.tensor1d(GRADIENTS[0])];
  optimizer.update(weights, gradient, norm(GRADIENTS[0]), RATE).dispose();
  const before = await optimizer.state();
  assert.ok(before.momentum.some((value) => value !== 0));
  optimizer.forgetMomentum();
  const after = await optimizer.state();
  assert.deepEqual([...after.momentum], [0, 0, 0, 0]);
  assert.deepEqual([after.velocity, after.updates], [before.velocity, before.updates]);
  tf.dispose([weights, gradient]);
  optimizer.dispose();
});

test('the average forgets its start and then moves slowly', async () => {
  const average = new WeightAverage(tf, Float32Array.of(0));
  const one = tf.tensor1d([1]);
  let expected = 0;
  for (let updates = 1; updates <= 30; updates++) {
    average.update(one, updates);
    expected += (1 - (1 + updates) / (10 + updates)) * (1 - expected);
  }
  assertNear([...(await average.flat.data())], [expected]);
  assert.ok(expected > 0.99);
  average.update(tf.tensor1d([2]), 1e6);
  assertNear([...(await average.flat.data())], [expected + 0.001 * (2 - expected)]);
  average.dispose();
  one.dispose();
});

test('no tensor is left behind', async () => {
  const before = tf.memory().numTensors;
  await run(GRADIENTS, START);
  const average = new WeightAverage(tf, Float32Array.of(0));
  const weights = tf.tensor1d([1]);
  average.update(weights, 1);
  average.dispose();
  weights.dispose();
  assert.equal(tf.memory().numTensors, before);
});
