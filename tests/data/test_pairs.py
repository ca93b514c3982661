"""Folders of HR and LR images: their names, sizes and patches."""

import shutil

import numpy as np
import pytest
from PIL import ExifTags, Image

from span_keras.data.dataset import PatchDataset
from span_keras.data.decode import load_given_pair, load_validation
from span_keras.data.degrade import Degradations
from span_keras.data.photos import find_hr_and_lr, pair_folders
from span_keras.errors import DataError, PairError


def save(path, size, seed=0, **more):
    """Write an image of ``(width, height)``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (*size[::-1], 3), np.uint8)
    Image.fromarray(pixels).save(path, **more)
    return pixels


@pytest.fixture
def folders(tmp_path):
    """``HR/0801.png``, ``HR/sub/0802.PNG`` ... with LR images half as large that say where a pixel lies in them."""
    for seed, (name, lr_name) in enumerate(
        (("0801.png", "0801x2.png"), ("sub/0802.PNG", "SUB/0802_x2.bmp"), ("Sub.2/b.png", "Sub.2/b.png"))
    ):
        width, height = 16 + seed, 20 - seed
        rows, columns = np.mgrid[:height, :width]
        lr = np.stack([rows, columns, np.full_like(rows, seed)], -1).astype(np.uint8)
        for kind, file, pixels in (("HR", name, 100 + lr.repeat(2, 0).repeat(2, 1)), ("LR", lr_name, lr)):
            path = tmp_path / kind / file
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(path)
    return tmp_path / "HR", tmp_path / "LR"


def dataset(hr, lr, **more):
    options = {"scale": 2, "patch": 6, "batch_size": 8, "steps_per_epoch": 4, "dtype": "uint8", **more}
    return PatchDataset(hr, lr_files=pair_folders(hr, lr), **options)


def test_partners_go_by_names_in_subfolders(folders):
    hr, lr = folders
    names = {a.relative_to(hr).as_posix(): b.relative_to(lr).as_posix() for a, b in pair_folders(hr, lr).items()}
    assert names == {"0801.png": "0801x2.png", "sub/0802.PNG": "SUB/0802_x2.bmp", "Sub.2/b.png": "Sub.2/b.png"}


def test_case_counts_where_names_differ_by_it_alone(tmp_path):
    for folder, names in (("HR", ("a.png", "A.png")), ("LR", ("Ax2.png", "ax2.png"))):
        for name in names:
            save(tmp_path / folder / name, (4, 4))
    if len(list((tmp_path / "HR").iterdir())) < 2:
        pytest.skip("this disk does not tell the case of letters")
    found = pair_folders(tmp_path / "HR", tmp_path / "LR")
    assert {a.name: b.name for a, b in found.items()} == {"A.png": "Ax2.png", "a.png": "ax2.png"}


def test_missing_partners_are_named_with_their_folders(folders):
    hr, lr = folders
    (hr / "sub" / "0802.PNG").rename(hr / "sub" / "0803.PNG")
    expected = (
        r"images in .*HR and .*LR must match by name, found HR without LR: sub/0803\.PNG; LR without HR: SUB/0802"
    )
    with pytest.raises(DataError, match=expected):
        pair_folders(hr, lr)


def test_a_folder_too_high_is_told_with_those_that_fit(folders):
    hr, lr = folders
    above = lr.parent / "bicubic"
    for name in ("X2", "X4"):
        shutil.copytree(lr, above / name)
    shutil.copytree(lr / "Sub.2", above / "part")
    expected = rf"LR without HR: X2/0801x2\.png, .*; give {above / 'X2'} or {above / 'X4'} instead of {above}\.$"
    with pytest.raises(DataError, match=expected):
        pair_folders(hr, above)
    shutil.rmtree(above / "X4")
    with pytest.raises(DataError, match=rf"; give {above / 'X2'} instead of {above}\.$"):
        pair_folders(hr, above)


def test_swapped_folders_are_told(tmp_path):
    for name in ("HR/0801.png", "HR/0802.png", "LR/0801x4.png", "LR/0802x4.png"):
        save(tmp_path / name, (4, 4))
    with pytest.raises(DataError, match=r"; the two folders seem to be swapped\.$"):
        pair_folders(tmp_path / "LR", tmp_path / "HR")


def test_folders_that_are_none(folders, tmp_path):
    hr, lr = folders
    with pytest.raises(DataError, match=r"found nothing at .*gone; check the path"):
        pair_folders(hr, tmp_path / "gone")
    with pytest.raises(DataError, match=r"expected folders of HR and LR images, found the file .*0801x2\.png"):
        pair_folders(hr, lr / "0801x2.png")


def test_patches_of_both_show_the_same_place(folders):
    """In every orientation; LR patches are the file's pixels, not reductions."""
    patches = dataset(*folders)
    seen = set()
    for index in range(4):
        lr, hr = patches[index]
        assert (lr.repeat(2, 1).repeat(2, 2) + 100 == hr).all()
        seen |= set(lr[:, 0, 0, 2])
    assert seen == {0, 1, 2}, "every photograph"
    again = dataset(*folders)
    assert all((a == b).all() for a, b in zip(patches[3], again[3], strict=True))


def test_pairs_take_turns_in_working_sets(tmp_path):
    """As many as fit; the cache counts both images and what Pillow holds of them."""
    for number in range(12):
        save(tmp_path / "HR" / f"{number}.png", (400, 300), number)
        save(tmp_path / "LR" / f"{number}.png", (200, 150), number)
    patches = dataset(tmp_path / "HR", tmp_path / "LR", cache_gb=0.003)
    assert patches.set_count > 1
    assert all(photo.bytes == 3 * (400 * 300 + 200 * 150) for photo in patches.photos)
    assert all(photo.decoding == 4 * (400 * 300 + 200 * 150) for photo in patches.photos)
    assert patches[0][0].shape == (8, 6, 6, 3)
    patches.close()


def test_teachers_see_the_given_lr_image(folders):
    seen = []

    def teacher(lr):
        seen.append(lr.max((0, 1))[:2].tolist())
        return lr.repeat(2, 0).repeat(2, 1)

    _, hr, teacher_sr = dataset(*folders, teacher=teacher)[0]
    assert sorted(seen) == [[17, 17], [18, 16], [19, 15]]
    assert (teacher_sr + 100 == hr).all()


@pytest.mark.parametrize(
    ("size", "message"),
    [
        ((6, 4), r"x\.png should be 12×8, .*HR/x\.png divided by 2 \(24×16\), found 6×4; give --scale 4\.$"),
        ((8, 5), r"should be 12×8, .*found 8×5; give --scale 3"),
        ((24, 16), r"should be 12×8, .*found 24×16; both are of one size, so give LR images that are reduced, or"),
        (
            (48, 32),
            r"should be 12×8, .*found 48×32; the HR and the LR images \(--data and --lr\) seem to be swapped\.$",
        ),
        (
            (40, 16),
            r"should be 12×8, .*found 40×16; the HR and the LR images \(--data and --lr\) seem to be swapped\.$",
        ),
        ((8, 12), r"should be 12×8, .*found 8×12; use images of the same view"),
        ((13, 9), r"should be 12×8, .*found 13×9; use images of the same view"),
    ],
)
def test_sizes_that_do_not_fit(tmp_path, size, message):
    """Told from the files' headers, and of whole images for validation."""
    save(tmp_path / "HR" / "x.png", (24, 16))
    save(tmp_path / "LR" / "x.png", size)
    with pytest.raises(PairError, match=message):
        dataset(tmp_path / "HR", tmp_path / "LR")
    with pytest.raises(PairError, match=message):
        load_validation(tmp_path / "HR", 2, lr_files=pair_folders(tmp_path / "HR", tmp_path / "LR"))


def test_lr_images_that_were_rounded_up(tmp_path):
    save(tmp_path / "HR" / "x.png", (25, 16))
    save(tmp_path / "LR" / "x.png", (13, 8))
    expected = r"should be 12×8, .*found 13×8; crop HR images to multiples of 2 and reduce them again\.$"
    with pytest.raises(PairError, match=expected):
        dataset(tmp_path / "HR", tmp_path / "LR")


def test_hr_images_are_cut_to_whole_lr_pixels(tmp_path):
    hr, lr = save(tmp_path / "HR" / "x.png", (25, 17)), save(tmp_path / "LR" / "x.png", (12, 8), 1)
    found = load_given_pair(tmp_path / "HR" / "x.png", tmp_path / "LR" / "x.png", 2)
    assert (found.lr == lr).all() and (found.hr == hr[:16, :24]).all()
    assert len(dataset(tmp_path / "HR", tmp_path / "LR").photos) == 1


def test_photographs_may_be_turned_by_exif(tmp_path):
    """HR as the camera stores it, LR as an editor writes it."""
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    hr = save(tmp_path / "HR" / "x.png", (24, 16), exif=exif)
    save(tmp_path / "LR" / "x.png", (8, 12))
    patches = dataset(tmp_path / "HR", tmp_path / "LR")
    assert len(patches.photos) == 1 and not patches.skipped
    found = load_given_pair(tmp_path / "HR" / "x.png", tmp_path / "LR" / "x.png", 2)
    assert (found.hr == np.rot90(hr, -1)).all()


def test_formats_may_be_turned_each_in_its_way(tmp_path):
    """A TIFF decoder turns by itself what it says, a JPEG's does not; and sizes that fit as stored alone do not."""
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    hr_path, lr_path = tmp_path / "HR" / "x.jpg", tmp_path / "LR" / "x.tif"
    save(hr_path, (200, 100), exif=exif)
    save(lr_path, (100, 50), exif=exif)
    found = load_given_pair(hr_path, lr_path, 2)
    assert found.lr.shape == (100, 50, 3) and found.hr.shape == (200, 100, 3)
    patches = dataset(tmp_path / "HR", tmp_path / "LR")
    assert len(patches.photos) == 1 and not patches.skipped
    save(lr_path, (100, 50))
    with pytest.raises(PairError, match=r"should be 50×100, .* found 100×50; use images of the same view"):
        dataset(tmp_path / "HR", tmp_path / "LR")


def test_files_of_which_one_is_damaged_are_left_out(folders):
    hr, lr = folders
    (lr / "0801x2.png").write_bytes(b"no image")
    patches = dataset(hr, lr)
    assert [path.name for path in patches.skipped] == ["0801.png"]
    assert "1 skipped: 0801.png" in patches.describe()


def test_degradations_and_reduced_copies_do_not_go_with_them(folders):
    for more in ({"degradations": Degradations()}, {"hr_scales": (0.5,)}):
        with pytest.raises(DataError, match="expected LR files, or degradations and HR scales, found both"):
            dataset(*folders, **more)


def test_hr_and_lr_below_a_folder_are_found(tmp_path):
    for place in ("a/x4/HR/1.png", "a/x4/LR/1.png", "LR/2.png", "b/hr/3.png", "b/lr/sub/3.png"):
        save(tmp_path / place, (4, 4))
    files = sorted(tmp_path.rglob("*.png"))
    assert find_hr_and_lr(files) == (tmp_path / "a/x4/HR", tmp_path / "a/x4/LR")
    assert find_hr_and_lr([path for path in files if "a" not in path.parts]) == (tmp_path / "b/hr", tmp_path / "b/lr")
    assert find_hr_and_lr([tmp_path / "LR/2.png"]) is None
