"""Pictures of a training run: its curves, and strips of samples."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from itertools import cycle

import numpy as np
from PIL import Image, ImageDraw, ImageFont

INK, FAINT, PAPER = "#1f2430", "#6b7280", "#ffffff"

COLORS = ("#2563eb", "#d97706", "#059669", "#9333ea")

WIDTH, PANEL_HEIGHT, TITLE_HEIGHT, DPI = 960, 230, 44, 100
"""Of the curves, in pixels."""

NO_PARTS = ("step", "epoch", "rate", "loss", "perceptual", "grad_norm", "skipped", "restored", "seconds")
"""Columns of ``log.csv`` that are no parts of the loss, and the perceptual distance, which has a panel of its own."""

MAX_DROP = 6
"""An untrained network's PSNR would leave no room for the others: figures so many dB below the best are left out."""

MAX_MARKED = 40
"""Curves of fewer points have them marked."""


def curves(log: Sequence[dict], validation: Sequence[dict], title: str, bicubic: dict | None = None) -> bytes:
    """Draw loss, validation figures and learning rate over the steps, as a PNG.

    Args:
        log: rows of ``log.csv``.
        validation: rows of ``validation.csv``. NaN is left out of both.
        title: written above.
        bicubic: figures of bicubic enlargement by the names of ``validation``'s columns, drawn beside the network's.
    """
    parts = [name for name in (log[0] if log else ()) if name not in NO_PARTS]
    parts = ["loss", *parts] if len(parts) > 1 else ["loss"]  # which an only part is equal to
    steps = [row["step"] for row in log]
    distances = [name for name in (validation[-1] if validation else ()) if name.startswith("lpips_")]
    best = max((row["psnr_y"] for row in validation if math.isfinite(row["psnr_y"])), default=0)
    shown = [row for row in validation if row["psnr_y"] > best - MAX_DROP]
    last = max([*steps, *(row["step"] for row in validation), 1])

    def quality(*names: str) -> dict[str, tuple]:
        series = {}
        for name in names:
            of = f" {name}" if len(names) > 1 else ""
            series[f"SPAN{of}"] = ([row["step"] for row in shown], [row[name] for row in shown])
            if bicubic is not None:
                series[f"bicubic{of}"] = ([0, last], [bicubic.get(name, math.nan)] * 2)
        return series

    panels = [
        ("loss", {name: (steps, [row[name] for row in log]) for name in parts}, True),
        ("validation PSNR, Y, dB", quality("psnr_y"), False),
        *([("validation LPIPS, less is better", quality(*distances), False)] if distances else []),
        ("learning rate", {"": (steps, [row["rate"] for row in log])}, False),
    ]
    if log and "perceptual" in log[0]:
        panels.insert(1, ("perceptual distance", {"": (steps, [row["perceptual"] for row in log])}, True))

    # Here, because it takes as long to import as all the rest, and only runs that validate draw.
    from matplotlib.figure import Figure

    height = TITLE_HEIGHT + PANEL_HEIGHT * len(panels)
    figure = Figure((WIDTH / DPI, height / DPI), DPI)  # without pyplot, which keeps figures and asks for a screen
    figure.suptitle(title, fontsize="medium", y=1 - TITLE_HEIGHT / 2 / height, va="center")
    # By hand, because matplotlib's own layout takes longer than all drawing.
    figure.subplots_adjust(left=0.09, right=0.97, top=1 - 70 / height, bottom=36 / height, hspace=0.4)
    for axes, (name, series, logarithmic) in zip(figure.subplots(len(panels)), panels, strict=True):
        _draw_panel(axes, name, series, last, logarithmic)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def _draw_panel(axes, name: str, series: dict[str, tuple], last: float, logarithmic: bool) -> None:
    """Draw curves over steps 0 to ``last``; ``series``: label -> steps and values, of which only finite ones show."""
    axes.set_title(name, loc="left", fontsize="small")
    axes.set_xlim(0, last)
    axes.grid(axis="y", alpha=0.4)
    axes.tick_params(labelsize="x-small")
    axes.xaxis.set_major_formatter("{x:,.0f}")
    drawn = 0
    for color, (label, (steps, values)) in zip(cycle(COLORS), series.items(), strict=False):
        good = [math.isfinite(value) and (value > 0 or not logarithmic) for value in values]
        points = [point for point, keep in zip(zip(steps, values, strict=True), good, strict=True) if keep]
        if points:
            marker = "o" if len(points) < MAX_MARKED else ""
            axes.plot(*zip(*points, strict=True), color=color, label=label, marker=marker, markersize=3)
            drawn += 1
    if not drawn:
        axes.text(0.5, 0.5, "nothing yet", transform=axes.transAxes, ha="center", color=FAINT)
        return
    if logarithmic:
        axes.set_yscale("log")
    if len(series) > 1:
        axes.legend(fontsize="x-small", ncols=len(series), loc="lower right", bbox_to_anchor=(1, 1), frameon=False)


def sample_strip(name: str, crops: Sequence[tuple[str, np.ndarray]], side: int = 256) -> bytes:
    """Draw crops of the same place side by side, labelled, as a PNG.

    Args:
        name: what the strip shows, written above.
        crops: ``(label, uint8 (h, w, 3))``; each is enlarged to ``side`` without smoothing.
    """
    gap, head, foot = 8, 34, 30
    image = Image.new("RGB", (gap + len(crops) * (side + gap), head + side + foot), PAPER)
    draw = ImageDraw.Draw(image)
    draw.text((gap, head / 2), name, INK, _font(15), anchor="lm")
    for i, (label, pixels) in enumerate(crops):
        x = gap + i * (side + gap)
        image.paste(Image.fromarray(pixels).resize((side, side), Image.Resampling.NEAREST), (x, head))
        draw.text((x + side / 2, head + side + foot / 2), label, FAINT, _font(13), anchor="mm")
    return _png(image)


def pairs_strip(name: str, lr: np.ndarray, hr: np.ndarray, most: int = 4) -> bytes:
    """Draw LR patches beside their HR patches, labelled, as a PNG.

    Args:
        name: what the strip shows, written above.
        lr, hr: uint8 (N, h, w, 3) and (N, h·scale, w·scale, 3).
        most: pairs that are drawn at most.
    """
    pairs = list(zip(lr, hr, strict=True))[:most]
    return sample_strip(name, [crop for small, large in pairs for crop in (("LR", small), ("HR", large))], side=160)


def busiest_square(image: np.ndarray, side: int) -> tuple[int, int]:
    """Return the top-left corner of the square with the most detail, on a grid of half its side."""
    height, width = image.shape[:2]
    grey = image.astype(np.float32).mean(-1)
    corners = [
        (top, left)
        for top in range(0, max(height - side, 0) + 1, max(side // 2, 1))
        for left in range(0, max(width - side, 0) + 1, max(side // 2, 1))
    ]
    return max(corners, key=lambda c: float(grey[c[0] : c[0] + side, c[1] : c[1] + side].std()))


def _font(size: int):
    return ImageFont.load_default(size)


def _png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()
