"""Damage that spares the pixels is mended with a note; ``strict`` refuses it; everything else is refused."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from span_keras.errors import ImageError
from span_keras.images.read import read_image
from span_keras.images.source import Encoded


def photo(height=107, width=160):
    rows, columns = np.mgrid[0:height, 0:width]
    waves = np.stack([np.sin(rows / 9 + c) + np.cos(columns / 7) for c in range(3)], -1)
    return np.uint8(127 + 50 * waves + np.random.default_rng(0).normal(0, 4, waves.shape))


def encoded(kind, **options):
    stream = io.BytesIO()
    Image.fromarray(photo()).save(stream, kind, **options)
    return stream.getvalue()


def read(data, **options):
    return read_image(Encoded("image", data), **options)


def refused(data, message, **options):
    with pytest.raises(ImageError, match=message):
        read(data, **options)


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize(("missing", "lost"), [(1, "all pixels are there"), (2, "all pixels are there"), (10, "lost")])
def test_a_jpeg_without_its_last_bytes_is_read(missing, lost, progressive):
    whole = encoded("JPEG", quality=90, progressive=progressive)
    found = read(whole[:-missing])
    (note,) = found.notes
    assert note.startswith("image lacks its end, ") and lost in note
    different = (found.samples != read(whole).samples).any(2)
    assert different.mean() < 0.02
    assert not different.any() or missing == 10
    refused(whole[:-missing], "^image is damaged or truncated", strict=True)


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("share", [0.5, 0.8, 0.95])
def test_a_jpeg_that_lost_pixels_is_refused(share, progressive):
    whole = encoded("JPEG", quality=90, progressive=progressive)
    refused(whole[: int(share * len(whole))], "damaged or truncated")


def test_a_progressive_jpeg_without_its_last_scans_is_refused():
    """Its pixels are all there, but blurred: nothing but the headers of scans tells."""
    whole = encoded("JPEG", quality=90, progressive=True)
    last = whole.rindex(b"\xff\xda")
    refused(whole[:last], "damaged or truncated")


def test_a_jpeg_behind_other_bytes_is_read():
    assert read(b"\r\n" + encoded("JPEG")).notes == ("image has 2 bytes before its beginning, which are left out.",)


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_what_stands_behind_the_end_is_left_out_with_a_note(kind):
    whole = encoded(kind)
    found = read(whole + b"junk behind")
    np.testing.assert_array_equal(found.samples, read(whole).samples)
    note = "image holds data of 11 bytes behind the end of the picture, which are left out."
    assert found.notes == (note,)
    refused(whole + b"junk behind", "holds data of 11 bytes behind the end of the picture; leave", strict=True)
    assert "holds a video of 20 bytes" in read(whole + b"\0\0\0\x14ftypmp42" + bytes(8)).notes[0]
    assert read(whole + bytes(100), strict=True).notes == ()  # cameras fill up blocks


def test_further_pictures_of_an_mpo_are_no_junk(tmp_path):
    images = [Image.fromarray(photo()) for _ in range(2)]
    images[0].save(tmp_path / "a.mpo", save_all=True, append_images=images[1:])
    assert read_image(tmp_path / "a.mpo", strict=True).notes == ()


def chunks(data):
    place = 8
    while place < len(data):
        stop = place + 12 + int.from_bytes(data[place : place + 4], "big")
        yield data[place + 4 : place + 8], place, stop
        place = stop


def with_wrong_checksum(data, name):
    stop = next(stop for found, _, stop in chunks(data) if found == name)
    return data[: stop - 4] + bytes(4) + data[stop:]


def png_with_text():
    whole = encoded("PNG")
    text = b"tEXtTitle\0hello"
    return whole[:33] + struct.pack(">I", len(text) - 4) + text + struct.pack(">I", zlib.crc32(text)) + whole[33:]


def test_damage_of_a_png_that_spares_the_pixels_is_mended():
    whole = png_with_text()
    expected = read(whole)
    assert expected.notes == () and expected.metadata.texts == {"Title": "hello"}
    for damaged, note in (
        (with_wrong_checksum(whole, b"tEXt"), "has a damaged tEXt chunk, which is left out"),
        (whole[:-12], "lacks its end, but all pixels are there"),
        (with_wrong_checksum(whole, b"tEXt")[:-12], "left out and lacks its end, but all pixels are there"),
    ):
        found = read(damaged)
        np.testing.assert_array_equal(found.samples, expected.samples)
        assert note in found.notes[0]
        refused(damaged, "^image (is|lacks)", strict=True)


def test_a_png_that_lost_pixels_is_refused():
    whole = png_with_text()
    start = whole.index(b"IDAT")
    refused(with_wrong_checksum(whole, b"IHDR"), "damaged or truncated")
    refused(whole[: start + 1000], "damaged or truncated")
    changed = bytearray(whole)
    changed[start + 500] ^= 1
    refused(bytes(changed), "damaged or truncated")
