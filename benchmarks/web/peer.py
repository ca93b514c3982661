"""Compare our network with another upscaler's in the browser: time on one backend, in turns, and PSNR.

    npm pack @upscalerjs/esrgan-slim && tar xzf upscalerjs-esrgan-slim-*.tgz
    span-export --tfjs out/ --demo --weights bundled:x4-fast
    python benchmarks/web/peer.py out/ package/models/x4 [--backend wasm] [--size 64] [--data Set5/x4]

The peer is any TF.js layers model of stock layers of the same scale, its input and output in 0 to ``--peer-range``.
Both run with the libraries of the export, ours as the page runs it. ``--data`` and the figure are ``span-evaluate``'s.
"""

from __future__ import annotations

import base64
import functools
import json
import math
import shutil
import statistics
import tempfile
import threading
from pathlib import Path

import click
import numpy as np
from playwright.sync_api import sync_playwright

from span_export.serve import make_server
from span_keras.images import bicubic
from span_keras.inference.evaluation import evaluate

SETUP = """async ([backendName, range]) => {
  const [{ startBackend }, { loadTf }, model, { createNetwork }] = await Promise.all(
    ['engine/backend', 'engine/tf', 'network/model', 'network/network'].map((name) => import(`/${name}.js`)));
  await loadTf([backendName, 'layers']);
  const { tf } = await startBackend(backendName);
  const artifacts = await model.fetchModel('/model.json');
  const network = createNetwork(tf, artifacts, model.readConfig(artifacts));
  const peer = await tf.loadLayersModel('/peer/model.json');
  const forms = {
    ours: (pixels) => network.run(network.input(pixels)),
    peer: ({ data, height, width }) => {
      const input = tf.tensor4d(Float32Array.from(data), [1, height, width, 3]);
      return tf.mul(peer.predict(tf.mul(input, range / 255)), 1 / range);
    },
  };
  window.run = async (name, pixels) => {
    const output = tf.tidy(() => forms[name](pixels));
    const values = await output.data();
    output.dispose();
    return values;
  };
}"""
TIME = """async ([size, rounds]) => {
  const data = Uint8Array.from({ length: size * size * 3 }, () => 256 * Math.random());
  const pixels = { data, height: size, width: size, stride: 3 };
  const times = { ours: [], peer: [] };
  for (let round = -1; round < rounds; round++) {
    for (const [name, list] of Object.entries(times)) {
      const start = performance.now();
      await run(name, pixels);
      if (round >= 0) list.push(performance.now() - start); // the first round compiles
    }
  }
  return times;
}"""
UPSCALE = """async ([name, text, height, width]) => {
  const data = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  const values = await run(name, { data, height, width, stride: 3 });
  const levels = Uint8Array.from(values, (v) => Math.floor(Math.min(Math.max(v, 0), 1) * 255 + 0.5));
  return new Promise((resolve) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result.split(',')[1]);
    reader.readAsDataURL(new Blob([levels]));
  });
}"""


@click.command()
@click.argument("export", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("peer", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--backend", default="wasm", show_default=True, type=click.Choice(["webgpu", "webgl", "wasm", "cpu"]))
@click.option("--size", default=64, show_default=True, help="Side of the image that is timed.")
@click.option("--rounds", default=9, show_default=True)
@click.option("--data", type=click.Path(exists=True, file_okay=False, path_type=Path), help="Measure PSNR on it.")
@click.option("--peer-range", default=255.0, show_default=True)
def main(export, peer, backend, size, rounds, data, peer_range):
    """Time EXPORT, a folder of span-export --demo, against PEER, a folder with model.json."""
    scale = json.loads((export / "model.json").read_text())["userDefinedMetadata"]["span"]["scale"]
    with tempfile.TemporaryDirectory() as temporary, sync_playwright() as playwright:
        folder = Path(temporary) / "site"
        shutil.copytree(export, folder)
        shutil.copytree(peer, folder / "peer")
        server = make_server(folder, 0)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        flags = ["--no-sandbox", "--headless=new", "--enable-unsafe-webgpu", "--ignore-gpu-blocklist"]
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=flags)
        page = browser.new_context(service_workers="block", bypass_csp=True).new_page()
        page.goto(f"http://127.0.0.1:{server.server_port}/example.html")
        page.evaluate(SETUP, [backend, peer_range])
        times = {name: statistics.median(values) for name, values in page.evaluate(TIME, [size, rounds]).items()}
        for name, ms in times.items():
            click.echo(
                f"{name}: {ms:8.1f} ms for {size}×{size} on {backend}, {times['peer'] / ms:.2f}× the peer's speed"
            )
        for name in times if data else ():
            figures = evaluate(functools.partial(upscale, page, name), scale, data)
            click.echo(f"{name}: {figures['psnr_y']:.3f} dB on Y of {figures['images']} images")
        browser.close()
        server.shutdown()


def upscale(page, name: str, lr: np.ndarray) -> np.ndarray:
    """Run a network in the page: (h, w, 3) in [0, 1] -> (h·scale, w·scale, 3) uint8."""
    height, width = lr.shape[:2]
    text = page.evaluate(UPSCALE, [name, base64.b64encode(bicubic.to_uint8(lr).tobytes()).decode(), height, width])
    levels = np.frombuffer(base64.b64decode(text), np.uint8)
    scale = math.isqrt(levels.size // (3 * height * width))
    return levels.reshape(height * scale, width * scale, 3)


if __name__ == "__main__":
    main()
