"""Find the LR image that belongs to each HR image, by their names."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from span_keras.errors import DataError
from span_keras.images.formats import listed

MAX_LISTED = 5
"""Names of a list that a message shows."""

_SCALE = "x[2-8]([md]|w[1-4]?)?"
"""Of DIV2K with its mild, difficult and wild LR images, of the last of which an HR image has four."""

_KIND = "[_-](hr|gt|lq|lr([2-8]|b[id]|dn)?)([_-]x[2-8])?"
"""Of BasicSR, RealSR (``LR4``) and RCAN (``LRBI_x4``; bicubic, blurred, or with noise)."""

_PART = r"(?=(_s\d+)?$)"
"""What follows an ending: nothing, or the number of a sub-image, which counts."""

_ENDING = re.compile(f"([_-]?{_SCALE}|_srf_[2-8])?({_KIND})?{_PART}", re.IGNORECASE)

_SURE_ENDING = re.compile(f"([_-]{_SCALE}|_srf_[2-8])?({_KIND})?{_PART}", re.IGNORECASE)
"""Without those that names may have for other reasons, such as box2."""

_NO_ENDING = re.compile("$")


class _Match(NamedTuple):
    """HR path -> LR path, and the images of both kinds that have no partner."""

    found: dict[Path, Path]
    lacking: list[Path]
    alone: list[Path]

    @property
    def is_whole(self) -> bool:
        """Whether every image has its partner."""
        return not (self.lacking or self.alone)


def pair_by_name(hr: Sequence[Path], lr: Sequence[Path], hr_folder: Path, lr_folder: Path) -> dict[Path, Path]:
    """Return HR path -> LR path, in the order of ``hr``.

    A name is that of the file and of the subfolders above it; its format does not count. An LR image has the same name
    as its HR image; if not all have, endings do not count, first of LR images alone, then of both, and neither does the
    case of letters where nothing else is left. Endings are those of ``img_001x4``, ``img_001x4m``, ``img_001_LR``,
    ``img_001_lq``, ``img_001_LR4``, ``img_001_LRBI_x4`` and ``img_001_SRF_4_HR``; the number of a sub-image,
    ``img_001x4_s001``, stays. The HR image ``box2`` always goes by its full name.

    Args:
        hr, lr: the images of each kind.
        hr_folder, lr_folder: what their subfolders are counted from.

    Raises:
        DataError: one kind has images that the other lacks, or two images are alike.
    """
    match = _match(hr, lr, hr_folder, lr_folder)
    if match.is_whole:
        return {path: match.found[path] for path in hr}
    lists = [f"HR without LR: {_listed(match.lacking, hr_folder)}"] if match.lacking else []
    lists += [f"LR without HR: {_listed(match.alone, lr_folder)}"] if match.alone else []
    what_to_do = "name partners alike, and take out images without a partner"
    if fitting := _fitting_subfolders(hr, lr, hr_folder, lr_folder):
        what_to_do = f"give {listed(map(str, fitting), 'or')} instead of {lr_folder}"
    elif _fits(lr, hr, lr_folder, hr_folder):
        what_to_do = "the two folders seem to be swapped"
    raise DataError(
        f"the images in {hr_folder} and {lr_folder} must match by name, found {'; '.join(lists)}; {what_to_do}."
    )


def _fitting_subfolders(hr: Sequence[Path], lr: Sequence[Path], hr_folder: Path, lr_folder: Path) -> list[Path]:
    """Find the folders below that of the LR images in which each HR image has its partner, and nothing else is."""
    below = defaultdict(list)
    for path in lr:
        for folder in path.relative_to(lr_folder).parents[:-1]:
            below[lr_folder / folder].append(path)
    return [folder for folder, files in sorted(below.items()) if _fits(hr, files, hr_folder, folder)]


def _fits(hr: Sequence[Path], lr: Sequence[Path], hr_folder: Path, lr_folder: Path) -> bool:
    """Return whether every image has its partner; see ``pair_by_name``."""
    with suppress(DataError):  # two images are alike
        return len(hr) == len(lr) and _match(hr, lr, hr_folder, lr_folder).is_whole
    return False


def _match(hr: Sequence[Path], lr: Sequence[Path], hr_folder: Path, lr_folder: Path) -> _Match:
    """Match what can be matched; see ``pair_by_name``.

    Raises:
        DataError: two images are alike.
    """
    names = {path: _name(path, folder) for paths, folder in ((hr, hr_folder), (lr, lr_folder)) for path in paths}
    if [names[path] for path in hr] == [names[path] for path in lr]:
        return _Match(dict(zip(hr, lr, strict=True)), [], [])
    tables = [
        _by_name(hr, names, ending, fold) for fold in (str, str.casefold) for ending in (_NO_ENDING, _SURE_ENDING)
    ]
    found: dict[Path, Path] = {}
    alone = []
    for path in lr:
        if not (partner := _partner(names[path], tables)):
            alone.append(path)
        elif partner in found:
            raise DataError(f"{found[partner]} and {path} both count as the LR image of {partner}; keep one of them.")
        else:
            found[partner] = path
    return _Match(found, [path for path in hr if path not in found], alone)


def _name(path: Path, folder: Path) -> str:
    return path.relative_to(folder).with_suffix("").as_posix()


def _by_name(paths: Sequence[Path], names: dict, ending: re.Pattern, fold: Callable) -> dict[str, list[Path]]:
    found: dict[str, list[Path]] = {}
    for path in paths:
        found.setdefault(fold(ending.sub("", names[path])), []).append(path)
    return found


def _partner(name: str, tables: Sequence[dict[str, list[Path]]]) -> Path | None:
    """Return the HR image of an LR image.

    Args:
        name: of the LR image.
        tables: HR images by their names, by these without endings, and both with the case of letters folded.
    """
    short, cautious = _ENDING.sub("", name), _SURE_ENDING.sub("", name)
    plain, bare, *folded = tables
    tries = [(plain, (short, name)), (bare, (short, cautious))]
    tries += [(table, [word.casefold() for word in words]) for table, (_, words) in zip(folded, tries, strict=True)]
    for known, words in tries:
        for word in words:
            if len(found := known.get(word, ())) > 1:
                raise DataError(f"{found[0]} and {found[1]} both count as image {word!r}; keep one of them.")
            if found:
                return found[0]
    return None


def _listed(paths: Iterable[Path], folder: Path) -> str:
    names = [path.relative_to(folder).as_posix() for path in paths]
    more = len(names) - MAX_LISTED
    return ", ".join(names[:MAX_LISTED]) + (f" and {more} more" if more > 0 else "")
