"""The examples in the docstrings of public classes do what they show."""

import doctest

import numpy as np
import pytest
from PIL import Image

import span_keras


@pytest.mark.parametrize("name", ["RepConv", "SpanConfig", "SpanWeights", "Upscaler"])
def test_example(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    for small in ("small.jpg", "small.png"):
        Image.new("RGB", (20, 10), "teal").save(small)
    public = {each: getattr(span_keras, each) for each in span_keras.__all__}
    tests = doctest.DocTestFinder(recurse=False).find(public[name], name, globs={"np": np, "Image": Image, **public})
    results = [doctest.DocTestRunner().run(test) for test in tests]
    assert sum(result.attempted for result in results) > 0
    assert sum(result.failed for result in results) == 0
    if name == "Upscaler":
        for large in ("large.jpg", "large.png"):
            with Image.open(large) as image:
                assert image.size == (80, 40)
