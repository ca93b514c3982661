"""Plan a batch of image files, so that every file of every input is accounted for. Imports no backend."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path, PurePath

from span_keras.errors import ImageError, TargetExistsError
from span_keras.images.folders import Survey, survey
from span_keras.images.formats import FORMATS, READABLE, WRITABLE, result_suffix
from span_keras.images.kinds import kind_of
from span_keras.images.source import head_of
from span_keras.inference.job import Job, Options, Outcome

DEFAULTS = Options()

AUTO = "auto"
"""The suffix that stands for that of the source, or of the next format that holds the result."""


Pair = tuple[PurePath, PurePath, bool]
"""A source, its target, and whether this may take another suffix, see ``Job.adapt``."""


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
    settle(pairs, options, found, results)
    if not found.jobs and not found.settled and among is None:
        names = ", ".join(map(str, inputs))
        raise ImageError(f"{names} holds no images to upscale; expected some of {', '.join(READABLE)}.")
    return found


def settle(pairs: Iterable[Pair], options: Options, found: Plan, results: Collection[Path] = ()) -> None:
    """Plan a job of each pair whose target is its own alone, and settle what becomes of the others.

    Args:
        pairs: see ``Pair``.
        options: of every job.
        found: what is added to.
        results: files that are no sources, since they are results of before.
    """
    taken = {}
    for source, target, adapt in dict.fromkeys(pairs):
        if results and source.resolve() in results:  # those of before are not enlarged once more
            found.settled.append(
                Outcome(str(source), status="kept", reason=f"{source} is a result of before, and is kept.")
            )
        elif target in taken:
            reason = f"{taken[target]} and {source} would both become {target}; upscale {source} into another folder."
            found.fail(source, reason)
        elif _place(target) == _place(source):
            found.fail(source, f"{source} would be overwritten by its own result; choose another output.")
        elif target.suffix.lower() not in WRITABLE:
            found.fail(
                source,
                f"{source} should end in one of {', '.join(READABLE)}, so that its result {target} tells its format, "
                f"found {target.suffix or 'no suffix'!r}; rename it, or pass --format png.",
            )
        else:
            taken[target] = source
            try:
                exists = not options.overwrite and target.exists()
            except OSError as error:  # such as a name that became too long
                found.fail(source, f"{target} cannot be written ({error.strerror}); choose another output.")
                continue
            if exists:
                found.settled.append(kept(source, target))
            else:
                found.jobs.append(Job(source, target, options, adapt))


def _place(path: PurePath) -> PurePath:
    """Return where a file lies, links followed; in a store, its address."""
    return path.resolve() if isinstance(path, Path) else path


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


def _in_folder(path: Path, out: Path | None, suffix: str | None, label: str, among, found: Plan) -> list[Pair]:
    """Return the pairs of an input whose results lie in a folder; settle what is none."""
    if not path.is_dir():
        source, target, adapt = pair_of(path, out or path.parent, Path(path.name), suffix)
        return [(source, target if out else target.with_name(f"{target.stem}{label}{target.suffix}"), adapt)]
    full = path.resolve()
    results = out if out is not None else full.with_name(f"{full.name}{label}")
    seen = survey(path, without=results if isinstance(results, Path) else None, among=among)
    return sort_out(path, seen, results, suffix, found, complete=among is None)


def sort_out(
    path: PurePath,
    seen: Survey,
    results: PurePath,
    suffix: str | None,
    found: Plan,
    head: Callable[[PurePath], bytes] = head_of,
    complete: bool = True,
) -> list[Pair]:
    """Return the pairs of a folder or store; settle what is no image that is read.

    Args:
        path: its name.
        seen: what is in it.
        results: where results go.
        suffix: see ``plan``.
        found: what is added to.
        head: returns the first bytes of a file.
        complete: whether all of it was seen, so that none at all is a failure.
    """
    for folder, reason in seen.locked:
        found.fail(folder, f"the folder {folder} {reason}.")
    for source, reason in seen.unread:
        found.settled.append(Outcome(str(source), status="skipped", reason=f"{source} {reason}."))
    if seen:
        found.remarks.append(f"{path}: passed over what is no picture: {seen.remark}.")
    sources = sorted(seen.images + seen.unnamed)
    if complete and not sources and not seen.locked and not seen.unread:
        found.fail(path, f"{path} holds no images to upscale; expected some of {', '.join(READABLE)}.")
    return [pair_of(p, results, p.relative_to(path), suffix, head) for p in sources]


def pair_of(
    source: PurePath, results: PurePath, name: PurePath, suffix: str | None, head: Callable[[PurePath], bytes] = head_of
) -> Pair:
    """Return the pair of a file whose result lies in a folder.

    Args:
        source: the file.
        results: the folder.
        name: what the file is called in it, but for the suffix.
        suffix: see ``plan``.
        head: returns the first bytes of a file.
    """
    return source, results / _renamed(source, name, suffix, head), _adapts(source, suffix)


def _renamed(source: PurePath, name: PurePath, suffix: str | None, head: Callable[[PurePath], bytes]) -> PurePath:
    """Return the name of a result: with the suffix asked for, else with that of its source or what this becomes."""
    known = name.suffix.lower() in READABLE
    if suffix == AUTO and not known and (kind := kind_of(head(source))) and kind.format:
        form = next(form for form in FORMATS if form.name == kind.format)
        suffix = form.suffixes[0] if form.written else form.becomes
    if suffix in (None, AUTO):
        return name.with_suffix(result_suffix(name)) if known else name
    return name.with_suffix(suffix) if known else name.with_name(name.name + suffix)


def _adapts(source: PurePath, suffix: str | None) -> bool:
    """Return whether nobody chose the format of the result, neither by a suffix nor by the source's own."""
    return suffix == AUTO or (suffix is None and result_suffix(source) != source.suffix)
