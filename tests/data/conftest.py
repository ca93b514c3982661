"""Fixtures of the tests of data."""

import pytest
from PIL import Image

from helpers.patches import smooth


@pytest.fixture
def folder(tmp_path):
    """Three photographs of different shapes and formats, one in a subfolder."""
    (tmp_path / "more").mkdir()
    Image.fromarray(smooth(50, 70, 1)).save(tmp_path / "a.png")
    Image.fromarray(smooth(40, 41, 2)).save(tmp_path / "b.webp", lossless=True)
    Image.fromarray(smooth(90, 60, 3)).save(tmp_path / "more" / "C.BMP")
    (tmp_path / "notes.txt").write_text("not a photograph")
    return tmp_path
