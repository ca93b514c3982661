"""Plan a batch of image files, and work through it. Imports no backend."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from span_keras.errors import ImageError, SpanError
from span_keras.images.folders import image_files
from span_keras.images.formats import READABLE, WRITABLE


def plan(inputs: Iterable[Path], out: Path, suffix: str | None = None) -> list[tuple[Path, Path]]:
    """Return what to make of what: ``[(source, target)]``.

    Args:
        inputs: files, and folders of which every image is taken, in subfolders too; without ``suffix``, only images of
            formats that are written.
        out: the file to write if there is one input file and this has an image suffix; else a folder, in which names
            (and for input folders the subfolders) stay.
        suffix: of the targets in a folder, such as ``".png"``; None keeps each source's.

    Raises:
        ImageError: an input folder holds no images, two sources would become one target, a target is its source, or
            ``out`` is called like an image where it has to be a folder, or like a file of another kind.
    """
    inputs = list(inputs)
    one_file = len(inputs) == 1 and not inputs[0].is_dir()
    is_image = out.suffix.lower() in WRITABLE
    if is_image and not one_file and not out.is_dir():
        raise ImageError(f"{out} names one image, but the inputs may become several; name a folder.")
    if one_file and out.suffix and not is_image and not out.is_dir():
        raise ImageError(
            f"the output {out} should be a folder or end in one of {', '.join(WRITABLE)}, found {out.suffix!r}; "
            "name one of these, or make the folder first."
        )
    if one_file and is_image and not out.is_dir():
        if suffix and WRITABLE[out.suffix.lower()] != WRITABLE[suffix]:
            raise ImageError(f"{out} ends otherwise than the format asked for, {suffix[1:]}; leave --format out.")
        pairs = [(inputs[0], out)]
    else:
        sources = []
        for path in inputs:
            if not path.is_dir():
                sources.append((path, Path(path.name)))
                continue
            # What is read but not written needs a format to become.
            found = image_files(path, suffixes=READABLE if suffix else WRITABLE)
            results = out.resolve()
            if path.resolve() in results.parents:  # results of before are not enlarged once more
                found = [p for p in found if results not in p.resolve().parents]
            if not found:
                raise ImageError(f"{path} holds no images to upscale; expected some of {', '.join(WRITABLE)}.")
            sources += [(p, p.relative_to(path)) for p in found]
        pairs = [(path, out / (name.with_suffix(suffix) if suffix else name)) for path, name in sources]
    taken = {}
    for source, target in dict.fromkeys(pairs):
        if target in taken:
            raise ImageError(f"{taken[target]} and {source} would both become {target}; upscale them one by one.")
        if target.resolve() == source.resolve():
            raise ImageError(f"{source} would be overwritten by its own result; choose another output.")
        taken[target] = source
    return [(source, target) for target, source in taken.items()]


def work_through(
    pairs: Iterable[tuple[Path, Path]],
    work: Callable[[int, Path, Path], None],
    on_error: Callable[[SpanError], None],
) -> int:
    """Make each target of its source, in its folder, which is made if need be.

    Args:
        pairs: ``[(source, target)]``, see ``plan``.
        work: makes one target, called with its number from 1, source and target.
        on_error: told of each that fails; the others are made.

    Returns:
        How many failed.
    """
    failed = 0
    for number, (source, target) in enumerate(pairs, 1):
        try:
            _check_suffix(source, target)
            _make_folder(target.parent)
            work(number, source, target)
        except SpanError as error:
            failed += 1
            on_error(error)
    return failed


def _check_suffix(source: Path, target: Path) -> None:
    """Refuse a target in a folder that has its source's name, if that tells no format."""
    if target.suffix.lower() not in WRITABLE:
        raise ImageError(
            f"{source} should end in one of {', '.join(WRITABLE)}, so that its result {target} tells its format, found "
            f"{target.suffix or 'no suffix'!r}; rename it, or pass --format png."
        )


def _make_folder(folder: Path) -> None:
    """Make a folder for results, with a sentence if it cannot be made."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ImageError(f"the folder {folder} cannot be made ({error.strerror}); choose another output.") from error
