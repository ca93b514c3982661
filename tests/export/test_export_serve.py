"""The local server: types and headers without which the page runs slowly or not at all."""

import gzip
import subprocess
import sys
import threading
import urllib.error
import urllib.request

import pytest

from span_export.serve import make_server
from span_keras.errors import ExportError


@pytest.fixture
def address(tmp_path):
    for name in ("index.html", "span.js", "model.json", "a.bin", "b.wasm", "c.webp", "vendor.mjs", "m.webmanifest"):
        (tmp_path / name).write_text("content")
    with make_server(tmp_path, 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("", "text/html"),
        ("span.js", "text/javascript"),
        ("vendor.mjs", "text/javascript"),
        ("model.json", "application/json"),
        ("a.bin", "application/octet-stream"),
        ("b.wasm", "application/wasm"),
        ("m.webmanifest", "application/manifest+json"),
    ],
)
def test_types_and_headers(address, name, kind):
    with urllib.request.urlopen(f"{address}/{name}") as answer:
        assert answer.read() == b"content"
        assert answer.headers["Content-Type"].split(";")[0] == kind
        assert answer.headers["Cross-Origin-Opener-Policy"] == "same-origin"
        assert answer.headers["Cross-Origin-Embedder-Policy"] == "require-corp"


@pytest.mark.parametrize(
    ("name", "encoding"),
    [
        ("", "gzip"),
        ("?model=a.json", "gzip"),
        ("span.js", "gzip"),
        ("a.bin", "gzip"),
        ("b.wasm", "gzip"),
        ("c.webp", None),
    ],
)
def test_files_are_compressed_for_those_who_take_them_so(address, name, encoding):
    request = urllib.request.Request(f"{address}/{name}", headers={"Accept-Encoding": "gzip, br"})
    with urllib.request.urlopen(request) as answer:
        body = answer.read()
        assert answer.headers["Content-Encoding"] == encoding
        assert int(answer.headers["Content-Length"]) == len(body)
        assert answer.headers["Cross-Origin-Opener-Policy"] == "same-origin"
        assert (gzip.decompress(body) if encoding else body) == b"content"
        seen = {"If-Modified-Since": answer.headers["Last-Modified"], "Accept-Encoding": "gzip"}
    with pytest.raises(urllib.error.HTTPError, match="304"):
        urllib.request.urlopen(urllib.request.Request(f"{address}/{name}", headers=seen))


@pytest.mark.parametrize("name", ["gone.js", "%00", "a%00/"])
def test_a_text_that_is_not_there(address, name):
    request = urllib.request.Request(f"{address}/{name}", headers={"Accept-Encoding": "gzip"})
    with pytest.raises(urllib.error.HTTPError, match="404"):
        urllib.request.urlopen(request)


def test_nothing_outside_the_folder(address):
    with pytest.raises(urllib.error.HTTPError, match="404"):
        urllib.request.urlopen(f"{address}/../../etc/passwd")


def test_only_this_computer_is_served(tmp_path):
    with make_server(tmp_path, 0) as server:
        assert server.server_address[0] == "127.0.0.1"


def test_no_folder(tmp_path):
    with pytest.raises(ExportError, match=r"found none at .*gone; make one with span-export --demo"):
        make_server(tmp_path / "gone", 0)


def test_a_name_too_long(tmp_path):
    with pytest.raises(ExportError, match=r"aaa cannot be served \(File name too long\); choose another folder"):
        make_server(tmp_path / ("a" * 300), 0)


def test_taken_port(tmp_path):
    with make_server(tmp_path, 0) as server, pytest.raises(ExportError, match=r"cannot be used .* another with --port"):
        make_server(tmp_path, server.server_port)


def test_command_prints_the_address(tmp_path):
    command = [sys.executable, "-u", "-m", "span_export.serve", str(tmp_path), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        line = process.stdout.readline()
        process.terminate()
    assert line.startswith(f"Serving {tmp_path} at http://localhost:")
