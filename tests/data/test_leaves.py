"""Pictures of overlapping shapes: what is drawn, and the command line that writes them."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image, ImageDraw

from helpers.photos import save_photos
from span_keras import leaves
from span_keras.data import dead_leaves
from span_keras.data.dataset import PatchDataset
from span_keras.data.photos import BUNDLED_TRAIN

BLACK_AND_WHITE = np.array([[0, 0, 0], [255, 255, 255]], np.uint8)


def drawn(seed: int, side: int = 64, colours=BLACK_AND_WHITE, **more) -> np.ndarray:
    return np.asarray(dead_leaves.draw(np.random.default_rng(seed), side, np.uint8(colours), **more))


@pytest.fixture
def sharp(monkeypatch):
    """No picture is blurred."""
    monkeypatch.setattr(dead_leaves, "MAX_BLUR", 0)


# -- pictures


def test_the_state_of_the_generator_decides_everything():
    assert np.array_equal(drawn(3), drawn(3))
    assert not np.array_equal(drawn(3), drawn(4))
    rng = np.random.default_rng(3)
    first, second = (np.asarray(dead_leaves.draw(rng, 64, BLACK_AND_WHITE)) for _ in range(2))
    assert np.array_equal(first, drawn(3)) and not np.array_equal(second, first)


@pytest.mark.parametrize("side", [32, 45, 200])
def test_size_and_mode(side):
    picture = dead_leaves.draw(np.random.default_rng(0), side, BLACK_AND_WHITE)
    assert picture.size == (side, side) and picture.mode == "RGB"
    assert np.asarray(picture).std() > 50


def test_sharp_pictures_show_the_given_colours_and_mixtures_at_edges(sharp):
    one, other = np.array([10, 200, 90]), np.array([210, 40, 130])
    for seed in range(10):
        picture = drawn(seed, 64, [one, other])
        shares = (picture - one) / (other - one)
        assert shares.min() >= 0 and shares.max() <= 1
        assert np.ptp(shares, axis=-1).max() < 0.5 / 40 + 0.5 / 160, "rounding, 40 and 160 levels apart"
        mixed = (shares > 0).any(-1) & (shares < 1).any(-1)
        assert 0.01 < mixed.mean() < 0.6
    assert not drawn(0, 64, np.zeros((5, 3))).any()


def test_all_given_colours_are_used(sharp):
    colours = [[0, 0, 0], [255, 0, 0], [0, 255, 0], [0, 0, 255]]
    found = {tuple(pixel) for seed in range(5) for pixel in drawn(seed, 64, colours).reshape(-1, 3)}
    assert found > set(map(tuple, colours))


def test_half_of_all_pictures_are_blurred(monkeypatch):
    default = [drawn(seed, 32) for seed in range(100)]
    monkeypatch.setattr(dead_leaves, "MAX_BLUR", 0)
    sharp = [drawn(seed, 32) for seed in range(100)]
    blurred = [not np.array_equal(*pair) for pair in zip(default, sharp, strict=True)]
    assert 35 < sum(blurred) < 65
    for one, other in zip(default, sharp, strict=True):
        assert np.isin(one, (0, 255)).mean() <= np.isin(other, (0, 255)).mean()


def test_little_of_the_background_remains(sharp, monkeypatch):
    """Shapes are made black here, on white."""
    polygon = ImageDraw.ImageDraw.polygon
    monkeypatch.setattr(ImageDraw.ImageDraw, "polygon", lambda pen, points, fill: polygon(pen, points, fill="black"))
    shares = [drawn(seed, 128, [[255, 255, 255]]).mean() / 255 for seed in range(40)]
    assert 0 < np.mean(shares) < 0.25 and max(shares) < 0.5


def test_shapes_lie_anywhere_and_their_radii_are_distributed_as_told(monkeypatch):
    """Density r⁻³ from the least to a third of the side, and ``LAYERS`` times the area in all."""
    monkeypatch.setattr(dead_leaves, "MIN_RADIUS", (3, 3))
    monkeypatch.setattr(dead_leaves, "random_shape", lambda rng: np.array([[1, 0], [0, 1], [-1, 0]]))
    shapes = []
    monkeypatch.setattr(ImageDraw.ImageDraw, "polygon", lambda pen, points, fill: shapes.append(points))
    for seed in range(3):
        drawn(seed, 300)
    ends = np.reshape(shapes, (-1, 3, 2))[:, ::2] / dead_leaves.SUPERSAMPLING
    radii = np.linalg.norm(ends[:, 0] - ends[:, 1], axis=-1) / 2
    assert 3 <= radii.min() < 3.01 and 40 < radii.max() <= 100
    ranks = (3**-2 - radii**-2) / (3**-2 - 100**-2)
    assert len(radii) > 3000
    for values in (ranks, *(ends.mean(1).T / 300)):
        counts, _ = np.histogram(values, 10, (0, 1))
        assert counts.sum() == len(radii)
        assert counts.min() > 0.08 * len(radii) and counts.max() < 0.12 * len(radii)
    assert np.pi * (radii**2).sum() / (3 * 300**2) == pytest.approx(dead_leaves.LAYERS, rel=0.1)


def test_no_share_of_stripes_changes_nothing():
    plain, striped = drawn(3, 128), drawn(3, 128, striped=0.5)
    assert np.array_equal(drawn(3, 128, striped=0), plain)
    assert np.array_equal(drawn(3, 128, striped=0.5), striped) and not np.array_equal(striped, plain)


def test_the_share_of_shapes_with_stripes(monkeypatch):
    """Of those that are large enough."""
    calls = []
    monkeypatch.setattr(dead_leaves, "lay_stripes", lambda rng, canvas, corners, radius, colour: calls.append(radius))
    monkeypatch.setattr(dead_leaves, "MIN_RADIUS", (4, 4))
    for share in (0.3, 1):
        calls.clear()
        shapes = count_polygons(
            monkeypatch, lambda share=share: [drawn(seed, 128, striped=share) for seed in range(10)]
        )
        assert min(calls) >= 4.5
        large = sum(radius >= 4.5 for radius in shapes)
        assert len(calls) / large == pytest.approx(share, abs=0.06) and large < len(shapes)


def count_polygons(monkeypatch, draw) -> list[float]:
    """Radii of the shapes that ``draw`` draws; all are squares meanwhile."""
    polygon, radii = ImageDraw.ImageDraw.polygon, []

    def counting(pen, points, fill):
        corners = np.reshape(points, (-1, 2)) / dead_leaves.SUPERSAMPLING
        radii.append(np.linalg.norm(corners[0] - corners[2]) / 2)
        polygon(pen, points, fill=fill)

    with monkeypatch.context() as patch:
        patch.setattr(dead_leaves, "random_shape", lambda rng: np.array([[1, 0], [0, 1], [-1, 0], [0, -1]]))
        patch.setattr(ImageDraw.ImageDraw, "polygon", counting)
        draw()
    return radii


@pytest.mark.parametrize("seed", range(12))
def test_stripes_fill_a_shape_and_nothing_else(seed, monkeypatch):
    """A disc of 40 pixels' radius, part of it beyond the border; a stripe with its gap takes 6 pixels."""
    monkeypatch.setattr(dead_leaves, "PERIODS", (6, 6))
    radius, side = 40, 100
    angles = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    corners = (np.stack([np.cos(angles), np.sin(angles)], 1) * radius + (30, 55)) * dead_leaves.SUPERSAMPLING
    canvas = Image.new("RGB", (side * dead_leaves.SUPERSAMPLING,) * 2, "black")
    dead_leaves.lay_stripes(np.random.default_rng(seed), canvas, corners.ravel().tolist(), radius, (255, 255, 255))
    white = np.asarray(canvas)[..., 0] > 0
    y, x = (np.indices(white.shape) + 0.5) / dead_leaves.SUPERSAMPLING
    away = np.hypot(x - 30, y - 55)
    assert not white[away > radius + 0.5].any()
    assert 0.2 < white[away < radius - 0.5].mean() < 0.8
    x, y, reach = (dead_leaves.SUPERSAMPLING * pixels for pixels in (30, 55, 29))
    lines = white[y, x - reach : x + reach], white[y - reach : y + reach, x]
    begun = [(np.diff(line.astype(int)) > 0).sum() for line in lines]
    assert np.hypot(*begun) == pytest.approx(58 / 6, rel=0.2)


@pytest.mark.parametrize("away", [-50, 95])
def test_stripes_of_shapes_beyond_the_border(away):
    canvas = Image.new("RGB", (90, 90))
    corners = [away + x for x in (0, 0, 30, 0, 30, 30)]
    dead_leaves.lay_stripes(np.random.default_rng(0), canvas, corners, 10, (255, 255, 255))
    assert not np.asarray(canvas).any()


def test_edges_run_at_all_angles():
    counts = np.zeros(8)
    for seed in range(30):
        down, across = np.gradient(drawn(seed, 128, [[0, 0, 0], [60, 60, 60], [140, 140, 140]])[..., 0].astype(float))
        counts += np.histogram(np.arctan2(down, across)[np.hypot(down, across) > 5], 8, (-np.pi, np.pi))[0]
    assert counts.min() > 0.7 * counts.mean() and counts.max() < 1.4 * counts.mean()


# -- the command line


@pytest.fixture(autouse=True)
def threads(monkeypatch):
    """Threads for processes: quick, and no fork of a process in which TensorFlow runs."""
    monkeypatch.setattr(leaves, "ProcessPoolExecutor", ThreadPoolExecutor)


def run(*arguments):
    result = CliRunner().invoke(leaves.main, list(map(str, arguments)))
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def written(out, *arguments) -> dict[str, np.ndarray]:
    """What the folder holds after a run, by name."""
    result = run("--out", out, "--size", 40, *arguments)
    assert result.exit_code == 0, result.output
    return pictures(out)


def pictures(folder) -> dict[str, np.ndarray]:
    return {path.name: np.asarray(Image.open(path)) for path in sorted(filter(Path.is_file, folder.iterdir()))}


def alike(some: dict, others: dict) -> bool:
    return some.keys() == others.keys() and all(np.array_equal(some[name], others[name]) for name in some)


def test_files(photos, tmp_path):
    out = tmp_path / "new" / "leaves"
    result = run("--out", out, "--data", photos, "--count", 11, "--size", 33)
    assert result.exit_code == 0, result.output
    assert result.output == f"Wrote 11 pictures of 33×33 pixels to {out}.\n"
    found = pictures(out)
    assert list(found) == [f"leaves-{number:05d}.png" for number in range(11)]
    assert all(picture.shape == (33, 33, 3) for picture in found.values())
    assert len({picture.tobytes() for picture in found.values()}) == 11
    with Image.open(out / "leaves-00000.png") as image:
        assert image.format == "PNG"


def test_the_same_options_draw_the_same_pictures(photos, tmp_path):
    """More of them keep the first; another seed draws others."""
    first = written(tmp_path / "a", "--data", photos, "--count", 3)
    assert alike(first, written(tmp_path / "b", "--data", photos, "--count", 3, "--seed", 0))
    more = written(tmp_path / "a", "--data", photos, "--count", 5)
    assert len(more) == 5 and alike(first, dict(list(more.items())[:3]))
    other = written(tmp_path / "c", "--data", photos, "--count", 5, "--seed", 1)
    seen = {picture.tobytes() for picture in (*more.values(), *other.values())}
    assert len(seen) == 10


def test_the_share_of_stripes_reaches_the_pictures(photos, tmp_path):
    more = ["--data", photos, "--count", 3, "--size", 90]
    plain = written(tmp_path / "plain", *more)
    assert alike(plain, written(tmp_path / "none", *more, "--striped", 0))
    striped = written(tmp_path / "striped", *more, "--striped", 1)
    assert not any(np.array_equal(plain[name], striped[name]) for name in plain)


def test_a_picture_has_the_colours_of_one_photograph(tmp_path):
    (tmp_path / "photos").mkdir()
    for level in (0, 100, 200):
        Image.new("RGB", (20, 20), (level, 50, 0)).save(tmp_path / "photos" / f"{level}.png")
    found = written(tmp_path / "leaves", "--data", tmp_path / "photos", "--count", 20)
    colours = [{tuple(map(int, pixel)) for pixel in picture.reshape(-1, 3)} for picture in found.values()]
    assert all(len(picture) == 1 for picture in colours)
    assert set.union(*colours) == {(0, 50, 0), (100, 50, 0), (200, 50, 0)}


def test_pictures_drawn_before_lend_no_colours(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    save_photos(folder, 3)
    expected = written(tmp_path / "elsewhere", "--data", folder, "--count", 8)
    for count in (8, 4, 8):
        assert alike(expected, written(folder / "leaves", "--data", folder, "--count", count))
    assert alike(expected, written(folder / "more", "--data", folder, "--count", 8))
    assert alike(expected, written(tmp_path, "--data", folder, "--count", 8)), "OUT may lie above the photographs"


def test_damaged_photographs_are_named_and_left_out(tmp_path):
    folder = save_photos(tmp_path, 2)
    (folder / "photo_0.png").write_bytes((folder / "photo_0.png").read_bytes()[:300])
    result = run("--out", tmp_path / "leaves", "--data", folder, "--count", 6, "--size", 40)
    assert result.exit_code == 0 and len(pictures(tmp_path / "leaves")) == 6
    assert result.output.count("Left out: ") == result.output.count("photo_0.png cannot be read as an image") == 1
    (folder / "photo_1.png").write_bytes(b"")
    result = run("--out", tmp_path / "none", "--data", folder, "--count", 1, "--size", 40)
    assert result.exit_code == 1 and "cannot be read as an image" in result.output


def test_bundled_photographs_lend_their_colours_by_default(tmp_path):
    found = written(tmp_path / "a", "--count", 2)
    assert len(found) == 2 and alike(found, written(tmp_path / "b", "--count", 2, "--data", BUNDLED_TRAIN))


def test_processes_draw_the_same_pictures(photos, tmp_path):
    command = [sys.executable, "-m", "span_keras.leaves", "--size", "40", "--count", "3", "--data", str(photos)]
    ran = subprocess.run([*command, "--out", str(tmp_path / "a")], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert alike(pictures(tmp_path / "a"), written(tmp_path / "b", "--data", photos, "--count", 3))


def test_training_uses_them_beside_photographs(tmp_path):
    """Patches of the photographs are red here, those of the leaves bundled photographs' colours."""
    for number in range(2):
        Image.new("RGB", (40, 40), "red").save(tmp_path / f"{number}.png")
    written(tmp_path / "leaves", "--count", 2)
    dataset = PatchDataset(tmp_path, scale=2, patch=12, batch_size=40, steps_per_epoch=1, workers=1)
    assert dataset.describe().startswith("4 photographs, ") and not dataset.skipped
    _, hr = dataset[0]
    red = (hr == (255, 0, 0)).all((1, 2, 3)).sum()
    assert 8 < red < 32


# -- misuse: exit code 2 for what can never be, 1 for what the data or the disk forbid


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--count", "0"], "'--count': 0 is not in the range"),
        (["--size", "8"], "'--size': 8 is not in the range"),
        (["--size", "5000"], "'--size': 5000 is not in the range"),
        (["--striped", "1.5"], "'--striped': expected a share from 0 to 1, found 1.5"),
        (["--striped", "-0.1"], "'--striped': expected a share from 0 to 1, found -0.1"),
        (["--striped", "nan"], "'--striped': expected a share from 0 to 1, found nan"),
        (["--seed", "-1"], "'--seed': -1 is not in the range"),
        (["--count", "many"], "'many' is not a valid integer"),
    ],
)
def test_impossible_options_are_wrong_usage(arguments, message, tmp_path):
    result = run("--out", tmp_path / "a", *arguments)
    assert result.exit_code == 2
    assert message in result.output
    assert not (tmp_path / "a").exists()


def test_out_is_required():
    result = run("--count", 1)
    assert result.exit_code == 2 and "Missing option '--out'" in result.output


def test_missing_and_empty_data_folders(tmp_path):
    result = run("--out", tmp_path / "a", "--data", tmp_path / "nowhere")
    assert result.exit_code == 1
    assert "Error: Expected a folder of photographs, found nothing at" in result.output
    (tmp_path / "empty").mkdir()
    result = run("--out", tmp_path / "empty" / "leaves", "--data", tmp_path / "empty")
    assert result.exit_code == 1
    assert "Error: Expected photographs (" in result.output and "found none" in result.output
    assert not (tmp_path / "a").exists() and not (tmp_path / "empty" / "leaves").exists()


def test_a_data_folder_that_holds_nothing_but_pictures_drawn_before(photos, tmp_path):
    written(tmp_path / "leaves", "--data", photos, "--count", 2)
    for folder in (tmp_path, tmp_path / "leaves"):
        result = run("--out", tmp_path / "leaves", "--data", folder, "--count", 2)
        assert result.exit_code == 1
        assert result.output.startswith(f"Error: Expected photographs in {folder} to take colours from, found only")


def test_a_photograph_that_cannot_be_read(tmp_path):
    """It is named, and nothing half-written stays."""
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "broken.jpg").write_bytes(b"not an image at all")
    result = run("--out", tmp_path / "leaves", "--data", tmp_path / "photos", "--count", 3)
    assert result.exit_code == 1
    assert result.output.startswith("Error: ") and "broken.jpg cannot be read as an image" in result.output
    assert not pictures(tmp_path / "leaves")


def test_an_output_folder_that_is_a_file(photos, tmp_path):
    (tmp_path / "file").write_text("")
    result = run("--out", tmp_path / "file", "--data", photos, "--count", 1)
    assert result.exit_code == 2
    assert "is a file" in result.output


def test_an_output_folder_that_cannot_be_made(photos, tmp_path):
    (tmp_path / "file").write_text("")
    result = run("--out", tmp_path / "file" / "leaves", "--data", photos, "--count", 1)
    assert result.exit_code == 1
    assert result.output.startswith("Error: ") and str(tmp_path / "file" / "leaves") in result.output


def test_an_output_folder_that_cannot_be_written_to(photos, tmp_path, monkeypatch):
    def full(picture, *_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full)
    result = run("--out", tmp_path / "leaves", "--data", photos, "--count", 1)
    assert result.exit_code == 1
    assert result.output.startswith("Error: ") and "No space left on device" in result.output
