"""The upscale command: every kind of image, batches with bad ones, interruptions, bounded memory."""

import io
import pickle
import signal
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import ExifTags, Image

from helpers.image_files import random_samples
from span_keras.checkpoints import save_weights
from span_keras.constants import ALPHA_BLEED
from span_keras.errors import CheckpointError, ImageError
from span_keras.images.alpha import bleed
from span_keras.images.formats import FORMATS
from span_keras.images.picture import Metadata, Picture, to_float
from span_keras.images.read import read_image
from span_keras.images.source import Encoded
from span_keras.images.write import write_image
from span_keras.inference.batch import plan
from span_keras.inference.files import Job, Options, Outcome, decode, encode, enlarge, upscale_file
from span_keras.inference.upscaler import Upscaler
from span_keras.network.config import SpanConfig
from span_keras.network.weights import SpanWeights, layer_shapes
from span_keras.upscale import main


@pytest.fixture(scope="module")
def blur():
    """A SPAN network that repeats each pixel 2×2 after a 3×3 mean: what it should give can be said by hand."""
    config = SpanConfig(scale=2, channels=4, blocks=1, rgb_mean=(0, 0, 0))
    layers = {
        name: {"kernel": np.zeros(shape, np.float32), "bias": np.zeros(shape[-1:], np.float32)}
        for name, shape in layer_shapes(config).items()
    }
    for color in range(3):
        layers["conv_1"]["kernel"][:, :, color, color] = 1 / 9
        layers["conv_cat"]["kernel"][0, 0, color, color] = 1
        for corner in range(4):
            layers["upsampler"]["kernel"][1, 1, color, 3 * corner + color] = 1
    return SpanWeights(config, layers)


@pytest.fixture(scope="module")
def upscaler(blur):
    return Upscaler(blur, tile=24)


@pytest.fixture
def weights_file(tmp_path, blur):
    (tmp_path / "weights").mkdir()
    path = tmp_path / "weights" / "blur.safetensors"
    save_weights(blur, path)
    return path


def planned(*arguments):
    return [(job.source, job.target) for job in plan(*arguments).jobs]


def run(*arguments):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.mark.parametrize("form", [form for form in FORMATS if form.written], ids=lambda form: form.name)
def test_every_format_in_and_out(tmp_path, upscaler, form):
    suffix = form.suffixes[0]
    rows, columns = np.mgrid[0:41, 0:30]
    write_image(tmp_path / f"in{suffix}", Picture(np.uint8(np.stack([rows * 5, columns * 7, rows + columns], -1))))
    notes = upscale_file(Job(tmp_path / f"in{suffix}", tmp_path / f"out{suffix}"), upscaler).notes
    assert notes == ()
    found = read_image(tmp_path / f"out{suffix}")
    expected = upscaler(read_image(tmp_path / f"in{suffix}").pixels)
    assert found.samples.shape == (82, 60, 3)
    assert np.abs(found.pixels - expected).mean() < (0.01 if form.lossy else 0.5 / 255)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_depth_and_kind_of_samples_stay(tmp_path, upscaler, channels, dtype):
    values = random_samples(channels, dtype)
    write_image(tmp_path / "in.png", Picture(values))
    upscale_file(Job(tmp_path / "in.png", tmp_path / "out.png"), upscaler)
    found = read_image(tmp_path / "out.png")
    assert found.samples.shape == (82, 60, channels)
    assert found.samples.dtype == dtype
    if channels in (1, 3):
        expected = np.clip(upscaler(read_image(tmp_path / "in.png").pixels), 0, 1)
        # 16 bits are kept: the error is far below a level of 8 bits.
        assert np.abs(found.pixels - expected).max() < 1 / np.iinfo(dtype).max


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [3, 4])
def test_grey_stored_as_rgb_is_upscaled_as_grey(tmp_path, tiny_weights, channels, dtype):
    upscaler = Upscaler(tiny_weights, tile=24)

    def upscaled(samples):
        write_image(tmp_path / "in.png", Picture(samples))
        upscale_file(Job(tmp_path / "in.png", tmp_path / "out.png"), upscaler)
        return read_image(tmp_path / "out.png").samples

    stored = random_samples(channels, dtype)
    stored[..., :3] = stored[..., :1]
    if channels == 4:
        stored[7, 9] = (stored[7, 9, 0], 0, 0, 0)  # nobody sees this colour
    found = upscaled(stored)
    assert found.shape == (82, 60, channels)
    np.testing.assert_array_equal(found[..., ::3], upscaled(stored[..., ::3]))
    assert (found[..., :3] == found[..., :1]).all()
    stored[40, 29, 1] ^= 1  # one level of colour in the last pixel, and the network's colours are kept
    found = upscaled(stored)
    assert (found[..., :3] != found[..., :1]).any()


def test_transparent_black_does_not_darken_the_edge(tmp_path, upscaler):
    rows, columns = np.mgrid[0:41, 0:30]
    inside = (rows - 20) ** 2 + (columns - 15) ** 2 < 100
    values = np.where(inside[..., None], [250, 180, 20, 255], 0).astype(np.uint8)
    write_image(tmp_path / "in.png", Picture(values))
    upscale_file(Job(tmp_path / "in.png", tmp_path / "out.png"), upscaler)
    found = read_image(tmp_path / "out.png").samples
    visible = found[..., 3] > 0
    assert np.abs(found[visible][:, :3].astype(int) - [250, 180, 20]).max() <= 1
    assert 0 < np.mean((found[..., 3] > 0) & (found[..., 3] < 255)) < 0.2  # the edge is soft
    assert found[40, 30, 3] == 255
    assert (found[:10, :10, 3] == 0).all()
    # Without the bleeding the network would have mixed black into it: the test can fail.
    plain = upscaler.predict(to_float(values[None, ..., :3]))[0]
    assert np.abs(plain[visible] * 255 - [250, 180, 20]).max() > 100


def test_opaque_alpha_stays_opaque_up_to_the_border(tmp_path, upscaler):
    values = random_samples(4)
    values[..., 3] = 255
    write_image(tmp_path / "in.png", Picture(values))
    upscale_file(Job(tmp_path / "in.png", tmp_path / "out.png"), upscaler)
    assert (read_image(tmp_path / "out.png").samples[..., 3] == 255).all()


def test_alpha_in_tiles_equals_alpha_in_one(tmp_path, blur, upscaler):
    values = random_samples(4)
    values[5:30, 5:28, 3] = 0
    write_image(tmp_path / "in.png", Picture(values))
    upscale_file(Job(tmp_path / "in.png", tmp_path / "tiles.png"), upscaler)
    upscale_file(Job(tmp_path / "in.png", tmp_path / "whole.png"), Upscaler(blur, tile=64))
    tiles, whole = (read_image(tmp_path / f"{name}.png").samples.astype(int) for name in ("tiles", "whole"))
    assert np.abs(tiles - whole).max() <= 1


def test_bleeding_fills_only_what_nobody_sees():
    pixels = np.zeros((5, 30, 4), np.float32)
    pixels[2, 2] = [0.5, 0.25, 1, 0.3]
    original = pixels.copy()
    found = bleed(pixels.copy())
    np.testing.assert_array_equal(found[..., 3], original[..., 3])
    np.testing.assert_array_equal(found[2, 2], original[2, 2])
    np.testing.assert_allclose(found[0, 2 + ALPHA_BLEED, :3], [0.5, 0.25, 1], atol=1e-6)
    assert (found[:, 3 + ALPHA_BLEED :] == 0).all()
    opaque = np.ones((3, 3, 4), np.float32)
    np.testing.assert_array_equal(bleed(opaque.copy()), opaque)


def test_orientation_profile_and_metadata(tmp_path, weights_file):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    exif[ExifTags.Base.Artist] = "Someone"
    icc = srgb_profile()
    Image.fromarray(random_samples(3)).save(tmp_path / "in.jpg", exif=exif, icc_profile=icc, dpi=(300, 300))
    assert run(tmp_path / "in.jpg", "-o", tmp_path / "out.jpg", "-w", weights_file).exit_code == 0
    with Image.open(tmp_path / "out.jpg") as image:
        assert image.size == (82, 60)  # 30×41, turned, twice as large
        assert image.getexif().get(ExifTags.Base.Orientation, 1) == 1
        assert image.getexif()[ExifTags.Base.Artist] == "Someone"
        assert image.info["icc_profile"] == icc
        assert image.info["dpi"] == (300, 300)


def srgb_profile():
    from PIL import ImageCms

    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def test_16_bits_into_a_format_of_8_is_said(tmp_path, upscaler):
    write_image(tmp_path / "in.png", Picture(random_samples(3, np.uint16)))
    notes = upscale_file(Job(tmp_path / "in.png", tmp_path / "out.bmp"), upscaler).notes
    assert len(notes) == 1
    assert "holds 8 of the 16 bits per sample" in notes[0]


def test_stages_run_apart_on_plain_data(tmp_path, upscaler):
    """As in processes of their own, without files: jobs, pictures and results are pickled in between."""

    def sent(value):
        return pickle.loads(pickle.dumps(value))

    values = random_samples(4, np.uint16)
    write_image(tmp_path / "in.png", Picture(values, Metadata(texts={"Title": "t"})))
    upscale_file(Job(tmp_path / "in.png", tmp_path / "out.png", Options(quality=90)), upscaler)
    job = sent(Job(Encoded("store/in.png", (tmp_path / "in.png").read_bytes()), Path("store/out.png")))
    enlarged = sent(enlarge(job, sent(decode(job, 2)), upscaler).whole())
    file = io.BytesIO()
    outcome = encode(job, enlarged, file)
    assert file.getvalue() == (tmp_path / "out.png").read_bytes()
    assert outcome == Outcome("store/in.png", "store/out.png", "made", 60, 82)
    with pytest.raises(ImageError, match=r"^store/bad\.png is empty"):
        decode(Job(Encoded("store/bad.png", b""), Path("x.png")), 2)


@pytest.mark.parametrize("form", [form for form in FORMATS if form.written], ids=lambda form: form.name)
def test_a_result_in_memory_is_that_on_disk(tmp_path, upscaler, form):
    path = tmp_path / f"in{form.suffixes[0]}"
    write_image(path, Picture(random_samples(3)))
    job = Job(path, tmp_path / f"out{form.suffixes[0]}")
    upscale_file(job, upscaler)
    for kind in (io.BytesIO, tempfile.TemporaryFile, tempfile.SpooledTemporaryFile):
        with kind() as file:
            encode(job, enlarge(job, decode(job, 2), upscaler), file)
            file.seek(0)
            assert file.read() == job.target.read_bytes()


def test_metadata_that_the_target_cannot_hold_are_said(tmp_path, upscaler):
    metadata = Metadata(icc=srgb_profile(), texts={"Title": "t"})
    write_image(tmp_path / "in.png", Picture(random_samples(3), metadata))
    notes = upscale_file(Job(tmp_path / "in.png", tmp_path / "out.bmp"), upscaler).notes
    assert notes == (f"{tmp_path / 'out.bmp'} cannot hold the colour profile and text 'Title'; a .png can.",)
    assert upscale_file(Job(tmp_path / "in.png", tmp_path / "out.png"), upscaler).notes == ()


def test_folders_keep_their_structure_and_existing_results_stay(tmp_path, weights_file):
    (tmp_path / "in" / "sub").mkdir(parents=True)
    for name in ("a.png", "sub/b.jpg"):
        write_image(tmp_path / "in" / name, Picture(random_samples(3)))
    (tmp_path / "in" / "notes.txt").write_text("no image")
    arguments = (tmp_path / "in", "-o", tmp_path / "out", "-w", weights_file, "--tile", 24)
    first = run(*arguments)
    assert first.exit_code == 0, first.output
    assert first.stdout.splitlines() == [str(tmp_path / "out" / name) for name in ("a.png", "sub/b.jpg")]
    (tmp_path / "out" / "a.png").write_bytes(b"mine")
    second = run(*arguments)
    assert second.exit_code == 0
    assert second.stdout == ""
    assert second.stderr.count("exists and is kept; --overwrite replaces it.") == 2
    assert (tmp_path / "out" / "a.png").read_bytes() == b"mine"
    assert run(*arguments, "--overwrite", "--format", "png").exit_code == 0
    assert read_image(tmp_path / "out" / "a.png").samples.shape == (82, 60, 3)
    assert read_image(tmp_path / "out" / "sub" / "b.png").samples.shape == (82, 60, 3)


def test_a_bad_image_is_reported_and_the_rest_go_on(tmp_path, weights_file):
    (tmp_path / "in").mkdir()
    write_image(tmp_path / "in" / "a.png", Picture(random_samples(3)))
    (tmp_path / "in" / "b.png").write_bytes((tmp_path / "in" / "a.png").read_bytes()[:1500])
    (tmp_path / "in" / "c.jpg").write_bytes(b"no image")
    write_image(tmp_path / "in" / "d.png", Picture(random_samples(1)))
    result = run(tmp_path / "in", "-o", tmp_path / "out", "-w", weights_file)
    assert result.exit_code == 1
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.png", "d.png"]
    assert "b.png is damaged or truncated" in result.stderr
    assert "c.jpg is not a readable" in result.stderr
    assert result.stderr.rstrip().endswith("2 of 4 images could not be upscaled.")
    assert "Traceback" not in result.output


def test_bad_use_ends_with_one_sentence(tmp_path, weights_file):
    write_image(tmp_path / "a.png", Picture(random_samples(3)))
    write_image(tmp_path / "a.jpg", Picture(random_samples(3)))
    write_image(tmp_path / "clear.png", Picture(random_samples(4)))
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_bytes(b"")
    out, w = ("-o", tmp_path / "out"), ("-w", weights_file)

    def message(code, *arguments):
        result = run(*arguments)
        assert result.exit_code == code, result.output
        assert "Traceback" not in result.output
        return result.stderr

    assert "does not exist" in message(2, tmp_path / "none.png", *out, *w)
    assert "Missing argument" in message(2, *out, *w)
    assert "empty holds no images to upscale; expected some of .png" in message(1, tmp_path / "empty", *out, *w)
    assert "none.keras" in message(1, tmp_path / "a.png", *out, "-w", tmp_path / "none.keras")
    assert "overwritten by its own result" in message(1, tmp_path / "a.png", "-o", tmp_path, *w)
    png = ("-o", tmp_path / "b.png", "--format", "jpg")
    assert "b.png ends otherwise than the format asked for, jpg" in message(1, tmp_path / "a.png", *png, *w)
    assert "more than twice this network's halo" in message(1, tmp_path / "a.png", *out, *w, "--tile", 3)
    assert "JPEG cannot hold transparency" in message(1, tmp_path / "clear.png", "-o", tmp_path / "b.jpg", *w)
    assert "cannot be made" in message(1, tmp_path / "a.png", "-o", tmp_path / "file" / "out", *w)
    assert "should be a folder or end in one of .png, " in message(1, tmp_path / "a.png", "-o", tmp_path / "b.gif", *w)
    two = (tmp_path / "a.png", tmp_path / "a.jpg")
    assert "b.png names one image" in message(1, *two, "-o", tmp_path / "b.png", *w)
    assert "b.png names one image" in message(1, tmp_path / "empty", "-o", tmp_path / "b.png", *w)
    (tmp_path / "a.png").rename(tmp_path / "bare")
    assert "found 'no suffix'; rename it, or pass --format png" in message(1, tmp_path / "bare", *out, *w)
    assert not (tmp_path / "out").exists()
    assert not list(tmp_path.glob("b.*"))


@pytest.mark.parametrize("value", ["-1", "0"])
def test_an_impossible_input_range_is_wrong_usage(tmp_path, weights_file, value):
    write_image(tmp_path / "a.png", Picture(random_samples(3)))
    result = run(tmp_path / "a.png", "-o", tmp_path / "b.png", "-w", weights_file, "--img-range", value)
    assert result.exit_code == 2
    assert "Invalid value for '--img-range'" in result.stderr
    assert not (tmp_path / "b.png").exists()


def test_a_suffix_of_a_folder_that_exists_is_no_format(tmp_path, weights_file):
    write_image(tmp_path / "bare.png", Picture(random_samples(3)))
    (tmp_path / "bare.png").rename(tmp_path / "bare")
    (tmp_path / "out.v2").mkdir()
    assert run(tmp_path / "bare", "-o", tmp_path / "out.v2", "-w", weights_file, "--format", "png").exit_code == 0
    assert read_image(tmp_path / "out.v2" / "bare.png").samples.shape == (82, 60, 3)


def test_a_folder_below_its_results(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "x.png").touch()
    assert planned([folder], tmp_path) == [(folder / "x.png", tmp_path / "x.png")]
    (outcome,) = plan([folder], folder).settled
    assert outcome.status == "failed" and "overwritten by its own result" in outcome.reason


def test_weights_that_make_no_numbers_are_named(tmp_path, wild_weights):
    write_image(tmp_path / "in.png", Picture(random_samples(3)))
    result = run(tmp_path / "in.png", "-o", tmp_path / "out.png", "-w", wild_weights)
    assert result.exit_code == 1
    assert "wild.safetensors makes values of this image that are no finite numbers" in result.stderr
    assert not (tmp_path / "out.png").exists()
    with pytest.raises(CheckpointError, match=r"wild\.safetensors makes"):
        Upscaler(wild_weights)(np.zeros((9, 9, 3), np.float32))


def test_not_finite_pixels_are_not_blamed_on_the_weights(upscaler):
    assert np.isnan(upscaler.upscale_rgb(np.full((9, 9, 3), np.nan, np.float32))).all()


def test_links_to_folders_are_followed(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "x.png").touch()
    (tmp_path / "in" / "link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "in" / "link" / "loop").symlink_to(tmp_path / "in")
    image = tmp_path / "in" / "link" / "x.png"
    assert planned([tmp_path / "in"], tmp_path / "out") == [(image, tmp_path / "out" / "link" / "x.png")]


def test_plan_names_targets(tmp_path):
    (tmp_path / "d").mkdir()
    image = tmp_path / "d" / "x.jpeg"
    image.touch()
    assert planned([image], tmp_path / "y.png") == [(image, tmp_path / "y.png")]
    assert planned([image], tmp_path / "y") == [(image, tmp_path / "y" / "x.jpeg")]
    assert planned([image, tmp_path / "d"], tmp_path / "y", ".png") == [(image, tmp_path / "y" / "x.png")]
    # Results of an earlier run inside an input folder are not inputs.
    (tmp_path / "d" / "out").mkdir()
    (tmp_path / "d" / "out" / "x.jpeg").touch()
    assert planned([tmp_path / "d"], tmp_path / "d" / "out") == [(image, tmp_path / "d" / "out" / "x.jpeg")]


def test_images_larger_than_the_format_allows_are_refused_before_work(tmp_path, upscaler):
    write_image(tmp_path / "in.png", Picture(np.zeros((1, 9000, 1), np.uint8)))
    with pytest.raises(ImageError, match="at most 16383 pixels per side"):
        upscale_file(Job(tmp_path / "in.png", tmp_path / "out.webp"), upscaler, on_tiles=pytest.fail)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interruption_leaves_nothing_behind(tmp_path, weights_file, number):
    """In the middle: exit code 130 or 143, no result, no temporary file, the old result still there."""
    write_image(tmp_path / "in.png", Picture(random_samples(3, shape=(60, 60))))
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "in.png").write_bytes(b"old")
    script = f"""
        import os, signal
        from span_keras import upscale
        from span_keras.images.encoders import PngWriter
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs inherit that it is ignored
        write = PngWriter.write
        def interrupt(self, rows):
            write(self, rows)
            os.kill(os.getpid(), {int(number)})
        PngWriter.write = interrupt
        upscale.main([{str(tmp_path / "in.png")!r}, "-o", {str(tmp_path / "out")!r}, "--tile", "24", "--overwrite",
                      "-w", {str(weights_file)!r}])
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True)
    assert done.returncode == 128 + number, done.stderr
    assert ("Interrupted." in done.stderr) == (number == signal.SIGINT)
    assert "Traceback" not in done.stderr
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["in.png"]
    assert (tmp_path / "out" / "in.png").read_bytes() == b"old"


def test_memory_is_bounded_by_a_band(tmp_path):
    """A result of 144 MB is written with a fraction of that on top of what was in use."""
    write_image(tmp_path / "in.png", Picture(np.zeros((1000, 3000, 3), np.uint8)))
    script = f"""
        import resource
        from span_keras.images.read import read_image
        from span_keras.inference.files import Job, upscale_file
        from span_keras.inference.upscaler import Upscaler
        from span_keras.network.config import SpanConfig

        class Repeat(Upscaler):
            config = SpanConfig(scale=4)
            scale, halo, tile, batch = 4, 21, 128, 1
            predict = staticmethod(lambda tiles: tiles.repeat(4, 1).repeat(4, 2))

            def __init__(self):
                pass

        def peak():
            return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # MB

        read_image({str(tmp_path / "in.png")!r})
        before = peak()
        upscale_file(Job({str(tmp_path / "in.png")!r}, {str(tmp_path / "out.png")!r}), Repeat())
        print(peak() - before)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, check=True)
    assert float(done.stdout) < 60
    with Image.open(tmp_path / "out.png") as image:
        assert image.size == (12000, 4000)
