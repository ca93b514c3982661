"""Where the page's files come from: its own site, the pinned copies, what is kept offline."""

import contextlib
import functools
import json
import re
import threading
import zipfile
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest
from playwright.sync_api import Error

from helpers.browser import PAGE, PATIENCE, make_scene, open_blank, until


def test_only_its_own_files(open_page, page, site, save_image):
    requests = []
    page.on("request", lambda request: requests.append(request.url))
    open_page("x2", "wasm")
    page.set_input_files("#files", str(save_image(make_scene(9, 9))))
    page.wait_for_selector("#download:enabled")
    for tab in ("measure", "train", "upscale"):
        page.click(f"#tab-{tab}")
    page.wait_for_timeout(500)
    foreign = [url for url in requests if not url.startswith((site.url, "blob:", "data:"))]
    assert requests
    assert foreign == []
    policy = page.locator("meta[http-equiv=Content-Security-Policy]").get_attribute("content")
    assert "unsafe-inline" not in policy
    assert "'unsafe-eval'" not in policy
    page.problems[:] = [text for text in page.problems if "404" not in text]  # training asks for optional files


@pytest.mark.parametrize("genuine", [True, False])
def test_without_vendored_libraries(genuine, page, open_page, save_image):
    """The pinned copies of the content delivery network are used, and only if their bytes are the expected ones."""
    asked = []

    def deliver(route):
        path = re.sub(r"@[\d.]+/", "/", route.request.url.removeprefix("https://cdn.jsdelivr.net/npm/"))
        asked.append(path)
        content = (PAGE / "node_modules" / path).read_bytes() + (b"" if genuine else b"\n")
        kind = "application/wasm" if path.endswith("wasm") else "text/javascript"
        route.fulfill(body=content, content_type=kind, headers={"Access-Control-Allow-Origin": "*"})

    page.route("**/vendor/**", lambda route: route.fulfill(status=404))
    page.route("https://cdn.jsdelivr.net/**", deliver)
    open_page("x2", "wasm")
    assert any("tfjs-core" in path for path in asked)
    if genuine:
        page.set_input_files("#files", [str(save_image(make_scene(9, 12), name)) for name in ("1.png", "2.png")])
        page.wait_for_selector("#queue li:nth-child(2) .mark:text('✓')")
        assert any(path.endswith(".wasm") for path in asked)
        with page.expect_download() as download:
            page.click("#download-all")
        with zipfile.ZipFile(download.value.path()) as archive:
            assert archive.namelist() == ["1-x2.png", "2-x2.png"]
        assert asked[-1] == "client-zip/index.js"
    else:
        assert page.get_attribute("html", "data-state") == "error"
        assert "could not be loaded; check the connection, or put the file into vendor/" in page.inner_text("#status")
    page.problems.clear()  # the browser reports what was not there


def test_an_altered_archiver_is_refused(page, open_page, save_image):
    altered = (PAGE / "vendor" / "client-zip.js").read_bytes() + b"\n"
    headers = {"Access-Control-Allow-Origin": "*", "Content-Type": "text/javascript"}
    page.route("**/vendor/client-zip.js", lambda route: route.fulfill(status=404))
    page.route("https://cdn.jsdelivr.net/**", lambda route: route.fulfill(body=altered, headers=headers))
    open_page("x2", "wasm")
    page.set_input_files("#files", [str(save_image(make_scene(9, 12), name)) for name in ("1.png", "2.png")])
    page.wait_for_selector("#queue li:nth-child(2) .mark:text('✓')")  # what is done is announced, too
    page.click("#download-all")
    page.wait_for_selector("#status:has-text('client-zip@2.5.1/index.js could not be loaded')")
    page.problems.clear()  # the browser reports what was not there


def test_the_example_takes_a_file_before_its_model_is_there(page, site, models, save_image):
    weights = next((models / "x2").glob("*.bin"))
    page.route(f"**/{weights.name}", lambda route: route.fulfill(path=weights))
    waiting = []
    page.route("**/model.json", lambda route: waiting.append(route))
    page.goto(f"{site.url}/example.html")
    page.set_input_files("input", str(save_image(make_scene(9, 12))))
    until(page, lambda: waiting)
    waiting[0].fulfill(path=models / "x2" / "model.json")
    page.wait_for_selector("img[src^=blob]")
    assert page.locator("img").evaluate("async (image) => (await image.decode(), image.naturalWidth)") == 24
    page.set_input_files("input", [])  # as when the dialog is cancelled
    page.set_input_files("input", [{"name": "empty.png", "mimeType": "image/png", "buffer": b""}])
    page.wait_for_selector("output:text('empty.png is empty; choose another file.')")


@pytest.fixture
def folder(site, models, photographs, tmp_path) -> str:
    """Address of the page in a folder of the site, with all that an export puts beside it."""
    beside = {"models": models, "models.json": models / "models.json", "samples": photographs}
    beside["perceptual"] = models / "x3-official"  # any model will do
    for path in PAGE.iterdir():
        if path.name != "node_modules":
            beside[path.name] = path
    (tmp_path / "page").mkdir()
    for name, path in beside.items():
        (tmp_path / "page" / name).symlink_to(path)
    site.mounts["folder"] = tmp_path / "page"
    yield f"{site.url}/folder/"
    del site.mounts["folder"]


CACHE = "span-" + re.search(r"const VERSION = '(\d+)'", (PAGE / "sw.js").read_text())[1]
KEPT = """async ([cache, urls]) => {
  const isKept = async (url) => Boolean(await (await caches.open(cache)).match(url));
  const registration = await navigator.serviceWorker.getRegistration();
  return registration?.active?.state === 'activated' && (await Promise.all(urls.map(isKept))).every(Boolean);
}"""
"""Whether the service worker is at work and has kept all that it is to keep."""


@pytest.mark.parametrize(
    ("address", "model"),
    [
        ("", "models/x2"),  # the first of models.json
        ("index.html?model=models/x3-official/model.json", "models/x3-official"),
        ("?model=/models/x3-official/model.json", "/models/x3-official"),  # beyond the page's folder
    ],
)
def test_works_offline_after_one_visit(address, model, chromium, site, folder, models, save_image):
    context = chromium.new_context()
    context.set_default_timeout(PATIENCE)
    page = open_blank(context.new_page(), site)
    page.evaluate("caches.open('span-0')")  # of an earlier version
    address = f"{folder}{address}{'&' if '?' in address else '?'}backend=wasm"
    page.goto(address)
    page.wait_for_selector("html[data-state=ready]")
    weights = next((models / model.split("/")[-1]).glob("*.bin")).name
    kept = ["./", "main.js", f"{model}/model.json", f"{model}/{weights}"]
    until(page, lambda: page.evaluate(KEPT, [CACHE, kept]))
    assert page.evaluate("caches.keys()") == [CACHE]
    context.set_offline(True)
    asked = len(site.requests)
    page.goto(address)
    page.wait_for_selector("html[data-state=ready]")
    page.set_input_files("#files", str(save_image(make_scene(9, 9))))
    page.wait_for_selector("#download:enabled")
    page.click("#tab-train")
    page.wait_for_selector("#train-photographs-text:text('6 photographs bundled with the page.')")
    (features,) = (path.name for path in (models / "x3-official").glob("*.bin"))
    needed = ["samples/photo-0.png", "perceptual/model.json", f"perceptual/{features}"]
    there = "(urls) => Promise.all(urls.map(async (url) => (await fetch(url)).ok))"
    assert page.evaluate(there, needed) == [True] * 3
    assert set(site.requests[asked:]) <= {"/folder/sw.js"}  # the browser's own look for an update
    context.close()


@pytest.fixture
def plain(folder, site, tmp_path):
    """The same folder on a server that sends no header of its own; ``asked`` collects what it is asked for."""
    asked = []

    class Handler(SimpleHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            super().do_GET()

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(tmp_path / "page")))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/", asked
    server.shutdown()
    server.server_close()


TOUCHED = "Object.defineProperty(UserActivation.prototype, 'hasBeenActive', {{ get: () => {} }});"
"""Whether somebody has clicked: to the browser, so does what a test evaluates."""

CONTROLLED = "Boolean(navigator.serviceWorker.controller)"


@pytest.fixture
def visitor(chromium):
    context = chromium.new_context()
    context.set_default_timeout(PATIENCE)
    yield context
    context.close()


def after_loading(page, expression):
    """What an expression gives; nothing while the page is being loaded again."""
    with contextlib.suppress(Error):
        return page.evaluate(expression)


def test_the_service_worker_brings_threads_where_the_server_does_not(visitor, plain, site, save_image):
    address, asked = plain
    page = visitor.new_page()
    page.add_init_script(TOUCHED.format("false"))
    page.goto(f"{address}?backend=wasm")
    until(page, lambda: after_loading(page, "crossOriginIsolated"))
    page.wait_for_selector("html[data-state=ready]")
    page.set_input_files("#files", str(save_image(make_scene(9, 9))))
    page.wait_for_selector("#download:enabled")
    assert "/vendor/tfjs-backend-wasm-threaded-simd.wasm" in asked
    assert len([path for path in asked if path.startswith("/?")]) == 2  # it was loaded again once
    outer = open_blank(visitor.new_page(), site)  # a page of another site, which embeds this one
    outer.evaluate(f"document.body.innerHTML = '<iframe src=\"{address}?backend=wasm\"></iframe>'")
    outer.frame_locator("iframe").locator("html[data-state=ready]").wait_for(state="attached")
    inner = next(frame for frame in outer.frames if frame.url.startswith(address))
    assert inner.evaluate("crossOriginIsolated") is False


def test_nobody_who_has_begun_something_is_interrupted_for_threads(visitor, plain):
    address, asked = plain
    page = visitor.new_page()
    page.add_init_script(TOUCHED.format("true"))
    page.goto(f"{address}?backend=wasm")
    until(page, lambda: page.evaluate(CONTROLLED))
    page.wait_for_selector("html[data-state=ready]")
    assert page.evaluate("crossOriginIsolated") is False
    assert len([path for path in asked if path.startswith("/?")]) == 1
    page.reload()
    assert page.evaluate("crossOriginIsolated") is True


def test_the_service_worker_knows_every_file(page, site):
    files = re.search(r"const FILES = \[(.*?)\]", (PAGE / "sw.js").read_text(), re.DOTALL)[1]
    named = set(re.findall(r"'([\w./-]+\.\w+)'", files))
    own = {path.name for path in PAGE.glob("*.js")} - {"sw.js", "example.js", "video.js"}
    for folder in ("engine", "images", "network", "sample", "storage", "train", "ui"):
        files = [path for path in (PAGE / folder).rglob("*") if path.suffix in (".js", ".css", ".jpg", ".webp")]
        own |= {path.relative_to(PAGE).as_posix() for path in files}
    assert own - named == set()
    vendored = {path.name for path in (PAGE / "vendor").iterdir() if path.suffix in (".js", ".wasm")}
    codecs = {name for name in vendored if re.match("mozjpeg_|squoosh_|webp_", name)}
    assert len(codecs) == 10  # few browsers need them
    assert {f"vendor/{name}" for name in vendored - codecs} - named == set()
    assert {name for name in named if not (PAGE / name).exists()} == set()


def test_hashes_are_those_of_the_pinned_packages():
    """The CDN copies are the vendored files."""
    import base64
    import hashlib

    lock = json.loads((PAGE / "package-lock.json").read_text())["packages"]
    text = (PAGE / "engine/libraries.js").read_text()
    path = r"path: '((?:@[\w-]+/)?[\w.-]+)@([\d.]+)/(\S+)'"
    entries = re.findall(path + r",\s+(?:file: '(\S+)',\s+)?integrity: 'sha384-(\S+)'", text)
    assert len(entries) == 22
    for package, version, place, file, digest in entries:
        assert lock[f"node_modules/{package}"]["version"] == version
        content = (PAGE / "vendor" / (file or place.split("/")[-1])).read_bytes()
        assert base64.b64encode(hashlib.sha384(content).digest()).decode() == digest
