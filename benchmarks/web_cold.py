"""Cold load of the page: bytes by kind, time to ready and to the first 256×256 image, longest main-thread task.

python benchmarks/web_cold.py EXPORT_DIR     (made by span-export --tfjs EXPORT_DIR --demo)
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

import numpy as np
from PIL import Image
from playwright.sync_api import sync_playwright

from span_export.serve import make_server

WATCH = """() => {
  window.longest = 0;
  const note = (list) => list.getEntries().forEach(({ duration }) => (longest = Math.max(longest, duration)));
  new PerformanceObserver(note).observe({ type: 'longtask' });
}"""
"""Tasks under 50 ms are not reported by browsers."""


def main(folder: Path, backend: str = "wasm") -> None:
    server = make_server(folder, 0)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    photograph = Path(tempfile.mkdtemp()) / "photograph.png"
    smooth = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
    Image.fromarray(smooth).resize((256, 256), Image.Resampling.BICUBIC).save(photograph)
    sizes, seen = Counter(), set()

    def note(response) -> None:
        path = response.url.split("?")[0]
        kind = "libraries" if "/vendor/" in path else "model" if path.endswith(("model.json", ".bin")) else "page"
        # What the page and the worker both import is transferred once.
        if response.request.method == "GET" and path.startswith("http") and path not in seen:
            seen.add(path)
            sizes[kind] += int(response.headers.get("content-length", 0))

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--headless=new"]
        )
        context = browser.new_context(service_workers="block")
        page = context.new_page()
        context.on("response", note)
        start = time.perf_counter()
        page.goto(f"http://127.0.0.1:{server.server_port}/?backend={backend}")
        page.wait_for_selector("html[data-state=ready]")
        ready = time.perf_counter() - start
        page.evaluate(WATCH)
        start = time.perf_counter()
        page.set_input_files("#files", str(photograph))
        page.wait_for_selector("#download:enabled", timeout=120_000)
        first = time.perf_counter() - start
        print(f"longest task of the page's own thread while upscaling: {page.evaluate('longest'):.0f} ms")
        detail = page.inner_text("#job-detail")
        print(f"ready after {ready:.2f} s, 256x256 enlarged {first:.2f} s later ({detail})")
        browser.close()
    besides = sizes["model"] + sizes["page"]
    print(", ".join(f"{kind} {size / 1e6:.3f} MB" for kind, size in sorted(sizes.items())))
    print(f"besides the libraries: {besides / 1e6:.3f} MB")
    server.shutdown()


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
