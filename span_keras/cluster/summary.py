"""Count what a run has done, and say how far it is and what it cost."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from span_keras.cluster.manifest import STAGES
from span_keras.cluster.run import Cluster
from span_keras.cluster.stages import Parcel

_SETTLING = 5.0
"""Seconds of work after which a rate can be told."""


@dataclass
class Tally:
    """Count images as they are done.

    Args:
        total: images to make.
        clock: returns seconds.

    Attributes:
        done, failed: how many.
        pixels: of the results.
        seconds: what each stage took of all its workers together.
    """

    total: int
    clock: Callable[[], float] = time.monotonic
    done: int = 0
    failed: int = 0
    pixels: int = 0
    seconds: dict[str, float] = field(default_factory=lambda: dict.fromkeys(STAGES, 0.0))

    def __post_init__(self):
        self.began, self.first = self.clock(), None

    def add(self, parcel: Parcel) -> None:
        """Count an image whose outcome is known."""
        self.first = self.clock() if self.first is None else self.first
        self.done += 1
        self.failed += parcel.content.status == "failed"
        self.pixels += parcel.content.width * parcel.content.height
        for stage, seconds in parcel.seconds.items():
            self.seconds[stage] += seconds

    def line(self) -> str:
        """Return how far the run is: ``"1,200 of 5,000 images, 12.0/s, 5 min left, 3 failed"``."""
        parts = [f"{self.done:,} of {self.total:,} images"]
        # The first image waits for the network to be loaded, which says nothing of those to come.
        since = self.clock() - self.first if self.first is not None else 0
        if since > _SETTLING and self.done > 1:
            rate = (self.done - 1) / since
            parts += [f"{rate:.1f}/s", f"{_spoken((self.total - self.done) / rate)} left"]
        if self.failed:
            parts.append(f"{self.failed:,} failed")
        return ", ".join(parts)

    def summary(self, cluster: Cluster, price: float | None = None) -> list[str]:
        """Return lines on images, megapixels, how busy each stage was, and the cost of 1,000 images.

        Args:
            cluster: what the run used.
            price: of the whole cluster an hour, in any currency.
        """
        elapsed = max(self.clock() - self.began, 1e-9)
        made = self.done - self.failed
        unit = "GPU" if cluster.gpus else "CPU"
        per_thousand = 1000 / max(made, 1) * elapsed / 3600
        cost = f"{per_thousand * (cluster.gpus * cluster.workers or cluster.cpus):.3g} {unit}-hours"
        if price is not None:
            cost += f", {per_thousand * price:.3g} at {price:g} an hour"
        codec = max(cluster.cpus, 1)
        return [
            f"{made:,} images, {self.pixels / 1e6:,.1f} megapixels, in {_spoken(elapsed)}: {made / elapsed:.2f}/s.",
            f"Busy: decode {self.seconds['decode'] / elapsed / codec:.0%} and encode "
            f"{self.seconds['encode'] / elapsed / codec:.0%} of {cluster.cpus} CPUs, network "
            f"{self.seconds['enlarge'] / elapsed / cluster.workers:.0%} of {cluster.workers} "
            f"worker{'s' if cluster.workers > 1 else ''}.",
            f"1,000 images: {cost}.",
        ]


def _spoken(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
