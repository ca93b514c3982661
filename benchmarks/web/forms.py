"""Time a network in the browser in three forms, on one backend, in turns:

- ``unfused``: every Conv3XC as its four convolutions, activations as layers of their own, the graph as trained;
- ``stock``: the exported model through ``tf.loadLayersModel(...).predict``;
- ``page``: as the page runs it.

    python benchmarks/web/forms.py EXPORT_DIR [--backend wasm] [--size 64] [--rounds 7]

EXPORT_DIR is made by ``span-export --tfjs EXPORT_DIR --demo``; it has the libraries if they were vendored.
"""

from __future__ import annotations

import argparse
import shutil
import threading
from pathlib import Path

from playwright.sync_api import sync_playwright

from span_export.serve import make_server

SCRIPT = """async ([backendName, size, rounds]) => {
  const [{ startBackend }, { loadTf }, model, { createNetwork }] = await Promise.all(
    ['engine/backend', 'engine/tf', 'network/model', 'network/network'].map((name) => import(`/${name}.js`)));
  await loadTf([backendName, 'layers']);
  const { tf } = await startBackend(backendName);
  const artifacts = await model.fetchModel('/model.json');
  const config = model.readConfig(artifacts);
  const { modelTopology, weightSpecs, weightData } = artifacts;
  const stock = await tf.loadLayersModel({ load: async () => ({ modelTopology, weightSpecs, weightData }) });
  const page = createNetwork(tf, artifacts, config);
  const c = config.channels;
  const random = (...shape) => tf.randomNormal(shape, 0, 0.3 / Math.sqrt(shape[0] * shape[1] * shape[2]));
  const conv3xc = (a, b) =>
    [[1, 1, a, b], [1, 1, a, 2 * a], [3, 3, 2 * a, 2 * b], [1, 1, 2 * b, b]].map((shape) => random(...shape));
  const bias = (kernel) => tf.zeros([kernel.shape[3]]);
  const conv = (x, kernel, pad) => tf.add(tf.conv2d(x, kernel, 1, pad), bias(kernel));
  const unfusedConv = ([skip, expand, middle, project], x) => {
    const padded = tf.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]]);
    const long = conv(conv(conv(padded, expand, 'valid'), middle, 'valid'), project, 'valid');
    return tf.add(long, conv(x, skip, 'valid'));
  };
  const official = config.variant === 'official';
  const act = (x) => (official ? tf.mul(x, tf.sigmoid(x)) : tf.leakyRelu(x, 0.1));
  const sym = (x) => (official ? tf.sub(tf.sigmoid(x), 0.5) : tf.tanh(x));
  const weights = { head: conv3xc(3, c), tail: conv3xc(c, c), cat: random(1, 1, 4 * c, c) };
  weights.up = random(3, 3, c, 3 * config.scale ** 2);
  weights.blocks = Array.from({ length: config.blocks }, () => [conv3xc(c, c), conv3xc(c, c), conv3xc(c, c)]);
  const unfused = (x) => tf.tidy(() => {
    const head = unfusedConv(weights.head, tf.mul(tf.sub(x, tf.tensor1d(config.rgbMean)), config.imgRange));
    let features = head, first, activated;
    for (const [c1, c2, c3] of weights.blocks) {
      activated = act(unfusedConv(c1, features));
      const y = unfusedConv(c3, act(unfusedConv(c2, activated)));
      features = tf.mul(tf.add(y, features), sym(y));
      first ??= features;
    }
    const parts = [head, unfusedConv(weights.tail, features), first, activated];
    const merged = conv(tf.concat(parts, 3), weights.cat, 'same');
    return tf.depthToSpace(conv(merged, weights.up, 'same'), config.scale);
  });
  const x = tf.randomUniform([1, size, size, 3]);
  const forms = { unfused, stock: (x) => stock.predict(x), page: (x) => page.run(x) };
  const times = { unfused: [], stock: [], page: [] };
  for (let round = -1; round < rounds; round++) {
    for (const [name, run] of Object.entries(forms)) {
      const start = performance.now();
      const y = run(x);
      await y.data();
      y.dispose();
      if (round >= 0) times[name].push(performance.now() - start); // the first round compiles
    }
  }
  return times;
}"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--backend", default="wasm", choices=["webgpu", "webgl", "wasm", "cpu"])
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    server = make_server(options.folder, 0)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with sync_playwright() as playwright:
        flags = ["--no-sandbox", "--headless=new", "--enable-unsafe-webgpu", "--ignore-gpu-blocklist"]
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=flags)
        page = browser.new_context(service_workers="block", bypass_csp=True).new_page()
        page.goto(f"http://127.0.0.1:{server.server_port}/example.html")
        times = page.evaluate(SCRIPT, [options.backend, options.size, options.rounds])
        browser.close()
    server.shutdown()
    best = {name: min(values) for name, values in times.items()}
    for name, values in times.items():
        middle = sorted(values)[len(values) // 2]
        print(f"{name:8} {middle:8.1f} ms median, {best[name]:8.1f} ms best, {best['unfused'] / best[name]:.2f}x")


if __name__ == "__main__":
    main()
