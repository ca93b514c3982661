"""Valid files and weights, for tests that damage them."""

import json

import pytest

from helpers.refusals import FORMATS
from helpers.torch_files import state_dict
from span_keras.checkpoints import save_weights
from span_keras.network.config import SpanConfig


@pytest.fixture(scope="module")
def valid(goldens, tmp_path_factory) -> dict:
    """Suffix -> bytes of a valid file."""
    from helpers.weights import random_weights

    weights = random_weights(SpanConfig(2, 8, 1))
    folder = tmp_path_factory.mktemp("valid")
    found = {}
    for suffix, golden in FORMATS.items():
        path = goldens / golden if golden else folder / f"a{suffix}"
        if suffix == ".json":
            path.write_bytes(json.dumps({"modelTopology": {}, "weightsManifest": []}).encode())
        elif not golden:
            save_weights(weights, path)
        found[suffix] = path.read_bytes()
    return found


@pytest.fixture
def state(make_weights) -> dict:
    """State dictionary of a small network in fused form."""
    return state_dict(make_weights(SpanConfig.official(2, 8, blocks=1)))
