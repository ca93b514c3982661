"""Open the page again and again in three browsers: which visits become ready, how soon, and what an image becomes.

    python benchmarks/web/ready.py EXPORT_DIR [--visits 10] [--only Firefox WebKitGTK] [--photograph FILE]

EXPORT_DIR is made by ``span-export --tfjs EXPORT_DIR --demo``. Every visit is a first one: nothing is kept of the one
before. ``levels`` is the largest difference of the enlarged photograph from Chromium's. Firefox and WebKitGTK are
Debian's ``firefox-esr``, ``webkit2gtk-driver`` and ``xvfb``; rows of browsers that are missing say so.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import io
import shutil
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
from PIL import Image
from playwright.sync_api import Error, sync_playwright

from span_export.serve import make_server

REPOSITORY = Path(__file__).parents[2]
PHOTOGRAPH = REPOSITORY / "span_keras" / "bundled" / "photos" / "val" / "cat.jpg"
PATIENCE = 60
"""Seconds after which a visit counts as one that never becomes ready."""
FLAGS = ["--no-sandbox", "--headless=new"]
SOFTWARE = ["--enable-unsafe-webgpu", "--ignore-gpu-blocklist", "--use-angle=swiftshader"]
SOFTWARE += ["--use-webgpu-adapter=swiftshader", "--enable-unsafe-swiftshader"]
ENLARGE = """
const { loadUpscaler } = await import('/span.js');
const upscaler = await loadUpscaler('/model.json', { backend: 'wasm' });
const bytes = Uint8Array.from(atob(given[0]), (letter) => letter.charCodeAt(0));
const { blob } = await upscaler.upscale(new Blob([bytes]));
upscaler.dispose();
const made = new Uint8Array(await blob.arrayBuffer());
let text = '';
for (let at = 0; at < made.length; at += 8192) text += String.fromCharCode(...made.subarray(at, at + 8192));
return btoa(text);
"""


class Chromium:
    """As a session of ``helpers.other_browsers``."""

    def __init__(self, page):
        self.page = page

    def open(self, address):
        self.page.goto(address)

    def wait_for(self, selector, seconds):
        try:
            self.page.wait_for_selector(selector, timeout=seconds * 1000)
        except Error as error:
            raise AssertionError(str(error)) from None

    def run(self, body, *arguments):
        return self.page.evaluate(f"async (given) => {{ {body} }}", list(arguments))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--visits", type=int, default=10)
    parser.add_argument("--only", nargs="+", default=[""], help="rows that begin with one of these words")
    parser.add_argument("--photograph", type=Path, default=PHOTOGRAPH, help="a PNG, JPEG or WebP file")
    options = parser.parse_args()
    sys.path.append(str(REPOSITORY / "tests"))
    from helpers.other_browsers import BrowserMissing, firefox, webkit

    @contextlib.contextmanager
    def chromium(*flags):
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=[*FLAGS, *flags])
            yield Chromium(browser.new_context().new_page())
            browser.close()

    def folder():
        return Path(tempfile.mkdtemp(prefix="span-profile-"))

    openers = {
        "Chromium without a GPU": lambda: chromium("--disable-gpu"),
        "Chromium, software GPUs": lambda: chromium(*SOFTWARE),
        "Firefox": lambda: firefox(folder()),
        "Firefox, resistFingerprinting": lambda: firefox(folder(), privacy__resistFingerprinting=True),
        "WebKitGTK": webkit,
    }
    server = make_server(options.folder, 0)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://localhost:{server.server_port}/"
    photograph = base64.b64encode(options.photograph.read_bytes()).decode()
    print(f"{'browser':30} ready of  median s  longest s  backend  levels")
    reference = None
    for name, opener in openers.items():
        if not name.startswith(tuple(options.only)):
            continue
        seconds, backend, made = [], "", None
        try:
            for _ in range(options.visits):
                with opener() as session:
                    begin = time.perf_counter()
                    session.open(address)
                    with contextlib.suppress(AssertionError):
                        session.wait_for("html[data-state=ready]", PATIENCE)
                        seconds.append(time.perf_counter() - begin)
                        backend = session.run("return document.documentElement.dataset.backend")
                        if made is None:
                            made = enlarge(session, photograph)
        except BrowserMissing as missing:
            print(f"{name:30} {missing}")
            continue
        reference = made if reference is None else reference
        levels = "-" if made is None else np.abs(made.astype(int) - reference).max()
        median, longest = (f"{f(seconds):8.1f}" if seconds else "       -" for f in (statistics.median, max))
        print(f"{name:30} {len(seconds):5} {options.visits:2}  {median}  {longest}   {backend:7}  {levels}", flush=True)
    server.shutdown()


def enlarge(session, photograph: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(session.run(ENLARGE, photograph)))))


if __name__ == "__main__":
    main()
