"""Time one image on WebAssembly with and without threads, in turns.

    python benchmarks/web/threads.py EXPORT_DIR [--size 256] [--rounds 5]

EXPORT_DIR is made by ``span-export --tfjs EXPORT_DIR --demo``. Browsers give WebAssembly threads where the server
isolates the page, so the folder is served twice, with and without the headers for it. Each page enlarges the same
image, one after the other; the first round warms up and does not count.
"""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import statistics
import threading
from http.server import ThreadingHTTPServer
from pathlib import Path

import click
from playwright.sync_api import sync_playwright

from span_export.serve import Handler

LOAD = """async (size) => {
  const { loadUpscaler } = await import('/span.js');
  window.upscaler = await loadUpscaler('/model.json', { backend: 'wasm' });
  window.image = new ImageData(size, size);
  image.data.forEach((_, i) => (image.data[i] = i % 4 === 3 ? 255 : (i * 2654435761) >>> 24));
  return crossOriginIsolated;
}"""
TIME = "async () => (await upscaler.upscale(image, { output: 'pixels' })).milliseconds"


class Plain(Handler):
    """Serves a page that is not isolated."""

    def send_header(self, name, value):
        if not name.startswith("Cross-Origin"):
            super().send_header(name, value)


@click.command()
@click.argument("export", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--size", default=256, show_default=True, help="Side of the image.")
@click.option("--rounds", default=5, show_default=True)
def main(export, size, rounds):
    """Time an image with and without threads of WebAssembly."""
    with contextlib.ExitStack() as stack:
        browser = stack.enter_context(sync_playwright()).chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--headless=new"]
        )
        pages = {}
        for name, handler in (("with threads", Handler), ("without", Plain)):
            server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(handler, directory=str(export)))
            threading.Thread(target=server.serve_forever, daemon=True).start()
            stack.callback(server.shutdown)
            page = browser.new_context(service_workers="block").new_page()
            page.goto(f"http://127.0.0.1:{server.server_port}/span.js")
            is_isolated = page.evaluate(LOAD, size)
            if is_isolated != (handler is Handler):
                raise click.ClickException(f"the page {name} is isolated: {is_isolated}; take another browser.")
            pages[name] = page
        times = {name: [] for name in pages}
        for number in range(rounds + 1):
            for name, page in pages.items():
                taken = page.evaluate(TIME)
                if number:
                    times[name].append(taken)
        for name, taken in times.items():
            shown = f"{statistics.median(taken):.0f} ms, from {min(taken):.0f} to {max(taken):.0f}"
            print(f"{size}×{size} on WebAssembly {name}, {os.cpu_count()} cores: {shown}")


if __name__ == "__main__":
    main()
