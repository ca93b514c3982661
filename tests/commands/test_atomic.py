"""Files that appear whole or not at all."""

import pytest

from span_keras import atomic


@pytest.mark.parametrize("name", ["a" * 255, "é" * 127, "a" + "é" * 127, "x" * 240 + ".png"], ids=range(4))
def test_names_as_long_as_names_may_be(tmp_path, name):
    with atomic.replaced(tmp_path / name, ".keras") as temporary:
        assert temporary.name.startswith(".") and temporary.name.endswith(".partial.keras")
        temporary.name.encode()  # of whole characters
        temporary.write_text("new")
    assert [path.name for path in tmp_path.iterdir()] == [name] and (tmp_path / name).read_text() == "new"


def test_what_a_killed_program_left_is_removed(tmp_path):
    (tmp_path / "photo.partial").touch()
    held = atomic.replaced(tmp_path / ("a" * 255))
    held.__enter__()
    atomic.remove_leftovers(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["photo.partial"]
