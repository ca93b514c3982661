"""Draw pictures of overlapping shapes to train on beside photographs.

Photographs rarely show clean edges at every angle, curvature and contrast; drawings and print do. These pictures follow
the dead leaves model (Lee, Mumford and Huang, "Occlusion Models for Natural Images", IJCV 2001), whose statistics
resemble those of natural images: opaque shapes hide one another, and their radii are distributed as r⁻³. Networks
trained on such pictures alone restore photographs nearly as well as others (Achddou, Gousseau and Ladjal, "Synthetic
images as a regularity prior for image restoration neural networks", SSVM 2021). Shapes are ellipses, polygons and bent
strokes, some striped if asked for; each picture takes its colours from one photograph.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

SUPERSAMPLING = 3
"""Shapes are drawn this many times as large, without antialiasing, and shrunk."""

LAYERS = 3
"""Times the picture's area that the shapes would cover, were they circles; about a fifth stays background."""

MIN_RADIUS = (1.5, 24.0)
"""Pixels: range of a picture's smallest radius, drawn evenly on a logarithmic scale."""

MAX_BLUR = 1.5
"""Pixels: half of all pictures are blurred by a Gaussian of up to this standard deviation."""

PERIODS = (3.0, 24.0)
"""Pixels: range of the distance of stripes in the middle of a shape, drawn evenly on a logarithmic scale up to two
thirds of its radius."""


def draw(rng: np.random.Generator, side: int, colours: np.ndarray, striped: float = 0.0) -> Image.Image:
    """Draw a picture of overlapping shapes.

    Args:
        rng: decides everything; the same state gives the same picture.
        side: of the picture, in pixels.
        colours: (n, 3) uint8 RGB values to choose from.
        striped: share of the shapes, of those with a radius of at least ``1.5 · PERIODS[0]``, to have stripes; 0 to 1.

    Returns:
        An RGB picture of ``side × side`` pixels.
    """
    canvas = Image.new("RGB", (side * SUPERSAMPLING,) * 2, _chosen(rng, colours))
    pen = ImageDraw.Draw(canvas)
    most = side / 3
    least = min(np.exp(rng.uniform(*np.log(MIN_RADIUS))), most / 2)
    # For radii distributed as r⁻³ between both, and circles.
    area = 2 * np.pi * np.log(most / least) / (least**-2 - most**-2)
    for _ in range(round(LAYERS * side**2 / area)):
        radius = (least**-2 - rng.random() * (least**-2 - most**-2)) ** -0.5
        points = _turned(random_shape(rng), rng.uniform(0, 2 * np.pi)) * radius + rng.uniform(0, side, 2)
        corners = (points * SUPERSAMPLING).ravel().tolist()
        pen.polygon(corners, fill=_chosen(rng, colours))
        # Without stripes, chance is not asked: the pictures are those of earlier versions.
        if striped and radius >= 1.5 * PERIODS[0] and rng.random() < striped:
            lay_stripes(rng, canvas, corners, radius, _chosen(rng, colours))
    picture = canvas.resize((side, side), Image.Resampling.BOX)
    blur = max(rng.uniform(-MAX_BLUR, MAX_BLUR), 0)
    return picture.filter(ImageFilter.GaussianBlur(blur)) if blur else picture


def colours_of(photo: Path) -> np.ndarray:
    """Return the colours of all pixels of a photograph, (n, 3) uint8 RGB, for ``draw``.

    Raises:
        DataError: the file cannot be decoded.
    """
    from span_keras.data.decode import decoded  # brings a backend along, which --help need not wait for

    with decoded(photo) as image:
        return np.asarray(image).reshape(-1, 3)


def _chosen(rng: np.random.Generator, colours: np.ndarray) -> tuple[int, ...]:
    """Choose one of the colours, as Pillow takes it."""
    return tuple(map(int, rng.choice(colours)))


def random_shape(rng: np.random.Generator) -> np.ndarray:
    """Draw corners (n, 2) of an ellipse, a polygon or a bent stroke of at most 1.5 times the unit circle's area."""
    kind = rng.integers(3)
    if kind == 0:
        angles = np.linspace(0, 2 * np.pi, 48, endpoint=False)
        return np.stack([np.cos(angles), rng.uniform(0.3, 1) * np.sin(angles)], 1)
    if kind == 1:
        angles = np.sort(rng.uniform(0, 2 * np.pi, rng.integers(3, 8)))
        return np.stack([np.cos(angles), np.sin(angles)], 1)
    # An arc of length 8 and of one width, from nearly straight to a half circle.
    angles, half = np.linspace(-1, 1, 16) * rng.uniform(0.01, np.pi / 2), rng.uniform(0.1, 0.3)
    bend = 4 / angles[-1]
    sides = [np.stack([np.sin(angles), np.cos(angles)], 1) * radius for radius in (bend - half, bend + half)]
    return np.concatenate([sides[0], sides[1][::-1]]) - [0, bend]


def lay_stripes(
    rng: np.random.Generator, canvas: Image.Image, corners: list[float], radius: float, colour: tuple
) -> None:
    """Lay stripes over a polygon, nearly straight ones or arcs; their distance may grow by up to 30 % to either side.

    Args:
        rng: decides about everything but the colour.
        canvas: is drawn on, ``SUPERSAMPLING`` times as large as the picture.
        corners: x, y, x, y ... on the canvas.
        radius: of the shape, in pixels of the picture.
        colour: RGB of the stripes; between them the shape stays what it is.
    """
    points, radius = np.reshape(corners, (-1, 2)), radius * SUPERSAMPLING
    least, most = PERIODS[0] * SUPERSAMPLING, min(PERIODS[1] * SUPERSAMPLING, 2 * radius / 3)
    period = np.exp(rng.uniform(np.log(least), np.log(most)))
    # The stripes are parts of circles about a point 2 to 200 radii away.
    away = radius * np.exp(rng.uniform(np.log(2), np.log(200)))
    angle, width, growth = rng.uniform(0, 2 * np.pi), rng.uniform(0.3, 0.7), rng.uniform(0, 0.3)
    left, top = map(int, np.maximum(np.floor(points.min(0)), 0))
    right, bottom = map(int, np.minimum(np.ceil(points.max(0)) + 1, canvas.size))
    if right <= left or bottom <= top:
        return
    x, y = np.meshgrid(np.arange(left, right), np.arange(top, bottom))
    centre = points.mean(0) + away * np.array([np.cos(angle), np.sin(angle)])
    across = np.hypot(x - centre[0], y - centre[1]) - away
    phase = across / period * (1 - growth * np.clip(across / radius, -1, 1) / 2)
    inside = Image.new("1", (right - left, bottom - top))
    ImageDraw.Draw(inside).polygon((points - (left, top)).ravel().tolist(), fill=1)
    canvas.paste(colour, (left, top), Image.fromarray((phase % 1 < width) & np.asarray(inside)))


def _turned(points: np.ndarray, angle: float) -> np.ndarray:
    cos, sin = np.cos(angle), np.sin(angle)
    return points @ np.array([[cos, sin], [-sin, cos]])
