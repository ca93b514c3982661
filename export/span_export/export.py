"""What ``span-export`` writes: a TF.js folder with all that belongs to it, and files for other runtimes."""

from __future__ import annotations

import contextlib
import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

from span_export import metadata, page, quantize
from span_export.publish import publish, publish_file
from span_export.targets import TARGETS, Target, WriteOptions
from span_export.tfjs_model import write_model, write_perceptual
from span_keras.checkpoints import READERS
from span_keras.errors import ExportError
from span_keras.network.weights import SpanWeights


def export_model(
    weights: SpanWeights,
    folder: str | Path | None = None,
    number_format: str | None = None,
    *,
    files: Mapping[str, str | Path] | None = None,
    fixed_size: tuple[int, int] | None = None,
    also: Sequence[SpanWeights] = (),
    demo: bool = False,
    perceptual: bool = False,
    overwrite: bool = False,
    check: Callable[[list[Path], list[dict]], None] = lambda places, results: None,
) -> list[dict]:
    """Write a TF.js folder, files for other runtimes, or both; each appears whole, and none if one cannot be written.

    The folder holds:

    ========================  ====================================================================================
    ``model.json``, ``.bin``  the network, see ``tfjs_model.write_model``
    ``models/NAME/``          the same for every network of ``also``
    ``models.json``           ``{"models": [{"name", "title", "url", "scale", "channels", "variant", "bytes"}]}``; the
                              first is the main one, ``title`` is of bundled ones; written if there is a page or a
                              further network
    ``perceptual/``           with ``perceptual``: see ``tfjs_model.write_perceptual``
    the rest                  with ``demo``: the page
    ========================  ====================================================================================

    Args:
        weights: any form; they are fused first.
        folder: created; an earlier export there is replaced, see ``publish.publish``. None for files alone.
        number_format: one of ``quantize.NUMBER_FORMATS``; ``None`` takes float16 in the folder where that loses
            nothing, and ``"none"`` otherwise.
        files: path by name of ``targets.TARGETS``. A file inside ``folder`` becomes part of the export.
        fixed_size: (height, width) of the input of files that can have one.
        also: further networks of the folder, each under the name of its source, numbered where it is taken.
        overwrite: accept a folder that holds other files.
        check: called with the temporary places of everything, and with what is returned; if it raises, ``folder`` and
            ``files`` stay as they were.

    Returns:
        For every network of the folder, the main one first, what ``tfjs_model.write_model`` returns, ``name``, ``url``
        (of its ``model.json``, relative to ``folder``) and ``path``. For every file then ``{"name", "path", "bytes",
        "number_format", "scale", "channels", "variant"}``.

    Raises:
        ExportError: see ``tfjs_model.write_model``, ``publish``, ``page.copy_page`` and ``targets.Target.check``.
    """
    if not folder and not files:
        raise ExportError("expected a folder or a file to write, found neither; name one.")
    paths = {TARGETS[name]: Path(path) for name, path in (files or {}).items()}
    for target, path in paths.items():
        target.check(path, number_format, fixed_size)
    places, results = [], []
    with contextlib.ExitStack() as stack:
        staged = None
        if folder:
            staged = stack.enter_context(publish(Path(folder), overwrite))
            results += _write_folder(staged, weights, number_format, also, demo, perceptual)
            places += [staged / result["url"] for result in results]
            results = [{**result, "path": Path(folder) / result["url"]} for result in results]
        for target, path in paths.items():
            place = _place_inside(path, Path(folder), staged) if staged else None
            place = place or stack.enter_context(publish_file(path))
            results.append({**_write_file(target, place, weights, number_format, fixed_size), "path": path})
            places.append(place)
        check(places, results)
    return results


def _place_inside(path: Path, folder: Path, staged: Path) -> Path | None:
    """Return where a file of ``folder`` lies while that is ``staged``; None for a file elsewhere."""
    path, folder = path.resolve(), folder.resolve()
    if not path.is_relative_to(folder):
        return None
    place = staged / path.relative_to(folder)
    place.parent.mkdir(parents=True, exist_ok=True)
    return place


def _write_folder(staged: Path, weights, number_format, also, demo: bool, perceptual: bool) -> list[dict]:
    networks: dict[str, SpanWeights] = {}
    for each in (weights, *also):
        name = network_name(each)
        numbered = (f"{name}-{number}" for number in itertools.count(2))
        networks[next(n for n in itertools.chain([name], numbered) if n not in networks)] = each
    results = []
    if demo:
        page.copy_page(staged)
    for name, network in networks.items():
        place = Path() if network is weights else Path("models") / name
        result = write_model(network, staged / place, number_format)
        title = {"title": title_of(network.source)} if network.source.startswith("bundled:") else {}
        results.append({"name": name, **title, "url": (place / "model.json").as_posix(), **result})
    if perceptual:
        write_perceptual(staged / "perceptual")
    if demo or also:
        listed = ("name", "title", "url", "scale", "channels", "variant", "bytes")
        models = [{key: result[key] for key in listed if key in result} for result in results]
        models = [model | {"url": quote(model["url"])} for model in models]
        (staged / "models.json").write_text(json.dumps({"models": models}, indent=1) + "\n")
    return results


def _write_file(target: Target, place: Path, weights: SpanWeights, number_format, fixed_size) -> dict:
    fused = weights.fuse()
    metadata.require_finite(fused)
    number_format = quantize.resolve(number_format or target.number_formats[0], fused)
    target.implementation().write(fused, place, WriteOptions(number_format, fixed_size))
    config = fused.config
    return {
        "name": target.name,
        "bytes": place.stat().st_size,
        "number_format": number_format,
        "scale": config.scale,
        "channels": config.channels,
        "variant": config.variant,
    }


def title_of(source: str) -> str:
    """Return what the page calls a bundled network.

    Example:
        >>> title_of("bundled:x4-photo"), title_of("bundled:x2")
        ('Photo ×4', 'Faithful ×2')
    """
    factor, _, kind = source.removeprefix("bundled:x").partition("-")
    return f"{kind.capitalize() or 'Faithful'} ×{factor}"


def network_name(weights: SpanWeights) -> str:
    """Return a short name, also of a folder: ``bundled:x4`` -> ``x4``, ``runs/a/best.weights.h5`` -> ``best``.

    The ``model.json`` of an exported folder is called as the folder.
    """
    path = Path(weights.source.removeprefix("bundled:"))
    if path.name == "model.json":
        return path.resolve().parent.name or "model"
    suffix = next((s for s in READERS if path.name.lower().endswith(s)), "")
    return path.name[: len(path.name) - len(suffix)] or "model"
