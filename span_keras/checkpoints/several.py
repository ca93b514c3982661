"""Take one network from a file that holds several: averaged weights before raw ones."""

from __future__ import annotations

import re
from collections.abc import Iterable

from span_keras.checkpoints.files import Tensor
from span_keras.checkpoints.relatives import other, relative
from span_keras.errors import CheckpointError

ROOTS = ("params", "state_dict", "model", "net_g", "generator")
"""Which network to take from a file that holds several which are averaged, or several which are not, best first."""

AVERAGED = {"ema", "swa", "avg", "average", "averaged"}
"""Words for weights that are averaged over a training's steps."""

MARKS = re.compile(
    r"^(|.*\.)(?:conv_1\.(?:sk|eval_conv|conv\.0)|block_1\.c1_r\.(?:sk|eval_conv|conv\.0)|conv_cat)\.weight$"
)
"""Names of tensors that only SPAN has under the authors' names, behind any prefix."""


def one_network(tensors: dict[str, Tensor], source: str) -> tuple[dict[str, Tensor], str | None]:
    """Keep the tensors of one network, under the authors' names: without ``params_ema.``, ``module.`` and the like.

    Averaged are the weights whose prefix has the word "ema" or one like it in any of its parts, in whatever spelling:
    ``params-ema``, ``net_g_ema``, ``ema_model.module``, ``modelEMA``, ``swa_model``.

    Returns:
        The tensors, and the prefix of the network that was taken if there are several, else None.

    Raises:
        CheckpointError: there is no SPAN network, or there are several of equal rank.
    """
    prefixes = {match[1] for match in map(MARKS.match, tensors) if match}
    if not prefixes:
        _refuse_relative(tensors, source)
        kind, some = other(tensors), ", ".join(list(tensors)[:4])
        raise CheckpointError(
            f"{source} is not SPAN: expected tensors such as conv_1.sk.weight or conv_1.eval_conv.weight, found "
            f"{f'those of {kind}' if kind else f'{len(tensors)} others'} ({some}, ...)."
        )
    best = min(prefixes, key=_rank)
    if [_rank(prefix)[:2] for prefix in prefixes].count(_rank(best)[:2]) > 1:
        raise CheckpointError(f"{source} holds several SPAN networks, {sorted(prefixes)}; save the one you mean alone.")
    _refuse_relative([name for name in tensors if name.startswith(best)], source)
    kept = {name.removeprefix(best): tensor for name, tensor in tensors.items() if name.startswith(best)}
    return kept, best.rstrip(".") if len(prefixes) > 1 else None


def _refuse_relative(names: Iterable[str], source: str) -> None:
    if kind := relative(names):
        raise CheckpointError(f"{source} is {kind}, not SPAN; use the program it was made for, or a SPAN of its kind.")


def is_averaged(prefix: str) -> bool:
    """Return whether a prefix names averaged weights."""
    return not AVERAGED.isdisjoint(_words(prefix))


def _words(prefix: str) -> list[str]:
    """Return the words of a prefix in lower case; capitals begin one."""
    return [word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", prefix)]


def _rank(prefix: str) -> tuple[bool, int, str]:
    # Without "ema" ``params_ema`` is of the root ``params``.
    parts = ["_".join(word for word in _words(part) if word not in AVERAGED) for part in prefix.split(".")]
    return not is_averaged(prefix), min((ROOTS.index(part) for part in parts if part in ROOTS), default=99), prefix
