"""``python -m span_export.serve DIR``: serve an exported folder to browsers on this computer."""

from __future__ import annotations

import contextlib
import functools
import gzip
import http.server
import io
from pathlib import Path

import click

from span_keras.cli import CONTEXT, reports_errors, version_option
from span_keras.errors import ExportError

COMPRESSIBLE = (
    *("text/", "application/json", "application/manifest+json", "image/svg+xml"),
    *("application/wasm", "application/octet-stream"),  # code to a third, weights of 16 bits by 7 %
)
"""Beginnings of the types of files that compressing makes smaller."""


class Handler(http.server.SimpleHTTPRequestHandler):
    """Serve static files with the types and headers that the page needs.

    Browsers run WebAssembly threads only in cross-origin isolated pages, hence the two policies.
    """

    protocol_version = "HTTP/1.1"
    extensions_map = {  # noqa: RUF012  the base class's name
        **http.server.SimpleHTTPRequestHandler.extensions_map,
        ".js": "text/javascript",
        ".mjs": "text/javascript",
        ".json": "application/json",
        ".wasm": "application/wasm",
        ".webmanifest": "application/manifest+json",
        ".bin": "application/octet-stream",
    }

    def send_head(self):
        """Send as the base class does; compressed to whoever takes it so, as servers on the internet do."""
        path = Path(self.translate_path(self.path))
        if "\0" in str(path):  # which no file's name holds
            return self.send_error(http.HTTPStatus.NOT_FOUND)
        if path.is_dir() and self.path.partition("?")[0].endswith("/"):
            path /= "index.html"
        kind = self.guess_type(str(path))
        takes_it = "gzip" in self.headers.get("Accept-Encoding", "") and "If-Modified-Since" not in self.headers
        if not takes_it or not kind.startswith(COMPRESSIBLE) or not path.is_file():
            return super().send_head()
        content = gzip.compress(path.read_bytes())
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Last-Modified", self.date_time_string(path.stat().st_mtime))
        self.send_header("Vary", "Accept-Encoding")
        self.end_headers()
        return io.BytesIO(content)

    def end_headers(self):
        self.send_header("Cross-Origin-Opener-Policy", "same-origin")
        self.send_header("Cross-Origin-Embedder-Policy", "require-corp")
        self.send_header("Cache-Control", "no-cache")
        super().end_headers()

    def log_message(self, *args):
        """Say nothing per request."""


def make_server(folder: Path, port: int) -> http.server.ThreadingHTTPServer:
    """Return a server for ``folder`` on 127.0.0.1, not yet running; port 0 takes a free one (see ``server_port``).

    Raises:
        ExportError: there is no such folder, it cannot be looked at, or the port is taken.
    """
    try:
        exists = folder.is_dir()
    except OSError as error:
        raise ExportError(f"{folder} cannot be served ({error.strerror}); choose another folder.") from error
    if not exists:
        raise ExportError(f"expected a folder to serve, found none at {folder}; make one with span-export --demo.")
    try:
        return http.server.ThreadingHTTPServer(
            ("127.0.0.1", port), functools.partial(Handler, directory=str(folder.resolve()))
        )
    except OSError as error:
        raise ExportError(f"port {port} cannot be used ({error.strerror}); choose another with --port.") from error


@click.command(context_settings=CONTEXT)
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="0 takes a free one.")
@version_option
@reports_errors
def main(folder: Path, port: int) -> None:
    """Serve FOLDER on localhost until Ctrl-C."""
    with make_server(folder, port) as server, contextlib.suppress(KeyboardInterrupt):
        click.echo(f"Serving {folder} at http://localhost:{server.server_port}/ (Ctrl-C stops)")
        server.serve_forever()


if __name__ == "__main__":
    main()
