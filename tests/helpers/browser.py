"""The page, served and driven: what several of the browser's tests need and is no fixture."""

from __future__ import annotations

import functools
import json
import threading
from collections.abc import Callable
from http.server import ThreadingHTTPServer
from pathlib import Path

import numpy as np

from helpers.environment import REPOSITORY
from span_export import serve
from span_keras.network.config import SpanConfig

PAGE = REPOSITORY / "web_demo"
AXE = PAGE / "node_modules" / "axe-core" / "axe.min.js"
BACKENDS = ("webgpu", "webgl", "wasm", "cpu")
CHROMIUM = [
    "--headless=new",
    "--no-sandbox",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--enable-unsafe-webgpu",
    "--use-webgpu-adapter=swiftshader",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--ignore-gpu-blocklist",
    # Tests of the page take a sixth less of the processor if the software GPU does not draw the page itself, too.
    "--disable-gpu-compositing",
]
PATIENCE = 120_000
"""Milliseconds to wait for the page: the software GPU compiles slowly on a busy machine."""

FIT = """() => {
  const wide = document.documentElement.clientWidth;
  const scrolls = '.queue, .scroll, .pane, .visually-hidden, input[type=range]';
  const bad = document.documentElement.scrollWidth > wide ? ['the page scrolls sideways'] : [];
  const shown = document.querySelector('dialog[open]') ?? document.body;
  const seen = [...shown.querySelectorAll('*')].filter((one) => one.checkVisibility() && !one.closest(scrolls));
  for (const one of seen) {
    const { left, right } = one.getBoundingClientRect();
    if (left < -1 || right > wide + 1) bad.push(`${one.outerHTML.slice(0, 80)} reaches from ${left} to ${right}`);
    const isCut = getComputedStyle(one).overflow !== 'visible';
    const isText = !isCut && one.matches('button, select, h1, h2, h3, dt, dd, p, label');
    if (isText && one.scrollWidth > one.clientWidth + 1) bad.push(`${one.outerHTML.slice(0, 80)} overflows`);
  }
  const buttons = seen.filter((one) => one.matches('button, select') && !one.closest('.queue, .compare'));
  buttons.forEach((one, i) => {
    const box = one.getBoundingClientRect();
    for (const other of buttons.slice(i + 1)) {
      const { left, right, top, bottom } = other.getBoundingClientRect();
      const across = Math.min(right, box.right) - Math.max(left, box.left);
      const down = Math.min(bottom, box.bottom) - Math.max(top, box.top);
      if (across > 1 && down > 1) bad.push(`${one.outerHTML.slice(0, 60)} and ${other.outerHTML.slice(0, 60)} overlap`);
    }
  });
  return bad;
}"""
"""What of the page is wider than the window, overflows its box or lies on another button."""

MODULES = (
    *("rpc", "span"),
    *("engine/backend", "engine/engine", "engine/png", "engine/tf"),
    *("images/metrics", "images/tiling"),
    *("network/model", "network/network"),
    "storage/models",
)
"""What ``library`` has at hand, each under the last part of its name."""

CONFIGS = {
    "x2": SpanConfig(scale=2, channels=8, blocks=2),
    "x3-official": SpanConfig.official(scale=3, channels=8, blocks=1),
    "x4-ch48": SpanConfig(scale=4),
}


class Site:
    """The page's files, with further folders mounted beside them; remembers what was asked for."""

    def __init__(self, mounts: dict[str, Path]):
        self.mounts, self.requests, self.headers = mounts, [], {}
        site = self

        class Handler(serve.Handler):
            def translate_path(self, path):
                first, _, rest = path.lstrip("/").partition("?")[0].partition("/")
                mount = site.mounts.get(first)
                return str(mount / rest) if mount else super().translate_path(path)

            def end_headers(self):
                for name, value in site.headers.items():
                    self.send_header(name, value)
                super().end_headers()

            def do_GET(self):
                site.requests.append(self.path)
                super().do_GET()

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(PAGE)))
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


AS_HARDWARE = """
  const { setTimeout: wait } = globalThis;
  globalThis.setTimeout = (work, milliseconds, ...rest) => wait(work, milliseconds * 60, ...rest); // limits on its time
  const { requestAdapter } = GPU.prototype;
  GPU.prototype.requestAdapter = async function (options) {
    const adapter = await requestAdapter.call(this, options);
    Object.defineProperty(adapter, 'info', { value: { vendor: 'nvidia', architecture: 'hopper' } });
    return adapter;
  };
  const { getParameter } = WebGL2RenderingContext.prototype;
  WebGL2RenderingContext.prototype.getParameter = function (name) {
    return name === 0x9246 ? 'GeForce' : getParameter.call(this, name);
  };
  const { getContext } = OffscreenCanvas.prototype;
  OffscreenCanvas.prototype.getContext = function (kind, options) {
    return getContext.call(this, kind, options && { ...options, failIfMajorPerformanceCaveat: false });
  };
"""
"""What makes the software GPU of the tests pass for a real one, for ``library``."""


def open_blank(page, site):
    page.route("**/blank", lambda route: route.fulfill(body="<!doctype html>", content_type="text/html"))
    page.goto(f"{site.url}/blank")
    return page


def until(page, condition: Callable[[], object], failure: Callable[[], str] = lambda: "") -> None:
    """Wait for a condition of Python: the page's security policy forbids Playwright's own polling of the page.

    Raises:
        AssertionError: it does not come true within ``PATIENCE``; ``failure`` says more.
    """
    for _ in range(PATIENCE // 50):
        if condition():
            return
        page.wait_for_timeout(50)
    raise AssertionError(f"not within {PATIENCE / 1000:g} s; {failure()}")


def choose_model(page, name: str):
    page.click("#settings-button")
    page.wait_for_selector(f"#model option:text('{name}')", state="attached")
    page.select_option("#model", label=name)
    page.click("#settings button:text('Done')")
    page.wait_for_selector(f"html[data-state=ready] #chip-model:text('{name}')", state="attached")


def make_scene(height: int, width: int, seed: int = 5) -> np.ndarray:
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width] / max(height, width)
    smooth = np.stack([0.3 + 0.6 * x, 0.2 + 0.7 * y, 0.8 - 0.5 * x * y], axis=-1)
    smooth[(x + 0.4 * y) > 0.6] *= 0.35
    return np.uint8(255 * np.clip(smooth + rng.normal(0, 0.04, smooth.shape), 0, 1))


def difference(a, b) -> int:
    """The largest difference between two pictures of equal shape, in levels."""
    assert np.shape(a) == np.shape(b)
    return int(np.abs(np.asarray(a).astype(int) - np.asarray(b)).max())


def library(page, body: str, *arguments):
    """Run ``async ({ ...modules }, ...arguments) => body`` in the page with the page's own modules at hand."""
    names = [path.rpartition("/")[2] for path in MODULES]
    imports = ", ".join(f"import('/{path}.js')" for path in MODULES)
    return page.evaluate(
        f"async (given) => {{ const [{', '.join(names)}] = await Promise.all([{imports}]); {body} }}",
        json.loads(json.dumps(arguments)),
    )


HOOK = """(({{ outgoing, incoming }}) => {{
  const {{ postMessage }} = Worker.prototype;
  Worker.prototype.postMessage = function (message, ...rest) {{
    outgoing(message, () => postMessage.call(this, message, ...rest));
  }};
  const {{ set }} = Object.getOwnPropertyDescriptor(Worker.prototype, 'onmessage');
  Object.defineProperty(Worker.prototype, 'onmessage', {{
    set(handler) {{
      set.call(this, (event) => incoming(event.data, () => handler(event)));
    }},
  }});
}})({{ outgoing: {outgoing}, incoming: {incoming} }});
"""


def hook_workers(page, outgoing="(message, pass) => pass()", incoming="(message, pass) => pass()"):
    """Stand between a page that is not open yet and its workers.

    ``outgoing`` and ``incoming`` are functions of JavaScript ``(message, pass)``: they get every message of ``rpc.js``,
    and it arrives when they call ``pass``.
    """
    page.add_init_script(HOOK.format(outgoing=outgoing, incoming=incoming))
