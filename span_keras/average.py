"""``python -m span_keras.average``: one network out of several that were trained on from the same start.

Fine-tuned in different ways, such networks lie close enough together that the mean of their weights computes about what
the mean of their outputs would, in the time of one ("Model soups", Wortsman et al., ICML 2022). Networks of different
starts, or long trained apart, do not, and their mean is worse than any of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import click
import numpy as np

from span_keras.cli import CONTEXT, hushed, reports_errors, tell_assumed
from span_keras.errors import CheckpointError
from span_keras.state import SpanWeights


def average(networks: Sequence[SpanWeights]) -> SpanWeights:
    """The mean of the fused weights.

    Args:
        networks: one or more of the same configuration, in either form.

    Returns:
        A network in deploy form, with what all agree about in their metadata, such as a licence.

    Raises:
        CheckpointError: there are none, or the configurations differ.
    """
    fused = [network.fuse() for network in networks]
    if not fused:
        raise CheckpointError("expected networks to average, found none.")
    first = fused[0]
    for other in fused[1:]:
        ours, theirs = first.config.to_dict(), other.config.to_dict()
        if differ := [name for name in ours if ours[name] != theirs[name]]:
            a, b = (", ".join(f"{name} {values[name]}" for name in differ) for values in (ours, theirs))
            raise CheckpointError(
                f"expected networks alike, found {first.source} with {a} and {other.source} with {b}."
            )
    layers = {
        name: {
            key: np.mean([n.layers[name][key] for n in fused], axis=0, dtype=np.float64).astype(np.float32)
            for key in group
        }
        for name, group in first.layers.items()
    }
    shared = {key: value for key, value in first.metadata.items() if all(n.metadata.get(key) == value for n in fused)}
    return replace(first, layers=layers, source="average", metadata=shared)


@click.command(context_settings=CONTEXT)
@click.argument("weights", nargs=-1, required=True, metavar="W W...")
@click.option("--out", "-o", required=True, type=click.Path(dir_okay=False, path_type=Path), help="File to write.")
@click.option("--dtype", type=click.Choice(["float32", "float16"]), default="float32", show_default=True)
@reports_errors
def main(weights: tuple[str, ...], out: Path, dtype: str) -> None:
    """Write the mean of the weights of two or more networks that were trained on from the same start.

    Each W is what --weights of span-evaluate takes; OUT is a .safetensors, .weights.h5 or .keras file; only the first
    can hold float16.
    """
    if len(weights) < 2:
        raise click.UsageError(f"expected two or more networks, found {weights[0]} alone.")
    with hushed():
        from span_keras.checkpoints import load_weights, save_weights
    networks = [load_weights(name) for name in weights]
    tell_assumed(*networks)
    mean = average(networks)
    with hushed():  # the formats of Keras are written by building the model
        save_weights(mean, out, dtype=dtype)
    click.echo(f"Wrote {out}, the mean of {len(weights)} networks.")


if __name__ == "__main__":
    main()
