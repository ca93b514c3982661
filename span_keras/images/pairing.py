"""Find the LR image that belongs to each HR image, by their names."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from span_keras.errors import DataError

MAX_LISTED = 5
"""Names of a list that a message shows."""

_ENDING = re.compile(r"([_-]?x[2-8]|_srf_[2-8])?([_-](hr|lr))?$", re.IGNORECASE)

_SURE_ENDING = re.compile(r"([_-]x[2-8]|_srf_[2-8])?([_-](hr|lr))?$", re.IGNORECASE)
"""Without those that names may have for other reasons, such as box2."""

_NO_ENDING = re.compile("$")


def pair_by_name(hr: Sequence[Path], lr: Sequence[Path], hr_folder: Path, lr_folder: Path) -> dict[Path, Path]:
    """Return HR path -> LR path, in the order of ``hr``.

    A name is that of the file and of the subfolders above it; its format does not count. An LR image has the same name
    as its HR image; if not all have, endings as in ``img_001x4``, ``img_001_LR`` and ``img_001_SRF_4_HR`` do not
    count, first of LR images alone, then of both, and neither does the case of letters where nothing else is left. The
    HR image ``box2`` always goes by its full name.

    Args:
        hr, lr: the images of each kind.
        hr_folder, lr_folder: what their subfolders are counted from.

    Raises:
        DataError: one kind has images that the other lacks, or two images are alike.
    """
    names = {path: _name(path, folder) for paths, folder in ((hr, hr_folder), (lr, lr_folder)) for path in paths}
    if [names[path] for path in hr] == [names[path] for path in lr]:
        return dict(zip(hr, lr, strict=True))
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
    lacking = [path for path in hr if path not in found]
    if lacking or alone:
        lists = [f"HR without LR: {_listed(lacking, hr_folder)}"] if lacking else []
        lists += [f"LR without HR: {_listed(alone, lr_folder)}"] if alone else []
        raise DataError(f"the images in {hr_folder} and {lr_folder} must match by name, found {'; '.join(lists)}.")
    return {path: found[path] for path in hr}


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
