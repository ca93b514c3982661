"""Measure span-bulk on this machine beside span-upscale, and what it survives.

``python benchmarks/speed/bulk.py overhead|kills|rerun|costs|memory [--count N] [--side N] [--weights W] ...``

=========  =============================================================================================================
overhead   images per second and CPU seconds of span-upscale and of span-bulk with 1 and 2 workers, in turns
kills      a worker or the driver killed at random moments, ``--rounds`` times each: results byte by byte
rerun      seconds of a second run over images that are made
costs      what decoding, network and encoding of an image take by its size, and what 1, 2 and 8 GPUs make of that
memory     peak memory of the worker that holds the network, image by image of 1 to 100 megapixels
=========  =============================================================================================================

On a machine that others use too, CPU seconds tell more than those of a clock: they are those of all processes that a
command starts, Ray's own included.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import click
import numpy as np
from PIL import Image, ImageOps

ROOT = Path(__file__).parents[2]
TICK = os.sysconf("SC_CLK_TCK")

GPU_CORES = 16
"""CPU cores beside each GPU in the reckoning of rates."""

KILL_SECONDS = 20.0
"""Longest time from a start, a kill or the next result to a kill."""


def photographs(folder: Path, count: int, side: int) -> None:
    """Write crops of the bundled photographs, enlarged where they are smaller, half of them PNG and half JPEG."""
    from span_keras.data.photos import BUNDLED_TRAIN

    folder.mkdir(parents=True)
    photos = [Image.open(path).convert("RGB") for path in sorted(BUNDLED_TRAIN.glob("*.jpg"))]
    rng = np.random.default_rng(0)
    for number in range(count):
        photo = ImageOps.fit(photos[number % len(photos)], (side, side), centering=tuple(rng.random(2)))
        photo.save(folder / f"{number:05}{('.png', '.jpg')[number % 2]}", quality=92)


class Command:
    """A command in a session of its own, and what it and all its descendants take."""

    def __init__(self, name: str, *arguments):
        command = [sys.executable, "-m", f"span_keras.{name}", *map(str, arguments)]
        self.log = tempfile.TemporaryFile("w+")  # noqa: SIM115 - open as long as the command runs
        self.began = time.perf_counter()
        self.process = subprocess.Popen(
            command, cwd=ROOT, env={**os.environ, "SPAN_BENCHMARK": str(id(self))}, stdout=self.log, stderr=self.log
        )
        self.ticks: dict[str, int] = {}
        self.peaks: dict[str, int] = {}
        self.watching = threading.Thread(target=self._watch)
        self.watching.start()

    def _watch(self) -> None:
        while self.process.poll() is None:
            self.look()
            time.sleep(0.25)

    def look(self) -> dict[int, str]:
        """Note time and memory of each process, and return their titles by number."""
        mark, found = f"SPAN_BENCHMARK={id(self)}".encode(), {}
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                if mark not in (folder / "environ").read_bytes():
                    continue
                values = (folder / "stat").read_text().rpartition(")")[2].split()
                title = (folder / "cmdline").read_bytes().split(b"\0")[0].decode()
                status = (folder / "status").read_text()
            except OSError:  # it has just ended
                continue
            self.ticks[folder.name] = int(values[11]) + int(values[12])
            if "RssAnon:" in status:  # without what it shares with Ray's object store
                resident = int(status.split("RssAnon:")[1].split()[0]) * 1024
                self.peaks[title] = max(self.peaks.get(title, 0), resident)
            found[int(folder.name)] = title
        return found

    def end(self) -> tuple[float, float]:
        """Wait for the command, and return the seconds of the clock and of the CPU."""
        self.process.wait()
        taken = time.perf_counter() - self.began
        self.watching.join()
        return taken, sum(self.ticks.values()) / TICK

    def said(self) -> str:
        self.log.seek(0)
        return self.log.read()


def names(folder: Path) -> dict[str, bytes]:
    """Return results by name."""
    found = [path for path in folder.rglob("*") if path.suffix in (".png", ".jpg") and not path.name.startswith(".")]
    return {path.name: path.read_bytes() for path in found}


OPTIONS = (
    click.option("--count", default=500, show_default=True, help="Number of images."),
    click.option("--side", default=512, show_default=True, help="Their side in pixels."),
    click.option("--weights", "-w", default="bundled:x2-fast", show_default=True, help="Network."),
    click.option("--rounds", default=1, show_default=True, help="Runs of each kind."),
)


def benchmark(function):
    """Make a subcommand with the options that all have; it gets a folder too."""

    def run(**options):
        with tempfile.TemporaryDirectory() as folder:
            function(Path(folder), **options)

    run.__doc__ = function.__doc__
    for option in reversed(OPTIONS):
        run = option(run)
    return main.command(function.__name__)(run)


@click.group()
def main():
    """Measure span-bulk."""


@benchmark
def overhead(folder: Path, count: int, side: int, weights: str, rounds: int):
    """Print seconds of one image, and of each further one."""
    photographs(folder / "all", count, side)
    photographs(folder / "one", 1, side)
    kinds = {"span-upscale": None, "span-bulk, 1 worker": 1, "span-bulk, 2 workers": 2}
    for turn in range(rounds):
        for kind, workers in kinds.items():
            taken = {}
            for size in ("one", "all"):
                out = folder / f"{kind}-{turn}-{size}"
                if workers:
                    command = Command("bulk", folder / size, out, "-w", weights, "--workers", workers)
                else:
                    command = Command("upscale", folder / size, "-o", out, "-w", weights)
                taken[size] = command.end()
            same = names(out) == names(folder / f"span-upscale-{turn}-all")
            (clock, cpu), (clock_one, cpu_one) = taken["all"], taken["one"]
            click.echo(
                f"round {turn + 1}, {kind}: one image {clock_one:.1f} s, {cpu_one:.1f} CPU s; each further one "
                f"{(clock - clock_one) / (count - 1):.3f} s, {(cpu - cpu_one) / (count - 1):.3f} CPU s; all "
                f"{clock:.1f} s, {cpu:.1f} CPU s; bytes {'equal' if same else 'DIFFER'}"
            )


@benchmark
def kills(folder: Path, count: int, side: int, weights: str, rounds: int):
    """Kill ``--rounds`` workers and as many drivers at random moments, the same in every call, and compare results."""
    photographs(folder / "all", count, side)
    Command("upscale", folder / "all", "-o", folder / "expected", "-w", weights).end()
    expected, draw = names(folder / "expected"), random.Random(0)
    victims = ["worker", "driver"] * rounds
    draw.shuffle(victims)
    command = None
    for victim in victims:
        command = command or Command("bulk", folder / "all", folder / "out", "-w", weights)
        before = len(names(folder / "out"))
        for_results = draw.random() < 0.5  # else it may be hit while it starts
        while for_results and len(names(folder / "out")) == before:
            wait(0.1, command)
        wait(draw.uniform(0, KILL_SECONDS), command)
        if victim == "driver":
            command.process.kill()
        else:
            pid, title = draw.choice(sorted(workers_of(command).items()))
            victim = f"worker {title.removeprefix('ray::').strip()}"
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        click.echo(f"{victim} killed at {len(names(folder / 'out'))} results")
        if victim == "driver":
            command.end()
            command = None
    command = command or Command("bulk", folder / "all", folder / "out", "-w", weights)
    command.end()
    found = names(folder / "out")
    same = "equal" if found == expected else "DIFFER"
    left = sum(path.is_file() and path.name.endswith(".partial") for path in (folder / "out").rglob("*"))
    click.echo(
        f"{rounds} workers and {rounds} drivers killed; exit code {command.process.returncode}; {len(found)} of "
        f"{len(expected)} results, bytes {same}; {left} half-written files left"
    )
    if command.process.returncode or found != expected:
        raise click.ClickException(f"a result is missing or differs. The last run said:\n{command.said()}")


def workers_of(command: Command) -> dict[int, str]:
    """Wait until workers of a run do something, and return their titles by number."""
    while not (found := {pid: title for pid, title in command.look().items() if title.startswith("ray::Map")}):
        wait(0.1, command)
    return found


def wait(seconds: float, command: Command) -> None:
    """Let a command go on for so long.

    Raises:
        click.ClickException: it ends meanwhile.
    """
    with contextlib.suppress(subprocess.TimeoutExpired):
        command.process.wait(seconds)
        raise click.ClickException(
            f"the run ended before all kills; ask for a larger --count. It said:\n{command.said()}"
        )


@benchmark
def rerun(folder: Path, count: int, side: int, weights: str, rounds: int):
    """Print the seconds of a run that finds everything made."""
    photographs(folder / "all", count, side)
    Command("bulk", folder / "all", folder / "out", "-w", weights).end()
    for _ in range(rounds):
        command = Command("bulk", folder / "all", folder / "out", "-w", weights)
        clock, cpu = command.end()
        ray = [title for title in command.peaks if "ray" in title]
        click.echo(f"{count:,} images: {clock:.1f} s, {cpu:.1f} CPU s, Ray {'started' if ray else 'not started'}")
        click.echo(command.said())


@benchmark
def costs(folder: Path, count: int, side: int, weights: str, rounds: int):
    """Print seconds of each stage for ``--count`` images of up to ``--side`` pixels, and the rates that they allow."""
    from concurrent.futures import ThreadPoolExecutor

    from span_keras.bulk import GPU_BATCH
    from span_keras.inference.device import accelerated
    from span_keras.inference.files import Job, decode, encode, enlarge
    from span_keras.inference.networks import NetworkOptions, load

    gpu = accelerated()
    gather = GPU_BATCH if gpu else 1
    networks = load(NetworkOptions(weights, gather=gather))
    clock = time.perf_counter if gpu else time.process_time  # of a network on the CPU, what all of its threads take
    beside = f"GPU with {GPU_CORES} cores beside it" if gpu else "CPU"
    click.echo(f"seconds of an image, the network on a {beside}, codecs on one core")
    with ThreadPoolExecutor(2 * gather if gpu else 1) as pool:
        for number, pixels in enumerate(side >> shift for shift in (3, 2, 1, 0)):
            photographs(folder / f"{number}", count, pixels)
            jobs = [Job(path, folder / path.name) for path in sorted((folder / f"{number}").iterdir())]
            for job in jobs[:2]:  # Pillow loads what it needs of a format
                decode(job, networks.native)
            pictures, decoding = timed(lambda job: decode(job, networks.native), jobs, time.process_time)
            whole = lambda job, picture: enlarge(job, picture, networks).whole()  # noqa: E731
            list(pool.map(whole, jobs, pictures))  # compiles
            began = clock()
            results = list(pool.map(whole, jobs, pictures))
            network = (clock() - began) / count
            _, encoding = timed(lambda pair: encode(*pair), list(zip(jobs, results, strict=True)), time.process_time)
            for name in sorted(decoding):
                codec = decoding[name] + encoding[name]
                if gpu:
                    rates = ", ".join(f"{min(n * GPU_CORES / codec, n / network):.0f}" for n in (1, 2, 8))
                    reckoned = f"images/s with 1, 2, 8 GPUs: {rates}; {codec / network:.1f} cores feed a GPU"
                else:
                    reckoned = f"images/s a core: {1 / (codec + network):.2f}"
                click.echo(
                    f"{pixels}×{pixels} {name}: decode {decoding[name]:.4f}, network {network:.4f}, "
                    f"encode {encoding[name]:.4f}; {reckoned}"
                )


def timed(step, items: list, clock) -> tuple[list, dict[str, float]]:
    """Return what a step makes of items, and its mean seconds for PNG, the even ones, and for JPEG, the odd ones."""
    made, seconds = [], [0.0, 0.0]
    for number, item in enumerate(items):
        began = clock()
        made.append(step(item))
        seconds[number % 2] += clock() - began
    return made, {"PNG": seconds[0] / len(items[::2]), "JPEG": seconds[1] / len(items[1::2])}


@benchmark
def memory(folder: Path, count: int, side: int, weights: str, rounds: int):
    """Print the peak memory of the processes of each stage, for one image at a time."""
    photographs(folder / "small", 1, 1000)
    for megapixels in (1, 4, 16, 36, 64, 100):
        side = int((megapixels * 1e6) ** 0.5)
        source = folder / f"{megapixels}"
        source.mkdir()
        Image.open(folder / "small" / "00000.png").resize((side, side)).save(source / "photo.png", compress_level=1)
        command = Command("bulk", source, folder / "out" / f"{megapixels}", "-w", weights)
        clock, _ = command.end()
        peaks = {
            stage: max((peak for title, peak in command.peaks.items() if stage in title), default=0)
            for stage in ("Decode", "Enlarge", "Encode")
        }
        shown = ", ".join(f"{stage} {peak / 1e6:.0f} MB" for stage, peak in peaks.items())
        click.echo(f"{megapixels} megapixels: {clock:.0f} s; {shown}")


if __name__ == "__main__":
    main()
