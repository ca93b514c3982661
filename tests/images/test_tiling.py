"""Tiles against the whole image: the same network, the same result, whatever the sizes."""

import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest

from span_keras.errors import ConfigError, ImageError
from span_keras.images import tiling
from span_keras.inference.upscaler import Upscaler
from span_keras.network.config import SpanConfig


@pytest.mark.parametrize(
    ("length", "tile", "halo"), [(7, 8, 3), (8, 8, 3), (9, 8, 3), (100, 8, 3), (101, 50, 21), (1, 3, 1)]
)
def test_split_covers_every_pixel_once_with_tiles_of_one_size_and_enough_context(length, tile, halo):
    spans = tiling.split(length, tile, halo)
    assert [pixel for span in spans for pixel in range(span.core_start, span.core_stop)] == list(range(length))
    for span in spans:
        assert span.stop - span.start == min(tile, length)
        assert span.start >= 0
        assert span.stop <= length
        assert span.start == 0 or span.core_start - span.start >= halo
        assert span.stop == length or span.stop - span.core_stop >= halo


@pytest.mark.parametrize("variant", ["span", "official"])
@pytest.mark.parametrize("scale", [2, 3, 4])
def test_tiled_equals_whole(make_weights, variant, scale):
    config = SpanConfig(scale=scale, channels=4, blocks=1, variant=variant)
    weights = make_weights(config, seed=scale)
    halo = config.receptive_radius
    image = np.random.default_rng(0).random((41, 30, 3), np.float32)
    whole_model = weights.deploy_model()  # the reference does not share the code under test
    upscaler = Upscaler(weights, tile=2 * halo + 5)
    for height, width in ((41, 30), (17, 17), (18, 12), (5, 30), (1, 1)):
        part = image[:height, :width]
        whole = np.asarray(whole_model(part[None]))[0]
        found = upscaler.upscale_rgb(part)
        assert found.shape == (height * scale, width * scale, 3)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, whole, atol=1e-5 * max(1, np.abs(whole).max()))


def test_a_smaller_halo_would_show_and_the_borders_count(make_weights):
    """The comparison above can fail: one pixel less of context changes the result."""
    weights = make_weights(SpanConfig(scale=2, channels=4, blocks=1))
    upscaler = Upscaler(weights, tile=24)
    image = np.random.default_rng(0).random((41, 30, 3), np.float32)
    cut = tiling.upscale_tiled(upscaler.predict, image, 2, upscaler.halo - 1, 24)
    assert np.abs(cut - upscaler.upscale_rgb(image)).max() > 1e-5


def test_every_call_of_the_network_has_the_same_shape():
    shapes = []

    def predict(tiles):
        shapes.append(tiles.shape)
        return tiles.repeat(2, 1).repeat(2, 2)

    image = np.random.default_rng(0).random((40, 61, 3), np.float32)
    done = []
    found = tiling.upscale_tiled(predict, image, 2, halo=3, tile=16, batch=4, on_tiles=done.append)
    assert set(shapes) == {(4, 16, 16, 3)}
    assert sum(done) == tiling.count_tiles(40, 61, 16, 3)
    np.testing.assert_array_equal(found, image.repeat(2, 0).repeat(2, 1))


def test_bands_come_from_top_to_bottom_and_read_only_their_window():
    class Lazy:
        shape = (50, 20, 3)
        read = ()

        def __getitem__(self, window):
            rows, columns = window
            self.read = (*self.read, (rows.start, rows.stop))
            return np.full((rows.stop - rows.start, columns.stop - columns.start, 3), rows.start, np.float32)

    image = Lazy()
    bands = tiling.upscale_bands(lambda x: x, image, 1, halo=2, tile=10, finish=lambda x: x.astype(np.uint8))
    first = next(bands)
    assert first.shape == (8, 20, 3)
    assert first.dtype == np.uint8
    assert set(image.read) == {(0, 10)}
    assert sum(len(band) for band in bands) == 42


def test_upscaler_refuses_impossible_tiles_and_empty_images(tiny_weights):
    with pytest.raises(ConfigError, match="twice this network's halo of 9 pixels, found 18; ask for 19 or more"):
        Upscaler(tiny_weights, tile=18)
    with pytest.raises(ImageError, match="at least one pixel, found 5×0"):
        Upscaler(tiny_weights)(np.zeros((0, 5, 3), np.float32))
    with pytest.raises(ConfigError, match="twice this network's halo of 9 pixels, found 18"):
        tiling.split(100, 18, 9)


def test_jax_backend_without_tensorflow_gives_the_same(tiny_weights, image, tmp_path):
    found = Upscaler(tiny_weights, tile=19).upscale_rgb(image.repeat(2, 0))
    names = [f"{layer}.{key}" for layer, group in tiny_weights.layers.items() for key in group]
    arrays = [value for group in tiny_weights.layers.values() for value in group.values()]
    np.savez(tmp_path / "in.npz", image=image.repeat(2, 0), **dict(zip(names, arrays, strict=True)))
    script = textwrap.dedent(
        f"""
        import sys
        sys.modules["tensorflow"] = None  # importing it fails
        sys.modules["numba"] = None
        import numpy as np
        from span_keras.network.config import SpanConfig
        from span_keras.inference.upscaler import Upscaler
        from span_keras.network.weights import SpanWeights, layer_shapes

        stored = np.load({str(tmp_path / "in.npz")!r})
        config = SpanConfig(scale=2, channels=8, blocks=2)
        layers = {{name: {{k: stored[f"{{name}}.{{k}}"] for k in ("kernel", "bias")}} for name in layer_shapes(config)}}
        upscaler = Upscaler(SpanWeights(config, layers), tile=19)
        np.save({str(tmp_path / "out.npy")!r}, upscaler.upscale_rgb(stored["image"]))
        """
    )
    environment = {**os.environ, "KERAS_BACKEND": "jax"}
    subprocess.run([sys.executable, "-c", script], check=True, env=environment)
    np.testing.assert_allclose(np.load(tmp_path / "out.npy"), found, atol=1e-5)
