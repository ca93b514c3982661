"""Measure a cold load of the page on each backend: bytes, time to ready, first image, longest main-thread task.

    python benchmarks/web/cold.py EXPORT_DIR [--backends wasm webgl webgpu] [--size 256] [--tile N] [--software]

EXPORT_DIR is made by ``span-export --tfjs EXPORT_DIR --demo``. Every backend gets a fresh browser. ``task`` is the
longest task of the page's main thread while the image is enlarged, ``cpu`` the processor time in it: a task of much
more wall time was waiting for a core or for the GPU process. Tasks in which this program speaks to the page, such as
the choice of the file, do not count. With ``--software`` a software GPU stands in for a real one; it computes on the
same cores.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

import numpy as np
from PIL import Image
from playwright.sync_api import sync_playwright

from span_export.serve import make_server

FLAGS = ["--no-sandbox", "--headless=new", "--enable-unsafe-webgpu", "--ignore-gpu-blocklist"]
SOFTWARE = ["--use-angle=swiftshader", "--use-webgpu-adapter=swiftshader", "--enable-unsafe-swiftshader"]
TIMELINE = "disabled-by-default-devtools.timeline"
PATIENCE = 600_000
"""Milliseconds: a software GPU takes minutes for what a real one does at once."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--backends", nargs="+", default=["wasm"], choices=["webgpu", "webgl", "wasm", "cpu"])
    parser.add_argument("--size", type=int, default=256, help="side of the image")
    parser.add_argument("--tile", type=int, help="side of the tiles; small ones make many of a small image")
    parser.add_argument("--software", action="store_true", help="use a software GPU")
    options = parser.parse_args()
    server = make_server(options.folder, 0)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    photograph = Path(tempfile.mkdtemp()) / "photograph.png"
    smooth = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
    Image.fromarray(smooth).resize((options.size, options.size), Image.Resampling.BICUBIC).save(photograph)
    print("backend  libraries MB  model MB  page MB  ready s  image s  task ms  cpu ms  used")
    with sync_playwright() as playwright:
        for backend in options.backends:
            browser = playwright.chromium.launch(
                executable_path=shutil.which("chromium"), args=[*FLAGS, *(SOFTWARE if options.software else [])]
            )
            tile = f"&tile={options.tile}" if options.tile else ""
            address = f"http://127.0.0.1:{server.server_port}/?backend={backend}{tile}"
            print(f"{backend:7}  {row(browser, address, photograph)}", flush=True)
            browser.close()
    server.shutdown()


def row(browser, address: str, photograph: Path) -> str:
    page = browser.new_context(service_workers="block").new_page()
    page.set_default_timeout(PATIENCE)
    sizes = count_bytes(page)
    start = time.perf_counter()
    page.goto(address)
    page.wait_for_selector("html[data-state=ready]")
    ready = time.perf_counter() - start
    browser.start_tracing(page=page, categories=[TIMELINE])
    start = time.perf_counter()
    page.set_input_files("#files", str(photograph))
    page.wait_for_selector("#download:enabled")
    image = time.perf_counter() - start
    wall, cpu = longest_task(json.loads(browser.stop_tracing())["traceEvents"])
    libraries, model, own = (sizes[kind] / 1e6 for kind in ("libraries", "model", "page"))
    used = page.get_attribute("html", "data-backend")
    return f"{libraries:12.3f}  {model:8.3f}  {own:7.3f}  {ready:7.2f}  {image:7.2f}  {wall:7.0f}  {cpu:6.0f}  {used}"


def count_bytes(page) -> Counter:
    """Count the bytes of the libraries, the model and the page as they come; the server compresses texts."""
    sizes, seen = Counter(), set()

    def note(response) -> None:
        path = response.url.split("?")[0]
        # A file that page and worker both import is transferred once.
        if response.request.method == "GET" and path.startswith("http") and path not in seen:
            seen.add(path)
            kind = "libraries" if "/vendor/" in path else "model" if path.endswith(("model.json", ".bin")) else "page"
            sizes[kind] += int(response.headers.get("content-length", 0))

    page.context.on("response", note)
    return sizes


def longest_task(events: list[dict]) -> tuple[float, float]:
    """Return milliseconds of wall and processor time of the longest task on the page's main thread."""
    (started,) = [event for event in events if event["name"] == "TracingStartedInBrowser"]
    process = started["args"]["data"]["frames"][0]["processId"]
    (thread,) = [
        event["tid"]
        for event in events
        if event["name"] == "thread_name" and event["pid"] == process and event["args"]["name"] == "CrRendererMain"
    ]
    own = [e for e in events if (e["pid"], e["tid"], e["ph"]) == (process, thread, "X")]
    # Tasks in which this program asks the page whether it is done are not the page's.
    asked = [e["ts"] for e in own if e["name"].startswith("DevToolsSession")]
    return max(
        (e["dur"] / 1e3, e.get("tdur", 0) / 1e3)
        for e in own
        if e["name"] == "RunTask" and not any(e["ts"] <= time <= e["ts"] + e["dur"] for time in asked)
    )


if __name__ == "__main__":
    main()
