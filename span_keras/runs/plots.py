"""Pictures of a training run, drawn with Pillow alone: its curves, and strips of samples."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

INK, FAINT, GRID, PAPER = "#1f2430", "#6b7280", "#e5e7eb", "#ffffff"

COLORS = ("#2563eb", "#d97706", "#059669", "#9333ea")

FINE = 2
"""Curves are drawn this many times larger and reduced, for smooth lines."""


def curves(log: Sequence[dict], validation: Sequence[dict], title: str, bicubic: float | None = None) -> bytes:
    """Loss, validation PSNR and learning rate over the steps, as a PNG.

    Args:
        log: rows of ``log.csv``. validation: rows of ``validation.csv``. NaN is left out.
        bicubic: PSNR of bicubic enlargement, drawn beside the network's.
    """
    parts = [k for k in ("loss", "mae", "mse", "teacher") if log and k in log[0]]
    if len(parts) == 2:  # the loss is its only part
        parts = parts[:1]
    steps = [row["step"] for row in log]
    best = max((r["psnr_y"] for r in validation if not math.isnan(r["psnr_y"])), default=0)
    # An untrained network's figure would leave no room for the others.
    shown = [r for r in validation if r["psnr_y"] > best - 6]
    quality = {"SPAN": ([r["step"] for r in shown], [r["psnr_y"] for r in shown])}
    if bicubic is not None:
        quality["bicubic"] = ([0, max([*steps, *quality["SPAN"][0], 1])], [bicubic, bicubic])
    panels = [
        ("loss", {k: (steps, [row[k] for row in log]) for k in parts}, True),
        ("validation PSNR, Y, dB", quality, False),
        ("learning rate", {"": (steps, [row["rate"] for row in log])}, False),
    ]
    if log and "perceptual" in log[0]:
        panels.insert(1, ("perceptual distance", {"": (steps, [row["perceptual"] for row in log])}, True))
    width, height, head = 960, 230, 44
    image = Image.new("RGB", (width * FINE, (head + height * len(panels)) * FINE), PAPER)
    draw = ImageDraw.Draw(image)
    draw.text((24 * FINE, 14 * FINE), title, INK, _font(17 * FINE))
    last = max([*steps, *(r["step"] for r in validation), 1])
    for i, (name, series, logarithmic) in enumerate(panels):
        top = head + i * height
        _panel(draw, (84, top + 30, width - 28, top + height - 34), name, series, last, logarithmic)
    return _png(image.resize((image.width // FINE, image.height // FINE), Image.Resampling.LANCZOS))


def _panel(draw, box, name: str, series: dict, last: float, logarithmic: bool) -> None:
    left, top, right, bottom = (FINE * v for v in box)
    small = _font(12 * FINE)
    draw.text((left, top - 24 * FINE), name, INK, _font(13 * FINE))
    values = np.array([v for _, ys in series.values() for v in ys if math.isfinite(v) and (v > 0 or not logarithmic)])
    if not len(values):
        draw.text(((left + right) / 2, (top + bottom) / 2), "nothing yet", FAINT, small, anchor="mm")
        return
    ticks = _log_ticks(values) if logarithmic else _ticks(float(values.min()), float(values.max()))
    scale = math.log10 if logarithmic else float
    low, high = scale(min(ticks[0], values.min())), scale(max(ticks[-1], values.max()))

    def place(x: float, y: float) -> tuple[float, float]:
        return left + (right - left) * x / last, bottom - (bottom - top) * (scale(y) - low) / (high - low)

    for tick in ticks:
        y = place(0, tick)[1]
        draw.line((left, y, right, y), GRID, FINE)
        draw.text((left - 8 * FINE, y), f"{tick:g}", FAINT, small, anchor="rm")
    for tick in _ticks(0, last):
        if tick <= last:
            x = place(tick, ticks[0])[0]
            draw.line((x, bottom, x, bottom + 4 * FINE), FAINT, FINE)
            draw.text((x, bottom + 6 * FINE), f"{tick:,.0f}", FAINT, small, anchor="ma")
    key = right
    for color, (label, (xs, ys)) in zip(COLORS, series.items(), strict=False):
        points = [place(x, y) for x, y in zip(xs, ys, strict=True) if math.isfinite(y) and (y > 0 or not logarithmic)]
        if len(points) > 1:
            draw.line(points, color, 2 * FINE, joint="curve")
        if len(points) < 40:
            for x, y in points:
                draw.ellipse((x - 3 * FINE, y - 3 * FINE, x + 3 * FINE, y + 3 * FINE), color)
        if len(series) > 1:
            draw.text((key, top - 24 * FINE), label, color, small, anchor="ra")
            key -= draw.textlength(label, small) + 14 * FINE


def _ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Round numbers that cover ``low`` to ``high``."""
    if high - low < 1e-9 * max(abs(high), 1e-12):
        low, high = low - 0.5 * (abs(low) or 1), high + 0.5 * (abs(high) or 1)
    rough = (high - low) / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= rough)
    return [float(f"{i * step:.12g}") for i in range(math.floor(low / step), math.ceil(high / step) + 1)]


def _log_ticks(values: np.ndarray) -> list[float]:
    low, high = math.floor(math.log10(values.min())), math.ceil(math.log10(values.max()))
    every = [m * 10.0**e for e in range(low, high + 1) for m in ((1, 2, 5) if high - low <= 2 else (1,))]
    inside = [t for t in every if values.min() * 0.45 <= t <= values.max() * 2.2]
    return inside if len(inside) > 1 else [10.0**low, 10.0 ** (high + (low == high))]


def sample_strip(name: str, pictures: Sequence[tuple[str, np.ndarray]], side: int = 256) -> bytes:
    """Crops of the same place side by side, labelled, as a PNG.

    Args:
        name: what the strip shows, written above.
        pictures: ``(label, uint8 (h, w, 3))``; each is enlarged to ``side`` without smoothing.
    """
    gap, head, foot = 8, 34, 30
    image = Image.new("RGB", (gap + len(pictures) * (side + gap), head + side + foot), PAPER)
    draw = ImageDraw.Draw(image)
    draw.text((gap, head / 2), name, INK, _font(15), anchor="lm")
    for i, (label, pixels) in enumerate(pictures):
        x = gap + i * (side + gap)
        image.paste(Image.fromarray(pixels).resize((side, side), Image.Resampling.NEAREST), (x, head))
        draw.text((x + side / 2, head + side + foot / 2), label, FAINT, _font(13), anchor="mm")
    return _png(image)


def busiest_square(image: np.ndarray, side: int) -> tuple[int, int]:
    """Top-left corner of the square with the most detail, on a grid of half its side."""
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
