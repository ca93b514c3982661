"""Time a training step in the page without a GPU: WebAssembly against software WebGL and plain JavaScript, in one run.

    python benchmarks/web/train_step.py [--backends wasm webgl cpu] [--scale 2] [--channels 16] [--blocks 2]
        [--batch 4] [--patch 32] [--steps 5]

The network and its data are made in the page; the loss is MAE alone. ``loss`` after the last step shows that all
backends compute the same.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import threading
from pathlib import Path

from playwright.sync_api import sync_playwright

from span_export.serve import make_server

PAGE = Path(__file__).parents[2] / "web_demo"
FLAGS = ["--no-sandbox", "--headless=new", "--ignore-gpu-blocklist", "--use-angle=swiftshader"]
FLAGS += ["--enable-unsafe-swiftshader", "--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader"]
STEPS = """
async ([backend, steps, { batch, patch, ...network }]) => {
  const addresses = ['/engine/backend.js', '/engine/tf.js', '/train/settings.js', '/network/random.js',
    ...['step', 'layers-model', 'init', 'wasm-gradients'].map((name) => `/train/session/${name}.js`)];
  const modules = await Promise.all(addresses.map((address) => import(address)));
  const t = Object.assign({}, ...modules);
  await t.loadTf(['layers']);
  const { tf } = await t.startBackend('cpu');
  const config = t.defaultConfig(network);
  const parameters = await t.initialise(tf, config, 1); // the same numbers for every backend
  await t.startBackend(backend);
  if (backend === 'wasm') t.registerGradients(tf);
  const uniform = t.uniformStream(1, 1);
  const side = patch * config.scale;
  const random = (count) => Float32Array.from({ length: count }, () => uniform());
  const data = {
    lr: random(batch * patch ** 2 * 3), lrShape: [batch, patch, patch, 3],
    hr: random(batch * side ** 2 * 3), hrShape: [batch, side, side, 3],
  };
  const settings = { ...t.DEFAULTS, batch, patch, vggWeight: 0 };
  const trainer = new t.Trainer(tf, { config, settings, parameters, source: { get: () => data } });
  const times = [];
  let last;
  for (let i = 0; i <= steps; i++) {
    const begin = performance.now();
    last = await trainer.trainStep();
    if (i) times.push(performance.now() - begin); // the first compiles shaders
  }
  return [times, last.mae];
}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--backends", nargs="+", default=["wasm", "webgl", "cpu"])
    for name, value in {"scale": 2, "channels": 16, "blocks": 2, "batch": 4, "patch": 32, "steps": 5}.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    options = parser.parse_args()
    server = make_server(PAGE, 0)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sizes = {name: getattr(options, name) for name in ("scale", "channels", "blocks", "batch", "patch")}
    print("backend  median ms  fastest ms  loss")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        for backend in options.backends:
            page = browser.new_page()
            page.set_default_timeout(0)
            page.goto(f"http://localhost:{server.server_port}/style.css")  # a document without scripts of its own
            times, loss = page.evaluate(STEPS, [backend, options.steps, sizes])
            print(f"{backend:7} {statistics.median(times):10.0f} {min(times):11.0f}  {loss:.6f}", flush=True)
            page.close()
        browser.close()
    server.shutdown()


if __name__ == "__main__":
    main()
