"""``python -m span_keras.average``: one network out of several that were trained on from the same start.

Fine-tuned in different ways, such networks lie close enough together that the mean of their weights computes about what
the mean of their outputs would, in the time of one ("Model soups", Wortsman et al., ICML 2022). With ``--shares`` the
mean lies nearer to one of them, such as between sharp and faithful ("ESRGAN", Wang et al., ECCVW 2018, section 3.4).
Networks of different starts, or long trained apart, do not, and their mean is worse than any of them.
"""

from __future__ import annotations

from pathlib import Path

import click

from span_keras.cli import CONTEXT, reports_errors, tell_assumed, version_option
from span_keras.network.weights import average
from span_keras.quiet import hushed


def _parse_shares(context, parameter, value: str | None) -> tuple[float, ...] | None:
    if value is None:
        return None
    try:
        shares = tuple(float(part) for part in value.split(","))
    except ValueError:
        shares = ()
    if not shares or not all(0 < share < float("inf") for share in shares):
        raise click.BadParameter(f"expected positive numbers separated by commas, found {value!r}.")
    return shares


@click.command(context_settings=CONTEXT)
@click.argument("weights", nargs=-1, required=True, metavar="W W...")
@click.option("--out", "-o", required=True, type=click.Path(dir_okay=False, path_type=Path), help="File to write.")
@click.option(
    "--shares",
    callback=_parse_shares,
    metavar="S,S,...",
    help="How much each network counts, relative to the others. [default: equally]",
)
@click.option("--dtype", type=click.Choice(["float32", "float16"]), default="float32", show_default=True)
@version_option
@reports_errors
def main(weights: tuple[str, ...], out: Path, shares: tuple[float, ...] | None, dtype: str) -> None:
    """Write the mean of the weights of two or more networks that were trained on from the same start.

    Each W is what --weights of span-evaluate takes; OUT is a .safetensors, .weights.h5 or .keras file; only the first
    can hold float16.
    """
    if len(weights) < 2:
        raise click.UsageError(f"expected two or more networks, found {weights[0]} alone.")
    if shares and len(shares) != len(weights):
        raise click.UsageError(f"--shares expected {len(weights)} numbers, one for each network, found {len(shares)}.")
    with hushed():
        from span_keras.checkpoints import load_weights, save_weights
    networks = [load_weights(name) for name in weights]
    tell_assumed(*networks)
    mean = average(networks, shares)
    with hushed():  # the formats of Keras are written by building the model
        save_weights(mean, out, dtype=dtype)
    click.echo(f"Wrote {out}, the mean of {len(weights)} networks.")


if __name__ == "__main__":
    main()
