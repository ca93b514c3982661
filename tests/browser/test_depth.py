"""16 bits per sample, and the mean over eight orientations, in the page as in span-upscale."""

import numpy as np
import pytest
from PIL import ExifTags, Image

from helpers.browser import library, make_scene
from span_keras.images.picture import Metadata, Picture
from span_keras.images.read import read_image
from span_keras.images.write import write_image
from span_keras.inference.upscaler import Upscaler

UPSCALE = """
const [files, options, name] = given;
const upscaler = await span.loadUpscaler('/models/x2/model.json', { backend: name, tile: 28 });
const made = [];
for (const bytes of files) {
  const { blob, notes } = await upscaler.upscale(new File([new Uint8Array(bytes)], 'a.png'), options);
  made.push([[...new Uint8Array(await blob.arrayBuffer())], notes]);
}
upscaler.dispose();
return made;"""


@pytest.fixture
def enlarge(shared_blank, tmp_path):
    """``(paths, options, backend) -> pictures``: what the page makes of files."""

    def enlarge(paths, options, backend="wasm"):
        pictures = []
        files = [list(path.read_bytes()) for path in paths]
        for content, notes in library(shared_blank, UPSCALE, files, options, backend):
            assert notes == []
            (tmp_path / "made.png").write_bytes(bytes(content))
            pictures.append(read_image(tmp_path / "made.png"))
        return pictures

    return enlarge


def deep_scene(channels: int) -> np.ndarray:
    """(26, 34, channels) uint16 whose low bytes are busy; with an alpha from nothing to all."""
    scene = make_scene(26, 34).astype(np.uint16) * 257
    scene ^= np.random.default_rng(0).integers(0, 200, scene.shape, np.uint16)
    scene = scene[..., :1] if channels < 3 else scene
    ramp = np.clip(np.linspace(-20000, 80000, 34), 0, 65535).astype(np.uint16)
    return scene if channels % 2 else np.dstack([scene, np.broadcast_to(ramp, scene.shape[:2])])


def difference(found: np.ndarray, expected: np.ndarray) -> int:
    """Largest difference of levels; the page stores grey as RGB."""
    colors = 3 if expected.shape[2] < 3 else 1
    expected = np.concatenate([expected[..., :1].repeat(colors, 2), expected[..., 1:]], 2)
    return int(np.abs(found.astype(int) - expected.astype(int)).max())


def test_16_bits_stay(enlarge, weights, tmp_path):
    paths = []
    for channels in (1, 2, 3, 4):
        paths.append(tmp_path / f"{channels}.png")
        write_image(paths[-1], Picture(deep_scene(channels), Metadata(gamma=0.45455)))
    upscaler = Upscaler(weights["x2"], tile=28)
    for path, found in zip(paths, enlarge(paths, {}), strict=True):
        expected = upscaler(path)
        assert found.samples.dtype == np.uint16
        assert difference(found.samples, expected.samples) <= 8, path.name  # of 65535
        assert len(np.unique(found.samples[..., 0] & 255)) > 200
        assert found.metadata.gamma == expected.metadata.gamma


def test_a_turned_16_bit_png(enlarge, weights, tmp_path):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    write_image(tmp_path / "a.png", Picture(deep_scene(3), Metadata(exif=exif.tobytes())))
    (found,) = enlarge([tmp_path / "a.png"], {})
    assert difference(found.samples, Upscaler(weights["x2"], tile=28)(tmp_path / "a.png").samples) <= 8


@pytest.mark.parametrize("backend", ["wasm", "webgpu"])
def test_the_mean_over_eight_orientations(backend, enlarge, weights, tmp_path):
    """Opaque, grey and transparent, of several tiles, and of 16 bits."""
    scene = make_scene(26, 34)
    grey = np.array(Image.fromarray(scene).convert("L"))[..., np.newaxis]
    images = {"rgb": scene, "grey": grey, "alpha": np.uint8(deep_scene(4) >> 8), "deep": deep_scene(3)}
    paths = []
    for name in images if backend == "wasm" else ["rgb"]:
        paths.append(tmp_path / f"{name}.png")
        write_image(paths[-1], Picture(images[name]))
    upscaler = Upscaler(weights["x2"], tile=28, tta=True)
    for path, found in zip(paths, enlarge(paths, {"tta": True}, backend), strict=True):
        expected = upscaler(path).samples
        assert difference(found.samples, expected) <= (8 if path.stem == "deep" else 1), path.name
        once = Upscaler(weights["x2"], tile=28)(path).samples
        assert difference(found.samples, once) > 8  # it matters
