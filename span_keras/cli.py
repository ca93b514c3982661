"""What the command lines share: error handling, the options that name weights. Imports nothing heavy."""

from __future__ import annotations

import contextlib
import errno
import functools
import math
import os
import signal
import sys
import threading
from pathlib import Path

import click

from span_keras.constants import VARIANTS
from span_keras.errors import SpanError
from span_keras.inference.networks import DEFAULT_NETWORK
from span_keras.quiet import hushed

# TensorFlow's start-up chatter hides our own output.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

# Convolutions take less time with oneDNN, which TensorFlow asks by itself on Linux alone, and there only on CPUs with
# instructions for neural networks.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

CONTEXT = {"help_option_names": ["-h", "--help"]}
"""Click's settings of every command."""


class FiniteRange(click.FloatRange):
    """A number within bounds. NaN is within any of click's."""

    def convert(self, value, param, ctx):
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"expected a finite number, found {value}.", param, ctx)
        return number


def _open_closed_streams() -> None:
    """Give the standard streams a place where whoever started the command closed them, as some services do.

    Else files that are opened later would get their numbers, and what is printed would go into results.
    """
    descriptor = os.open(os.devnull, os.O_RDWR)
    while descriptor < 3:
        os.set_inheritable(descriptor, True)  # by programs that the command starts, as theirs would be
        descriptor = os.dup(descriptor)
    os.close(descriptor)
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open("w"))  # noqa: SIM115 -- for as long as the process runs


@contextlib.contextmanager
def _cleans_up_when_terminated():
    """Let SIGTERM and SIGHUP (a closed terminal) end the block like any exception, so that no half-written file stays.

    The exit code is 143 or 129. Only in the main thread, where signals arrive, and where nobody else has a plan for the
    signal, as nohup has.
    """
    in_main = threading.current_thread() is threading.main_thread()
    numbers = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    numbers = [number for number in numbers if in_main and signal.getsignal(number) is signal.SIG_DFL]

    def end(number, frame):
        signal.signal(number, signal.SIG_DFL)  # a second one ends what hangs
        raise SystemExit(128 + number)

    for number in numbers:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number in numbers:
            signal.signal(number, signal.SIG_DFL)


def reports_errors(function):
    """Turn a ``SpanError`` or ``OSError`` into one sentence on stderr and exit code 1; Ctrl-C exits with 130."""

    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        _open_closed_streams()
        try:
            with _cleans_up_when_terminated():
                return function(*args, **kwargs)
        except SpanError as error:
            raise click.ClickException(str(error)) from error
        except OSError as error:
            if error.errno == errno.EPIPE:  # whoever read the output has gone; click knows what to do
                raise
            reason = error.strerror or str(error).rstrip(".")
            named = f"{os.fsdecode(error.filename)}: " if isinstance(error.filename, str | bytes) else ""
            raise click.ClickException(f"{named}{reason}.") from error
        except KeyboardInterrupt:
            click.echo("Interrupted.", err=True)
            raise SystemExit(130) from None

    return wrapper


def parse_mean(context, parameter, value: str | None) -> tuple[float, ...] | None:
    """Turn ``"0.4488,0.4371,0.4040"`` into floats, one for each channel of an image; None stays None."""
    if value is None:
        return None
    try:
        mean = tuple(map(float, value.split(",")))
    except ValueError:
        mean = ()
    if len(mean) not in (1, 3, 4):
        raise click.BadParameter(
            f"expected three numbers such as 0.4488,0.4371,0.4040, one for grey or four for RGBA, found {value!r}."
        )
    return mean


def load_networks(*weights: str, **stated) -> list:
    """Load networks, and print on stderr what was chosen or assumed about those whose files do not tell.

    Args:
        weights: names as ``checkpoints.load_weights`` takes them.
        stated: ``variant``, ``img_range`` and ``rgb_mean`` of the first, for a file that cannot tell.

    Returns:
        A list of ``SpanWeights``.

    Raises:
        CheckpointError: see ``load_weights`` and ``require_settled``.
    """
    with hushed():  # it loads NumPy and h5py, which --help need not wait for
        from span_keras.checkpoints import load_weights
    networks = [load_weights(name, **({} if number else stated)) for number, name in enumerate(weights)]
    tell_assumed(*networks)
    return networks


def tell_assumed(*networks) -> None:
    """Print on stderr what ``load_weights`` chose or assumed about networks whose files do not tell.

    Raises:
        CheckpointError: see ``require_settled``.
    """
    from span_keras.checkpoints import notes, require_settled  # loads NumPy

    require_settled(*networks)
    for network in networks:
        for note in notes(network):
            click.echo(note, err=True)


def _print_version(context, parameter, value: bool) -> None:
    if not value or context.resilient_parsing:
        return
    with hushed():  # it loads the backend
        from span_keras.doctor import report

        line = report()
    click.echo(line)
    context.exit()


version_option = click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Print versions, backend, device and what is missing, for a bug report, and exit.",
)
"""Adds ``--version`` to a command."""


def weights_options(function=None, *, default: str | None = DEFAULT_NETWORK, shown: str = ""):
    """Add ``--weights`` and what a weights file cannot tell: ``--variant``, ``--img-range``, ``--rgb-mean``.

    The command receives ``weights, variant, img_range, rgb_mean``; pass them to ``load_networks``.

    Args:
        function: of the command; without it, a decorator is returned.
        default: of ``--weights``.
        shown: what ``--help`` says of the default instead.
    """
    if function is None:
        return functools.partial(weights_options, default=default, shown=shown)
    options = (
        click.option(
            "--weights",
            "-w",
            default=default,
            show_default=shown or True,
            metavar="W",
            help="bundled:NAME, or a .weights.h5, .keras, .pth, .safetensors, .onnx or TF.js model.json file.",
        ),
        click.option("--variant", type=click.Choice(VARIANTS), help="Activations, where the file cannot tell."),
        click.option(
            "--img-range",
            type=FiniteRange(min=0, min_open=True),
            metavar="R",
            help="Input range, where the file cannot tell (255 or 1).",
        ),
        click.option(
            "--rgb-mean",
            callback=parse_mean,
            metavar="R,G,B",
            help="Mean of each channel subtracted from the input; one number for grey, four for RGBA.",
        ),
    )
    for option in reversed(options):
        function = option(function)
    return function
