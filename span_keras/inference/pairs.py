"""Find the HR images of a folder and the LR images that belong to them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from span_keras.errors import DataError
from span_keras.images.folders import image_files
from span_keras.images.formats import NAMES

_ENDING = re.compile(r"([_-]?x[2-8]|_srf_[2-8])?([_-](hr|lr))?$", re.IGNORECASE)

_SURE_ENDING = re.compile(r"([_-]x[2-8]|_srf_[2-8])?([_-](hr|lr))?$", re.IGNORECASE)
"""Without those that names may have for other reasons, such as box2."""


def find_pairs(data: str | Path) -> list[tuple[Path, Path | None]]:
    """Find the images to measure as ``(HR path, LR path)``, sorted by name; LR is None where it has to be made.

    ``data`` holds the folders ``HR`` and ``LR``, or a folder ``HR``, or HR images. An LR image has the same name
    as its HR image, whatever its format; if not all have, endings as in ``img_001x4``, ``img_001_LR``
    and ``img_001_SRF_4_HR`` do not count, first of LR images alone, then of both. The HR image ``box2``
    always goes by its full name.

    Raises:
        DataError: there are no images, or one kind has images that the other lacks.
    """
    data = Path(data)
    hr_folder = data / "HR" if (data / "HR").is_dir() else data
    hr = _images(hr_folder)
    if not hr:
        raise DataError(f"{hr_folder} holds no {NAMES} images; expected HR images in it.")
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
    return sorted(image_files(folder, recursive=False), key=lambda path: (path.stem, path.suffix))


def _partner(path: Path, plain: dict[str, list[Path]], bare: dict[str, list[Path]]) -> Path | None:
    """Return the HR image of an LR image, of all by their names and by these without their endings."""
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
