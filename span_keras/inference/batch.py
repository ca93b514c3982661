"""Plan a batch of image files, so that every file of every input is accounted for. Imports no backend."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from span_keras.errors import ImageError, TargetExistsError
from span_keras.images.folders import survey
from span_keras.images.formats import FORMATS, READABLE, WRITABLE, result_suffix
from span_keras.images.kinds import kind_of
from span_keras.images.source import head_of
from span_keras.inference.job import Job, Options, Outcome

DEFAULTS = Options()

AUTO = "auto"
"""The suffix that stands for that of the source, or of the next format that holds the result."""


@dataclass
class Plan:
    """Say what to do with every file.

    Attributes:
        jobs: the images to make, no two of which have one target.
        settled: what has become of the others.
        remarks: sentences that count files which are no pictures.
    """

    jobs: list[Job] = field(default_factory=list)
    settled: list[Outcome] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    def fail(self, source: Path, reason: str) -> None:
        """Settle that a file, or a folder, fails."""
        self.settled.append(Outcome(str(source), status="failed", reason=reason))


def plan(
    inputs: Iterable[Path],
    out: Path | None = None,
    suffix: str | None = None,
    options: Options = DEFAULTS,
    label: str = "_upscaled",
    among: Collection[Path] | None = None,
) -> Plan:
    """Decide what to make of what.

    Args:
        inputs: files, and folders of which every image is taken, in subfolders too.
        out: the file to write if there is one input file and this has an image suffix; else a folder, in which names
            (and for input folders the subfolders) stay. None writes beside each file, under a name with the label, and
            for each folder into one beside it, whose name has the label.
        suffix: of the targets in a folder, such as ``".png"``, or ``AUTO``; None keeps each source's where its format
            is written.
        options: of every job.
        label: see ``out``.
        among: plan these files and folders alone, which are inside the folders among the inputs.

    Raises:
        ImageError: ``out`` is called like an image where it has to be a folder, or like a file of another kind; or
            there is nothing to do, and nothing failed, unless ``among`` says what to look at.
    """
    inputs, found = list(inputs), Plan()
    one_file = len(inputs) == 1 and not inputs[0].is_dir()
    if out is not None and _names_a_file(out, one_file, suffix):
        pairs = [(inputs[0], out, suffix == AUTO)]
    else:
        pairs = [pair for path in inputs for pair in _in_folder(path, out, suffix, label, among, found)]
    results = {target.resolve() for _, target, _ in pairs} if out is None else set()
    taken = {}
    for source, target, adapt in dict.fromkeys(pairs):
        if source.resolve() in results:  # those of before are not enlarged once more
            found.settled.append(
                Outcome(str(source), status="kept", reason=f"{source} is a result of before, and is kept.")
            )
        elif target in taken:
            found.fail(source, f"{taken[target]} and {source} would both become {target}; upscale {source} by itself.")
        elif target.resolve() == source.resolve():
            found.fail(source, f"{source} would be overwritten by its own result; choose another output.")
        elif target.suffix.lower() not in WRITABLE:
            found.fail(
                source,
                f"{source} should end in one of {', '.join(READABLE)}, so that its result {target} tells its format, "
                f"found {target.suffix or 'no suffix'!r}; rename it, or pass --format png.",
            )
        else:
            taken[target] = source
            if target.exists() and not options.overwrite:
                found.settled.append(kept(source, target))
            else:
                found.jobs.append(Job(source, target, options, adapt))
    if not found.jobs and not found.settled and among is None:
        names = ", ".join(map(str, inputs))
        raise ImageError(f"{names} holds no images to upscale; expected some of {', '.join(READABLE)}.")
    return found


def kept(source, target) -> Outcome:
    """Return that a target exists, which nobody may replace."""
    return Outcome(str(source), str(target), "kept", reason=str(TargetExistsError(target)))


def _names_a_file(out: Path, one_file: bool, suffix: str | None) -> bool:
    """Return whether ``out`` names the one file to write, rather than a folder."""
    is_image = out.suffix.lower() in WRITABLE
    if is_image and not one_file and not out.is_dir():
        raise ImageError(f"{out} names one image, but the inputs may become several; name a folder.")
    if one_file and out.suffix and not is_image and not out.is_dir():
        raise ImageError(
            f"the output {out} should be a folder or end in one of {', '.join(WRITABLE)}, found {out.suffix!r}; "
            "name one of these, or make the folder first."
        )
    if not (one_file and is_image) or out.is_dir():
        return False
    if suffix not in (None, AUTO) and WRITABLE[out.suffix.lower()] != WRITABLE[suffix]:
        raise ImageError(f"{out} ends otherwise than the format asked for, {suffix[1:]}; leave --format out.")
    return True


def _in_folder(path: Path, out: Path | None, suffix: str | None, label: str, among, found: Plan) -> list:
    """Return ``(source, target, adapt)`` of an input whose results lie in a folder; settle what is none."""
    if not path.is_dir():
        name = _renamed(path, Path(path.name), suffix)
        target = out / name if out is not None else path.with_name(f"{name.stem}{label}{name.suffix}")
        return [(path, target, _adapts(path, suffix))]
    full = path.resolve()
    results = out if out is not None else full.with_name(f"{full.name}{label}")
    seen = survey(path, without=results, among=among)
    for folder, reason in seen.locked:
        found.fail(folder, f"the folder {folder} {reason}.")
    for source, reason in seen.unread:
        found.settled.append(Outcome(str(source), status="skipped", reason=f"{source} {reason}."))
    if seen:
        found.remarks.append(f"{path}: passed over what is no picture: {seen.remark}.")
    sources = sorted(seen.images + seen.unnamed)
    if among is None and not sources and not seen.locked and not seen.unread:
        found.fail(path, f"{path} holds no images to upscale; expected some of {', '.join(READABLE)}.")
    return [(p, results / _renamed(p, p.relative_to(path), suffix), _adapts(p, suffix)) for p in sources]


def _renamed(source: Path, name: Path, suffix: str | None) -> Path:
    """Return the name of a result: with the suffix asked for, else with that of its source or what this becomes."""
    known = name.suffix.lower() in READABLE
    if suffix == AUTO and not known and (kind := kind_of(head_of(source))) and kind.format:
        form = next(form for form in FORMATS if form.name == kind.format)
        suffix = form.suffixes[0] if form.written else form.becomes
    if suffix in (None, AUTO):
        return name.with_suffix(result_suffix(name)) if known else name
    return name.with_suffix(suffix) if known else name.with_name(name.name + suffix)


def _adapts(source: Path, suffix: str | None) -> bool:
    """Return whether nobody chose the format of the result, neither by a suffix nor by the source's own."""
    return suffix == AUTO or (suffix is None and result_suffix(source) != source.suffix)
