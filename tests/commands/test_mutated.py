"""Mutated files: images and weights that are no longer what they were end in a result or in one sentence."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image

from helpers.image_files import random_samples, tiff_bytes
from helpers.weights import random_weights
from span_keras.checkpoints import load_weights, save_weights
from span_keras.errors import CheckpointError, SpanError
from span_keras.images.formats import FORMATS
from span_keras.images.picture import Metadata, Picture
from span_keras.images.source import Encoded
from span_keras.images.write import open_writer
from span_keras.inference.files import Job, Options, decode, encode, enlarge
from span_keras.inference.networks import Networks
from span_keras.network.config import SpanConfig

COUNT = 500
SHAPE = (40, 52)


class Repeat:
    """Stands for an upscaler: it repeats pixels, so that the time goes to files."""

    scale, halo, tile, batch = 2, 1, 64, 1

    @staticmethod
    def result_channels(channels):
        return channels

    @staticmethod
    def bands(samples, dtype=None, on_tiles=None):
        if 0 in samples.shape:
            raise AssertionError("an empty image was decoded")
        yield samples.repeat(2, 0).repeat(2, 1).astype(dtype or samples.dtype)


def images():
    """Files of every format with all metadata, by their suffix."""
    exif = Image.Exif()
    exif[ExifTags.Base.Artist] = "Someone"
    exif[ExifTags.Base.Orientation] = 6
    exif[ExifTags.IFD.Exif] = {ExifTags.Base.ExifImageWidth: 52, ExifTags.Base.ExposureTime: 0.01}
    xmp = b'<x xmlns:t="http://ns.adobe.com/tiff/1.0/" t:ImageWidth="52" t:Orientation="6"/>'
    metadata = Metadata(
        None, exif.tobytes(), xmp, (72.0, 72.0), {"Title": "t", "Comment": "c"}, iptc=b"\x1c\x02\x78\0\1a"
    )
    rows, columns = np.mgrid[0 : SHAPE[0], 0 : SHAPE[1]]
    smooth = np.uint8(np.stack([3 * rows, 4 * columns, rows + columns], -1))
    found = []
    Image.init()
    for form in FORMATS:
        if form.module:
            try:
                plugin = __import__(form.module)
                getattr(plugin, "register_heif_opener", lambda: None)()
            except ImportError:
                continue
        file = io.BytesIO()
        if form.written:
            picture = Picture(smooth, metadata)
            with open_writer(f"a{form.suffixes[0]}", *smooth.shape, np.uint8, picture.metadata, file=file) as write:
                write(picture.samples)
        else:
            Image.fromarray(smooth).save(file, form.name)
        found.append((form.suffixes[0], file.getvalue()))
    progressive = io.BytesIO()
    Image.fromarray(smooth).save(progressive, "JPEG", progressive=True, exif=exif)
    deep = tiff_bytes(random_samples(2, np.uint16, SHAPE), deflate=True, photometric=1)
    return [*found, (".jpg", progressive.getvalue()), (".tif", deep)]


def mutated(data, rng):
    """Change a few bytes or bits, mostly near the start, cut the data, or leave some out, or repeat some."""
    data = bytearray(data)
    for _ in range(rng.integers(1, 6)):
        place = int(rng.integers(0, len(data))) if rng.random() < 0.4 else int(rng.integers(0, min(len(data), 300)))
        match rng.integers(0, 6):
            case 0 | 1:
                data[place] = int(rng.integers(0, 256))
            case 2:
                data[place] ^= 1 << int(rng.integers(0, 8))
            case 3:
                data[place : place + 4] = rng.choice([b"\xff\xff\xff\xff", bytes(4), b"\x7f\xff\xff\xff", b"\0\0\0\1"])
            case 4:
                del data[place : place + int(rng.integers(1, 20))]
            case 5:
                data[place:place] = data[place : place + int(rng.integers(1, 20))]
    return bytes(data[: int(rng.integers(1, len(data) + 1))] if rng.random() < 0.15 and len(data) else data)


def test_mutated_images():
    rng, sources, made, refused = np.random.default_rng(25), images(), 0, 0
    networks = Networks.of(Repeat())
    for number in range(COUNT):
        suffix, data = sources[number % len(sources)]
        target = f"b{('.png', '.jpg', '.tif', '.webp')[number % 4]}"
        options = Options(background=(255, 255, 255), outscale=(None, 1.5)[number % 2])
        job = Job(Encoded(f"a{suffix}", mutated(data, rng)), Path(target), options)
        try:
            encode(job, enlarge(job, decode(job, 2), networks), io.BytesIO())
            made += 1
        except SpanError as error:
            assert ("\n" not in str(error) and f"a{suffix}" in str(error)) or target in str(error), str(error)
            refused += 1
        except Exception as error:
            pytest.fail(f"mutation {number} of a{suffix}: {error!r}")
    assert made > COUNT // 10 and refused > COUNT // 10


@pytest.mark.parametrize("suffix", [".safetensors", ".weights.h5"])
def test_mutated_weights(tmp_path, suffix):
    save_weights(random_weights(SpanConfig(scale=2, channels=4, blocks=1)), tmp_path / f"whole{suffix}")
    data, rng, refused = (tmp_path / f"whole{suffix}").read_bytes(), np.random.default_rng(25), 0
    for _number in range(COUNT // 5):
        path = tmp_path / f"mutated{suffix}"
        path.write_bytes(mutated(data, rng))
        try:
            load_weights(path)
        except CheckpointError as error:
            assert "mutated" in str(error)
            refused += 1
    assert refused > COUNT // 20


def test_mutated_torch_and_onnx_files(tmp_path, goldens):
    rng = np.random.default_rng(25)
    for name in ("fused_x4.pth", "train_x2.pth", "legacy_no_norm_x3.pth", "fused_x4.onnx"):
        data = (goldens / name).read_bytes()
        for _number in range(COUNT // 10):
            (tmp_path / name).write_bytes(mutated(data, rng))
            try:
                load_weights(tmp_path / name)
            except CheckpointError as error:
                assert name in str(error)
