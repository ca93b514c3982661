"""span.js in a project of Vite: what it builds works, and its server for development, too."""

import functools
import shutil
import subprocess
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest

from helpers.browser import PAGE, until
from helpers.other_browsers import free_port, is_listening, running, wait_until

VITE = ["node", str(PAGE / "node_modules" / "vite" / "bin" / "vite.js")]
MAIN = """
import { loadUpscaler } from './span/span.js';
const upscaler = await loadUpscaler('x2/model.json');
const { width } = await upscaler.upscale(new ImageData(9, 9));
document.title = `${width} ${upscaler.status.backend}`;
"""


@pytest.fixture
def project(tmp_path, models):
    """A project with a copy of the page's folder, as docs/web.md says, and a model among its public files."""
    (tmp_path / "main.js").write_text(MAIN)
    (tmp_path / "index.html").write_text(
        '<link rel="icon" href="data:," /><script type="module" src="./main.js"></script>'
    )
    (tmp_path / "vite.config.js").write_text("export default { cacheDir: '.cache' };")
    shutil.copytree(models / "x2", tmp_path / "public" / "x2")
    shutil.copytree(PAGE, tmp_path / "span", ignore=shutil.ignore_patterns("node_modules"))
    return tmp_path


def check(page, address):
    page.goto(address)
    until(page, lambda: page.title() == "18 wasm")


def test_what_vite_builds_enlarges(page, project):
    built = subprocess.run([*VITE, "build"], cwd=project, capture_output=True, text=True, timeout=120)
    assert built.returncode == 0, built.stderr
    handler = functools.partial(SimpleHTTPRequestHandler, directory=str(project / "dist"))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    check(page, f"http://127.0.0.1:{server.server_port}/")
    server.shutdown()
    server.server_close()


def test_vites_server_for_development_enlarges(page, project):
    port = free_port()
    with running([*VITE, "--host", "127.0.0.1", "--port", str(port), "--strictPort"], cwd=project):
        wait_until(lambda: is_listening(port), "Vite")
        check(page, f"http://127.0.0.1:{port}/")
