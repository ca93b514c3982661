"""What the command lines share: errors as sentences, signals that clean up."""

import os
import signal

import click
import pytest
from click.testing import CliRunner

from span_keras.cli import reports_errors
from span_keras.errors import DataError


def command(function):
    return click.command()(reports_errors(function))


def raising(error):
    def fail():
        raise error

    return command(fail)


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (DataError("No photographs."), "No photographs."),
        (PermissionError(13, "Permission denied", "/locked/a.png"), "/locked/a.png: Permission denied."),
        (OSError(36, "File name too long", b"caf\xe9"), "caf\udce9: File name too long."),
        (OSError(28, "No space left on device"), "No space left on device."),
        (OSError("cannot be done."), "cannot be done."),
    ],
)
def test_errors_are_one_sentence(error, sentence):
    with pytest.raises(click.ClickException) as caught:
        raising(error).callback()
    assert (caught.value.message, caught.value.exit_code) == (sentence, 1)


def test_a_reader_that_has_gone_is_left_to_click():
    with pytest.raises(BrokenPipeError):
        raising(BrokenPipeError(32, "Broken pipe")).callback()


def test_a_name_too_long_is_told(tmp_path, photos):
    for name in ("evaluate", "upscale", "train"):
        main = __import__(f"span_keras.{name}", fromlist=["main"]).main
        long = str(tmp_path / ("a" * 300))
        arguments = {
            "evaluate": ["--data", str(photos), "-w", long + ".pth"],
            "upscale": [__file__, "-o", long + ".png"],
            "train": ["--data", long, "--out", str(tmp_path / "run")],
        }[name]
        result = CliRunner().invoke(main, arguments)
        assert result.exit_code == 1, result.output
        assert "File name too long" in result.output and "Traceback" not in result.output


def test_sigterm_cleans_up():
    cleaned = []

    @command
    def wait():
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            signal.pause()
        finally:
            cleaned.append(True)

    assert CliRunner().invoke(wait).exit_code == 128 + signal.SIGTERM
    assert cleaned and signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_another_handler_of_sigterm_stays():
    caught = []
    before = signal.signal(signal.SIGTERM, lambda *args: caught.append(True))
    try:
        assert CliRunner().invoke(command(lambda: os.kill(os.getpid(), signal.SIGTERM))).exit_code == 0
    finally:
        signal.signal(signal.SIGTERM, before)
    assert caught
