"""Refusals of checkpoints: whether a file is refused as it should be, and valid files to damage."""

import json
import re
import subprocess
import sys

import pytest

from span_keras.checkpoints import load_weights
from span_keras.errors import CheckpointError, SpanError

FORMATS = {
    ".pth": "train_x2.pth",
    ".pt": "legacy_no_norm_x3.pth",
    ".onnx": "fused_x4.onnx",
    ".safetensors": None,
    ".weights.h5": None,
    ".keras": None,
    ".json": None,
}
"""A valid file for each suffix: a golden, or one that the fixture ``valid`` makes."""


def refused(path, match: str | None = None, error=CheckpointError):
    """Loading raises exactly the given error, its message is one line, names the file and matches."""
    with pytest.raises(SpanError, match=match) as caught:
        load_weights(path)
    assert type(caught.value) is error
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def refused_at_once(*cases):
    """As ``refused``, for each (path, match), in a process that is killed where that takes minutes or much memory."""
    code = """
import json, resource, sys
from span_keras.checkpoints import load_weights
from span_keras.errors import CheckpointError
resource.setrlimit(resource.RLIMIT_CPU, (120, 120))
if sys.platform == "linux":  # macOS maps more than that to begin with
    resource.setrlimit(resource.RLIMIT_AS, (2**33, 2**33))
for path in sys.argv[1:]:
    try:
        load_weights(path)
    except CheckpointError as error:
        print(json.dumps(str(error)), flush=True)
"""
    paths = [str(path) for path, _ in cases]
    done = subprocess.run([sys.executable, "-c", code, *paths], capture_output=True, text=True)
    messages = list(map(json.loads, done.stdout.splitlines()))
    for (path, match), message in zip(cases, messages, strict=False):
        assert str(path) in message
        assert re.search(match, message), message
    assert (len(messages), done.returncode, done.stderr) == (len(cases), 0, "")
