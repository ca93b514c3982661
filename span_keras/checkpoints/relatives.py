"""Name the networks that people mistake for SPAN, by the names and shapes of their tensors."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

RELATIVES = (
    (r"(^|\.)feats\.\d+\.(block_|eval_conv|sk\.|conv\.)", "SPANPlus"),
    (r"(^|\.)(guidance_map_conv|depthwise_conv)\.", "SPANV2"),
    (r"(^|\.)(tea_conv|teacher_block_seq|tea_upsampler)", "ESPAN"),
    (r"(^|\.)conv_cat_1\.|(^|\.)conv_2_1\.", "PDS"),
    (r"(^|\.)conv_near\.", "SPANF"),
    (r"(^|\.)blocks\.\d+\.c1_r\.|\._extern_conv_block\.", "DISP"),
)
"""Networks descended from SPAN, which share names with it but compute something else; the first that fits counts.

Source: SPANPlus in spandrel; the others in the code of NTIRE 2025 and 2026, track efficient super-resolution.
"""

OTHERS = (
    (r"(^|\.)(RRDB_trunk|rdb\d)\.|(^|\.)RDB\d\.|(^|\.)model\.1\.sub\.", "ESRGAN (RRDBNet)"),
    (r"(^|\.)layers\.\d+\.residual_group\.", "SwinIR or a relative of it"),
    (r"(^|\.)block_\d+\.esa\.", "RLFN"),
    (r"(^|\.)(head|tail)\.0\.(weight|\d)", "EDSR or RCAN"),
    (r"(^|\.)feats?\d*\.|(^|\.)aggr\.", "another efficient network"),
    (r"(^|\.)body\.\d+\.weight$", "SRVGGNetCompact (Real-ESRGAN compact)"),
)
"""Names in the state dictionaries of other networks."""


def relative(names: Iterable[str]) -> str | None:
    """Return the descendant of SPAN that has tensors of these names, if one is known."""
    return _first(RELATIVES, names)


def other(names: Iterable[str]) -> str | None:
    """Return the network without SPAN's names that has tensors of these names, if one is known."""
    return _first(OTHERS, names)


def _first(marks: tuple[tuple[str, str], ...], names: Iterable[str]) -> str | None:
    text = "\n".join(names)
    return next((kind for mark, kind in marks if re.search(mark, text, re.MULTILINE)), None)


def usual(widths: Iterable[int]) -> int | None:
    """Return the width that most layers have, None without layers."""
    return max(Counter(widths).items(), key=lambda item: (item[1], item[0]), default=(None, 0))[0]
