"""``python -m span_keras.leaves``: write pictures of overlapping shapes to train on beside photographs."""

from __future__ import annotations

import re
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import click
import numpy as np

from span_keras import atomic
from span_keras.cli import CONTEXT, reports_errors
from span_keras.data.dead_leaves import colours_of, draw
from span_keras.errors import DataError
from span_keras.quiet import hushed


def _write(folder: Path, photos: list[Path], side: int, striped: float, seed: int, number: int) -> dict[Path, str]:
    """Draw and write one picture; returns the photographs that could not be read, with the reason."""
    rng = np.random.default_rng((seed, number))
    left_out: dict[Path, str] = {}
    while True:
        photo = photos[rng.integers(len(photos))]
        try:
            colours = colours_of(photo)
            break
        except DataError as error:
            left_out[photo] = str(error)
            photos = [path for path in photos if path != photo]
            if not photos:
                raise
    with atomic.replaced(folder / f"leaves-{number:05d}.png", ".png") as temporary:
        draw(rng, side, colours, striped).save(temporary)
    return left_out


def _share(context, parameter, value: float) -> float:
    if not 0 <= value <= 1:  # also no number at all, which click.FloatRange lets pass
        raise click.BadParameter(f"expected a share from 0 to 1, found {value:g}.")
    return value


@click.command(context_settings=CONTEXT)
@click.option("--out", "-o", required=True, type=click.Path(file_okay=False, path_type=Path), help="Folder to write.")
@click.option("--count", type=click.IntRange(1, 99999), default=200, show_default=True, help="Number of pictures.")
@click.option("--size", type=click.IntRange(32, 4096), default=512, show_default=True, help="Their side in pixels.")
@click.option("--data", metavar="DIR", help="Photographs to take colours from [a small bundled set].")
@click.option(
    "--striped",
    type=float,
    callback=_share,
    default=0.0,
    show_default=True,
    metavar="S",
    help="Share of the larger shapes that have stripes, 0 to 1.",
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Other seeds draw other pictures.")
@reports_errors
def main(out: Path, count: int, size: int, data: str | None, striped: float, seed: int) -> None:
    """Draw pictures of overlapping shapes to train on beside photographs.

    The PNG files go to OUT, which is best a subfolder of what span-train's --data names. The same options and
    photographs give the same pictures; a larger --count adds to them, a smaller one deletes none.
    """
    with hushed():  # it brings a backend along
        from span_keras.data.photos import BUNDLED_TRAIN, list_photos
    # Pictures drawn before must lend no colours, or the second call would draw others.
    source = data or BUNDLED_TRAIN
    photos = [path for path in list_photos(source) if not re.fullmatch(r"leaves-\d{5}\.png", path.name)]
    if not photos:
        raise DataError(f"Expected photographs in {source} to take colours from, found only pictures drawn before.")
    try:
        out.mkdir(parents=True, exist_ok=True)
        with ProcessPoolExecutor() as pool:
            left_out = list(pool.map(partial(_write, out, photos, size, striped, seed), range(count)))
    except OSError as error:
        raise DataError(f"Expected to write pictures to {out}, found: {error.strerror or error}.") from error
    for reason in dict(item for found in left_out for item in found.items()).values():
        click.echo(f"Left out: {reason}", err=True)
    click.echo(f"Wrote {count} pictures of {size}×{size} pixels to {out}.")


if __name__ == "__main__":
    main()
