"""``span-export --tfjs``: a folder with the model and, on request, further models, perceptual features and the page."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from urllib.parse import quote

from span_export import page
from span_export.publish import publish
from span_export.tfjs_model import write_model, write_perceptual
from span_keras.checkpoints import READERS
from span_keras.network.weights import SpanWeights


def export_model(
    weights: SpanWeights,
    folder: str | Path,
    quantization: str | None = None,
    *,
    also: Sequence[SpanWeights] = (),
    demo: bool = False,
    perceptual: bool = False,
    overwrite: bool = False,
    check: Callable[[Path, list[dict]], None] = lambda folder, results: None,
) -> list[dict]:
    """Write a folder with everything asked for, atomically.

    ========================  ====================================================================================
    ``model.json``, ``.bin``  the network, see ``tfjs_model.write_model``
    ``models/NAME/``          the same for every network of ``also``
    ``models.json``           ``{"models": [{"name", "url", "scale", "channels", "variant", "bytes"}]}``, the first is
                              the main one; written if there is a page or a further network
    ``perceptual/``           with ``perceptual``: see ``tfjs_model.write_perceptual``
    the rest                  with ``demo``: the page
    ========================  ====================================================================================

    Args:
        weights: any form; they are fused first.
        folder: created; an earlier export there is replaced, see ``publish.publish``.
        quantization: one of ``quantize.MODES``; ``None`` takes float16 where that loses nothing, else ``"none"``.
        also: further networks, each under the name of its source, numbered where it is taken.
        overwrite: accept a folder that holds other files.
        check: called with a temporary folder that holds all that was written, and with what is returned; if it raises,
            ``folder`` stays as it was.

    Returns:
        For every network, the main one first: what ``tfjs_model.write_model`` returns, ``name``, and ``url`` (of
        its ``model.json``, relative to ``folder``).

    Raises:
        ExportError: see ``tfjs_model.write_model``, ``publish.publish`` and ``page.copy_page``.
    """
    networks: dict[str, SpanWeights] = {}
    for each in (weights, *also):
        name = network_name(each)
        numbered = (f"{name}-{number}" for number in itertools.count(2))
        networks[next(n for n in itertools.chain([name], numbered) if n not in networks)] = each
    results = []
    with publish(Path(folder), overwrite) as staged:
        if demo:
            page.copy_page(staged)
        for name, network in networks.items():
            place = Path() if network is weights else Path("models") / name
            result = write_model(network, staged / place, quantization)
            results.append({"name": name, "url": (place / "model.json").as_posix(), **result})
        if perceptual:
            write_perceptual(staged / "perceptual")
        if demo or also:
            listed = ("name", "url", "scale", "channels", "variant", "bytes")
            models = [{key: result[key] for key in listed} for result in results]
            models = [model | {"url": quote(model["url"])} for model in models]
            (staged / "models.json").write_text(json.dumps({"models": models}, indent=1) + "\n")
        check(staged, results)
    return results


def network_name(weights: SpanWeights) -> str:
    """Return a short name, also of a folder: ``bundled:x4`` -> ``x4``, ``runs/a/best.weights.h5`` -> ``best``.

    The ``model.json`` of an exported folder is called as the folder.
    """
    path = Path(weights.source.removeprefix("bundled:"))
    if path.name == "model.json":
        return path.resolve().parent.name or "model"
    suffix = next((s for s in READERS if path.name.lower().endswith(s)), "")
    return path.name[: len(path.name) - len(suffix)] or "model"
