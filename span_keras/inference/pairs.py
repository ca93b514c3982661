"""Find the HR images of a folder and the LR images that belong to them."""

from __future__ import annotations

from pathlib import Path

from span_keras.errors import DataError
from span_keras.images.folders import image_files
from span_keras.images.formats import NAMES
from span_keras.images.pairing import pair_by_name


def find_pairs(data: str | Path) -> list[tuple[Path, Path | None]]:
    """Find the images to measure as ``(HR path, LR path)``, sorted by name; LR is None where it has to be made.

    ``data`` holds the folders ``HR`` and ``LR``, or a folder ``HR``, or HR images; ``images.pairing`` tells the names.

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
    return list(pair_by_name(hr, _images(data / "LR"), hr_folder, data / "LR").items())


def _images(folder: Path) -> list[Path]:
    return sorted(image_files(folder, recursive=False), key=lambda path: (path.stem, path.suffix))
