"""``python -m span_keras.evaluate``: PSNR and SSIM of a network on a folder of images."""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import click

from span_keras.cli import CONTEXT, hushed, reports_errors, tell_assumed, weights_options
from span_keras.errors import DataError, ImageError

FIGURES = ("psnr_y", "ssim_y", "psnr_rgb")
_ENDING = re.compile(r"([_-]?x[2-8]|_srf_[2-8])?([_-](hr|lr))?$", re.IGNORECASE)
_SURE_ENDING = re.compile(r"([_-]x[2-8]|_srf_[2-8])?([_-](hr|lr))?$", re.IGNORECASE)
"""Without those that names may have for other reasons, such as box2."""


def find_pairs(data: str | Path) -> list[tuple[Path, Path | None]]:
    """The images to measure as ``(HR path, LR path)``, sorted by name; LR is None where it has to be made.

    ``data`` holds the folders ``HR`` and ``LR``, or a folder ``HR``, or HR images. An LR image is called as its HR
    image, whatever its format; if not all are, endings as in ``img_001x4``, ``img_001_LR`` and ``img_001_SRF_4_HR`` do
    not count, first of LR images alone, then of both. ``box2`` as an HR image is always called so in full.

    Raises:
        DataError: there are no images, or one kind has images that the other lacks.
    """
    data = Path(data)
    hr_folder = data / "HR" if (data / "HR").is_dir() else data
    hr = _images(hr_folder)
    if not hr:
        raise DataError(f"{hr_folder} holds no PNG, JPEG, WebP, TIFF or BMP images; expected HR images in it.")
    if not (data / "LR").is_dir():
        return [(path, None) for path in hr]
    lr = _images(data / "LR")
    if [path.stem for path in hr] == [path.stem for path in lr]:
        return list(zip(hr, lr, strict=True))
    plain, bare = _by_name(hr, re.compile("$")), _by_name(hr, _SURE_ENDING)
    pairs, alone = {}, []
    for path in lr:
        if not (partner := _partner(path, plain, bare)):
            alone.append(path)
        elif partner in pairs:
            raise DataError(f"{pairs[partner]} and {path} both count as the LR image of {partner}; keep one of them.")
        else:
            pairs[partner] = path
    lacking = [path for path in hr if path not in pairs]
    if lacking or alone:
        lists = [f"HR without LR: {_names(lacking)}"] if lacking else []
        lists += [f"LR without HR: {_names(alone)}"] if alone else []
        raise DataError(f"the images in {data}/HR and {data}/LR must match by name, found {'; '.join(lists)}.")
    return [(path, pairs[path]) for path in hr]


def _images(folder: Path) -> list[Path]:
    from span_keras.imageio import FORMATS

    found = [path for path in folder.iterdir() if path.suffix.lower() in FORMATS and not path.name.startswith(".")]
    return sorted((path for path in found if path.is_file()), key=lambda path: (path.stem, path.suffix))


def _partner(path: Path, plain: dict[str, list[Path]], bare: dict[str, list[Path]]) -> Path | None:
    """The HR image of an LR image, of all by their names and by these without their endings."""
    short, cautious = _ENDING.sub("", path.stem), _SURE_ENDING.sub("", path.stem)
    for known, names in ((plain, (short, path.stem)), (bare, (short, cautious))):
        for name in names:
            if len(found := known.get(name, ())) > 1:
                raise DataError(f"{found[0]} and {found[1]} both count as image {name!r}; keep one of them.")
            if found:
                return found[0]
    return None


def _by_name(paths: list[Path], ending: re.Pattern) -> dict[str, list[Path]]:
    found: dict[str, list[Path]] = {}
    for path in paths:
        found.setdefault(ending.sub("", path.stem), []).append(path)
    return found


def _names(paths: Iterable[Path], most: int = 5) -> str:
    names = [path.name for path in paths]
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def evaluate(
    upscale: Callable,
    scale: int,
    data: str | Path | Sequence[tuple[Path, Path | None]],
    on_image: Callable[[dict], None] = lambda figures: None,
    measure: Callable[..., dict] | None = None,
) -> dict:
    """Measure an upscaler on a folder of images; conventions as in ``span_keras.metrics``, shave = scale.

    HR images are cut to multiples of the scale. Missing LR images are made from them by ``bicubic.downscale`` on uint8.

    Args:
        upscale: (H, W, 3) float32 RGB in [0, 1] -> (H·scale, W·scale, 3); an ``inference.Upscaler`` or any function.
        scale: its factor.
        data: the folder, or what ``find_pairs`` found in it.
        on_image: called with every entry of ``per_image`` as it is made.
        measure: ``(sr, hr, shave)`` -> figures, ``metrics.evaluate_pair`` or something that adds figures to its.

    Returns:
        ``{"scale", "images", "psnr_y", "ssim_y", "psnr_rgb", "lr", "per_image"}``: the figures are means over images,
        ``lr`` is ``"given"`` or ``"bicubic"``, ``per_image`` holds ``{"name", "psnr_y", "ssim_y", "psnr_rgb"}`` each.
        What ``measure`` adds stands beside these figures.

    Raises:
        DataError: see ``find_pairs``; or an LR image has not its HR image's size divided by the scale.
        ImageError: an image cannot be decoded or is too small to measure; it is named.
    """
    from span_keras import bicubic
    from span_keras.imageio import read_image
    from span_keras.metrics import evaluate_pair, modcrop

    pairs = find_pairs(data) if isinstance(data, str | Path) else data
    per_image = []
    for hr_path, lr_path in pairs:
        hr = bicubic.to_uint8(read_image(hr_path).pixels)
        cropped = modcrop(hr, scale)
        expected = (cropped.shape[0] // scale, cropped.shape[1] // scale)
        if 0 in expected:
            raise ImageError(f"{hr_path} is {hr.shape[1]}×{hr.shape[0]}, too small to be shrunk by {scale}.")
        if lr_path is None:
            lr = bicubic.downscale(cropped, scale).astype("float32") / 255
        else:
            lr = read_image(lr_path).pixels
            if lr.shape[:2] != expected:
                raise DataError(
                    f"{lr_path} should be {expected[1]}×{expected[0]}, {hr_path} divided by {scale} "
                    f"({hr.shape[1]}×{hr.shape[0]}), found {lr.shape[1]}×{lr.shape[0]}; "
                    f"check that its scale is {scale}."
                )
        try:
            figures = (measure or evaluate_pair)(upscale(lr), cropped, shave=scale)
        except ImageError as error:
            raise ImageError(f"{hr_path}: {error}") from error
        per_image.append({"name": hr_path.name, **{key: figures[key] for key in FIGURES}, **figures})
        on_image(per_image[-1])
    keys = [key for key in per_image[0] if key != "name"]
    return {
        "scale": scale,
        "images": len(per_image),
        **{key: math.fsum(figures[key] for figures in per_image) / len(per_image) for key in keys},
        "lr": "bicubic" if pairs[0][1] is None else "given",
        "per_image": per_image,
    }


@click.command(context_settings=CONTEXT)
@weights_options
@click.option(
    "--data",
    required=True,
    metavar="DIR",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder with HR/ and LR/, or with HR images alone: LR is then made by MATLAB-compatible bicubic shrinking.",
)
@click.option("--scale", type=click.IntRange(2, 4), help="Expected scale; weights of another scale are refused.")
@click.option("--tile", type=click.IntRange(1), metavar="N", help="Side of the tiles in LR pixels that bound memory.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a table.")
@reports_errors
def main(weights, variant, img_range, rgb_mean, data, scale, tile, as_json):
    """Measure PSNR and SSIM on Y and PSNR on RGB, uint8-rounded, with as many border pixels shaved as the scale."""
    from span_keras.checkpoints import load_weights

    pairs = find_pairs(data)
    with hushed():
        loaded = load_weights(weights, variant=variant, img_range=img_range, rgb_mean=rgb_mean)
    tell_assumed(loaded)
    if scale not in (None, loaded.config.scale):
        raise click.UsageError(f"{weights} upscales ×{loaded.config.scale}, but --scale asks for {scale}.")
    with hushed():
        from span_keras.inference import Upscaler

        upscaler = Upscaler(loaded, tile=tile)
    with click.progressbar(length=len(pairs), label="Evaluating", file=sys.stderr) as bar:
        result = evaluate(upscaler, upscaler.scale, pairs, on_image=lambda _: bar.update(1))
    result = {"weights": weights, **result}
    click.echo(json.dumps(_without_infinity(result), indent=2) if as_json else _table(result))


def _without_infinity(value):
    """JSON knows no infinity: the PSNR of equal images becomes null."""
    if isinstance(value, dict):
        return {key: _without_infinity(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_infinity(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _table(result: dict) -> str:
    width = max(4, *(len(figures["name"]) for figures in result["per_image"]))
    line = "{name:{width}}  {psnr_y:8.3f}  {ssim_y:7.4f}  {psnr_rgb:8.3f}".format
    mean = {"name": "mean", **{key: result[key] for key in FIGURES}}
    made = "LR made by MATLAB-compatible bicubic shrinking" if result["lr"] == "bicubic" else "LR as given"
    return "\n".join(
        [
            f"{'image':{width}}  {'PSNR-Y':>8}  {'SSIM-Y':>7}  {'PSNR-RGB':>8}",
            *(line(width=width, **figures) for figures in [*result["per_image"], mean]),
            f"{result['weights']}, ×{result['scale']}, {result['images']} images, {made}, shave {result['scale']}",
        ]
    )


if __name__ == "__main__":
    main()
