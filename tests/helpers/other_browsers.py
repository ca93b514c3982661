"""Firefox and WebKitGTK, driven by what they bring along: Marionette and WebDriver. Chromium has Playwright."""

from __future__ import annotations

import abc
import contextlib
import json
import os
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from helpers.environment import free_ports

START_SECONDS = 60
"""Within which a browser has started."""
ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
"""WebDriver's name for a reference to an element."""


class BrowserMissing(Exception):
    """The browser is not installed; the message says what would install it."""


class Session(abc.ABC):
    """One window. Subclasses send WebDriver's commands in their protocol."""

    @abc.abstractmethod
    def send(self, command: str, verb: str, path: str, body: dict | None = None):
        """Send a command by its name in Marionette, and its verb and path in WebDriver; return its value."""

    def open(self, address: str) -> None:
        self.send("WebDriver:Navigate", "POST", "url", {"url": address})

    def run(self, body: str, *arguments, seconds: float = 120):
        """Return what an ``async`` function of this body gives for ``arguments``; both can be written as JSON."""
        self.send("WebDriver:SetTimeouts", "POST", "timeouts", {"script": int(seconds * 1000)})
        script = (
            "const given = [...arguments], answer = given.pop();"
            f"(async () => {{ {body} }})()"
            ".then((value) => answer({ value }), (error) => answer({ error: String(error) }));"
        )
        answer = self.send(
            "WebDriver:ExecuteAsyncScript", "POST", "execute/async", {"script": script, "args": list(arguments)}
        )
        if "error" in answer:
            raise AssertionError(answer["error"])
        return answer.get("value")

    def wait_for(self, selector: str, seconds: float = 120) -> None:
        """Wait until an element of the page matches.

        Raises:
            AssertionError: none does in time; the message holds the page's status line.
        """
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self.run("return Boolean(document.querySelector(given[0]))", selector):
                return
            time.sleep(0.1)
        status = self.run("return document.querySelector('#status')?.textContent")
        raise AssertionError(f"{selector} is not there after {seconds:g} s; the page says: {status}")

    def click(self, selector: str) -> None:
        self.run("document.querySelector(given[0]).click()", selector)

    def choose_file(self, selector: str, path: Path) -> None:
        """Choose a file in an input, as a person does in its dialog."""
        found = self.send("WebDriver:FindElement", "POST", "element", {"using": "css selector", "value": selector})
        element = found.get("value", found)[ELEMENT]
        self.send("WebDriver:ElementSendKeys", "POST", f"element/{element}/value", {"id": element, "text": str(path)})


class Firefox(Session):
    """Marionette: JSON with its length before it, over a socket."""

    def __init__(self, port: int):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=300)
        self.count = 0
        self._receive()
        self.send("WebDriver:NewSession", "", "", {"capabilities": {"alwaysMatch": {"acceptInsecureCerts": False}}})

    def send(self, command, verb, path, body=None):
        self.count += 1
        message = json.dumps([0, self.count, command, body or {}]).encode()
        self.socket.sendall(b"%d:%s" % (len(message), message))
        _, _, error, result = self._receive()
        if error:
            raise AssertionError(f"{command}: {error['message']}")
        return result["value"] if isinstance(result, dict) and set(result) == {"value"} else result

    def _receive(self):
        length = b""
        while (byte := self.socket.recv(1)) != b":":
            length += byte
        text = b""
        while len(text) < int(length):
            text += self.socket.recv(int(length) - len(text))
        return json.loads(text)


class WebKit(Session):
    """WebDriver over HTTP."""

    def __init__(self, driver: str, program: str):
        self.address = driver
        options = {"binary": program, "args": ["--automation"]}
        capabilities = {"alwaysMatch": {"browserName": "MiniBrowser", "webkitgtk:browserOptions": options}}
        session = self.send("", "POST", "", {"capabilities": capabilities})
        self.address = f"{driver}/{session['sessionId']}"

    def send(self, command, verb, path, body=None):
        request = urllib.request.Request(
            f"{self.address}/{path}".rstrip("/"),
            method=verb,
            data=json.dumps(body or {}).encode() if verb == "POST" else None,
        )
        try:
            with urllib.request.urlopen(request, timeout=300) as response:
                return json.load(response)["value"]
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{path}: {json.load(error)['value']['message']}") from None


@contextlib.contextmanager
def firefox(folder: Path, **preferences) -> Iterator[Session]:
    """Yield a headless Firefox with a fresh profile in ``folder``.

    Args:
        preferences: names with ``__`` for ``.``, as in ``privacy__resistFingerprinting=True``.

    Raises:
        BrowserMissing: there is none.
    """
    program = shutil.which("firefox-esr") or shutil.which("firefox")
    if not program:
        raise BrowserMissing("firefox-esr is not installed (Debian: apt-get install firefox-esr)")
    preferences = {"marionette__port": 0, "browser__shell__checkDefaultBrowser": False, **preferences}
    lines = [f'user_pref("{key.replace("__", ".")}", {json.dumps(value)});' for key, value in preferences.items()]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "user.js").write_text("\n".join(lines))
    command = [program, "--headless", "--marionette", "--no-remote", "--profile", str(folder)]
    with running(command):
        port = wait_until(lambda: (folder / "MarionetteActivePort").read_text().strip(), "Firefox")
        yield Firefox(int(port))


@contextlib.contextmanager
def webkit() -> Iterator[Session]:
    """Yield a WebKitGTK browser on a display of its own; it keeps nothing, like a private window.

    Raises:
        BrowserMissing: the browser, its driver or the display's program is not there.
    """
    browsers = sorted(Path("/usr/lib").glob("*/webkit*gtk-*/MiniBrowser"))
    driver, display = shutil.which("WebKitWebDriver"), shutil.which("Xvfb")
    if not (browsers and driver and display):
        raise BrowserMissing("WebKitGTK is not installed (Debian: apt-get install webkit2gtk-driver xvfb)")
    with running([display, "-displayfd", "1", "-screen", "0", "1280x1000x24"], stdout=subprocess.PIPE) as screen:
        number = screen.stdout.readline().decode().strip()
        (port,) = free_ports(1)
        environment = {"DISPLAY": f":{number}", "WEBKIT_DISABLE_DMABUF_RENDERER": "1"}
        with running([driver, f"--port={port}"], env=environment):
            wait_until(lambda: is_listening(port), "WebKitWebDriver")
            session = WebKit(f"http://127.0.0.1:{port}/session", str(browsers[-1]))
            try:
                yield session
            finally:
                session.send("", "DELETE", "")


@contextlib.contextmanager
def running(command: list[str], env: dict[str, str] | None = None, **options) -> Iterator[subprocess.Popen]:
    """Run a program while the context lasts."""
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen(command, env={**os.environ, **(env or {})}, **{**quiet, **options})
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_until(attempt, name: str):
    """Return the first true value of ``attempt``; an ``OSError`` of it counts as none."""
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end:
        with contextlib.suppress(OSError):
            if value := attempt():
                return value
        time.sleep(0.05)
    raise AssertionError(f"{name} did not start within {START_SECONDS} s")


def is_listening(port: int) -> bool:
    socket.create_connection(("127.0.0.1", port), timeout=1).close()
    return True
