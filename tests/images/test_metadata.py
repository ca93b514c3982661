"""Metadata that stay true for an enlarged picture, beside those that test_image_files checks per format."""

import struct

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageCms, TiffImagePlugin

from helpers.image_files import chunk, random_samples, tiff_bytes
from span_keras.images.picture import Metadata, Picture, scaled_metadata
from span_keras.images.read import read_image
from span_keras.images.write import open_writer, write_image
from span_keras.images.xmp import scaled_xmp

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
SHAPE = (9, 14)


def image(mode="RGB"):
    return Image.fromarray(random_samples(3, shape=SHAPE)).convert(mode)


PACKET = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">\
<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about=""
 xmlns:dc="http://purl.org/dc/elements/1.1/"
 xmlns:tiff="http://ns.adobe.com/tiff/1.0/"
 xmlns:exif="http://ns.adobe.com/exif/1.0/"
 xmlns:GCamera="http://ns.google.com/photos/1.0/camera/"
 xmlns:Container="http://ns.google.com/photos/1.0/container/"
 xmlns:Item="http://ns.google.com/photos/1.0/container/item/"
 xmlns:hdrgm="http://ns.adobe.com/hdr-gain-map/1.0/"
 xmlns:note="http://ns.adobe.com/xmp/note/"
 xmlns:GPano="http://ns.google.com/photos/1.0/panorama/"
 {attributes}>{elements}</rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end="w"?>"""


def packet(attributes="", elements=""):
    return PACKET.format(attributes=attributes, elements=elements).encode()


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (packet('GCamera:MotionPhoto="1" GCamera:MicroVideoOffset="123" dc:title="t"'), packet('dc:title="t"')),
        (packet('hdrgm:Version="1.0" note:HasExtendedXMP="ABC"'), packet()),
        (packet('GCamera:HdrPlusMakernote="x"'), packet('GCamera:HdrPlusMakernote="x"')),
        (
            packet('tiff:ImageWidth="14" tiff:ImageLength="9"', "<exif:PixelXDimension>14</exif:PixelXDimension>"),
            packet('tiff:ImageWidth="56" tiff:ImageLength="36"', "<exif:PixelXDimension>56</exif:PixelXDimension>"),
        ),
        (
            packet(
                elements="<Container:Directory><rdf:Seq><rdf:li Item:Mime='video/mp4' Item:Length='12'/></rdf:Seq>"
                "</Container:Directory><dc:title>t</dc:title>"
            ),
            packet(elements="<dc:title>t</dc:title>"),
        ),
        (
            packet(
                'GPano:CroppedAreaImageWidthPixels="14" GPano:FullPanoWidthPixels="28" GPano:CroppedAreaLeftPixels="3"'
            ),
            packet(
                'GPano:CroppedAreaImageWidthPixels="56" GPano:FullPanoWidthPixels="112" '
                'GPano:CroppedAreaLeftPixels="12"'
            ),
        ),
        (packet('GPano:FullPanoWidthPixels="28"'), packet()),  # nobody knows of which size
        (packet(elements="<tiff:ImageWidth/>"), packet(elements="<tiff:ImageWidth/>")),
    ],
)
def test_xmp_follows_the_size_and_forgets_other_parts_of_the_file(given, expected):
    def canonical(data):
        from xml.etree import ElementTree

        return ElementTree.canonicalize(data.decode(), strip_text=True, rewrite_prefixes=True)

    assert canonical(scaled_xmp(given, 56, 36)) == canonical(expected)


def test_xmp_without_any_of_it_stays_word_for_word():
    for given in (packet('dc:title="t"'), b"<x:broken", b"", "<a>é</a>".encode("utf-16")):
        assert scaled_xmp(given, 56, 36) == given
    assert scaled_xmp(packet('dc:title="t"') + b"\0\0", 56, 36) == packet('dc:title="t"')


@pytest.mark.parametrize(
    "given",
    [
        b"<x GCamera:MotionPhoto='1'",
        b"<!DOCTYPE x [<!ENTITY a 'b'>]><x xmlns:h='http://ns.adobe.com/hdr-gain-map/1.0/' h:Version='&a;'/>",
    ],
)
def test_xmp_that_cannot_be_read_goes_where_it_names_other_parts(given):
    assert scaled_xmp(given, 56, 36) is None


def test_entities_of_xmp_are_not_expanded():
    bomb = b"<!DOCTYPE x [<!ENTITY a 'aaaaaaaaaa'>" + b"".join(
        b"<!ENTITY %c '%s'>" % (98 + n, b"&%c;" % (97 + n) * 10) for n in range(12)
    )
    bomb += b"]><x>&m;</x>"
    assert scaled_xmp(bomb, 56, 36) == bomb


def test_xmp_of_a_picture_follows_its_size(tmp_path):
    image().save(tmp_path / "a.jpg", xmp=packet('tiff:ImageWidth="14" hdrgm:Version="1.0"'))
    metadata = scaled_metadata(read_image(tmp_path / "a.jpg").metadata, 28, 18)
    assert b'tiff:ImageWidth="28"' in metadata.xmp and b"Version" not in metadata.xmp


def test_an_orientation_in_xmp_alone_is_left_alone(tmp_path):
    """Browsers and viewers pay no heed to it; Pillow would turn the picture."""
    xmp = packet('tiff:Orientation="6"')
    image().save(tmp_path / "a.jpg", xmp=xmp)
    found = read_image(tmp_path / "a.jpg")
    assert found.samples.shape[:2] == SHAPE and found.metadata.xmp == xmp
    exif = Image.Exif()
    exif[ExifTags.Base.Artist] = "Someone"
    image().save(tmp_path / "b.jpg", xmp=xmp, exif=exif)
    assert read_image(tmp_path / "b.jpg").samples.shape[:2] == SHAPE


IPTC = b"\x1c\x02\x78\0\x0bHello world\x1c\x02\x50\0\x04Anna"


@pytest.mark.parametrize("source", [".jpg", ".tif", ".png"])
@pytest.mark.parametrize("target", [".jpg", ".tif", ".png"])
def test_iptc_is_kept(tmp_path, source, target):
    write_image(tmp_path / f"a{source}", Picture(random_samples(3, shape=SHAPE), Metadata(iptc=IPTC)))
    write_image(tmp_path / f"b{target}", read_image(tmp_path / f"a{source}"))
    assert read_image(tmp_path / f"b{target}").metadata.iptc == IPTC


def test_pillow_finds_our_iptc(tmp_path):
    from PIL import IptcImagePlugin

    for suffix in (".jpg", ".tif"):
        write_image(tmp_path / f"a{suffix}", Picture(random_samples(3, shape=SHAPE), Metadata(iptc=IPTC)))
        with Image.open(tmp_path / f"a{suffix}") as found:
            assert IptcImagePlugin.getiptcinfo(found) == {(2, 120): b"Hello world", (2, 80): b"Anna"}


def test_a_ycbcr_tiff_keeps_its_profile(tmp_path):
    profile = SRGB[:-4] + b"abcd"
    image("YCbCr").save(tmp_path / "a.tif", icc_profile=profile)
    found = read_image(tmp_path / "a.tif")
    assert found.metadata.icc == profile
    np.testing.assert_array_equal(found.samples, np.asarray(image("YCbCr").convert("RGB")))
    image("YCbCr").save(tmp_path / "b.tif")
    assert read_image(tmp_path / "b.tif").metadata.icc[16:20] == b"RGB "


def test_no_resolution_is_invented(tmp_path):
    (tmp_path / "none.tif").write_bytes(tiff_bytes(random_samples(3, np.uint16, SHAPE)))
    exif = Image.Exif()
    exif[ExifTags.Base.Artist] = "Someone"
    image().save(tmp_path / "exif.jpg", exif=exif)  # Pillow gives 72
    image().save(tmp_path / "plain.jpg")
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[282], tags[283], tags[296] = 3.0, 2.0, 1  # an aspect ratio
    image().save(tmp_path / "ratio.tif", tiffinfo=tags)
    for path in sorted(tmp_path.iterdir()):
        found = read_image(path)
        assert found.metadata.dpi is None, path
        write_image(tmp_path / "out.jpg", Picture(np.uint8(found.samples), found.metadata))
        with Image.open(tmp_path / "out.jpg") as written:
            assert written.info["jfif_unit"] == 0, path
        (tmp_path / "out.jpg").unlink()


@pytest.mark.parametrize(("unit", "dpi"), [(2, 300.0), (3, 762.0)])
def test_a_resolution_in_inches_or_centimetres_is_read(tmp_path, unit, dpi):
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[282], tags[283], tags[296] = 300.0, 300.0, unit
    image().save(tmp_path / "a.tif", tiffinfo=tags)
    exif = Image.Exif()
    exif[282], exif[283], exif[296] = 300.0, 300.0, unit
    image().save(tmp_path / "a.webp", exif=exif)
    for name in ("a.tif", "a.webp"):
        assert read_image(tmp_path / name).metadata.dpi == pytest.approx((dpi, dpi)), name


def test_a_latin_1_comment_survives(tmp_path):
    image().save(tmp_path / "a.jpg", comment="Grüße".encode("latin-1"))
    assert read_image(tmp_path / "a.jpg").metadata.texts == {"Comment": "Grüße"}


def test_colours_that_a_png_states_without_a_profile_are_kept(tmp_path):
    image().save(tmp_path / "a.png")
    whole = (tmp_path / "a.png").read_bytes()
    numbers = struct.pack(">8I", 31270, 32900, 68000, 32000, 26500, 69000, 15000, 6000)
    extra = chunk(b"cICP", bytes([9, 16, 0, 1])) + chunk(b"cHRM", numbers) + chunk(b"gAMA", struct.pack(">I", 55000))
    (tmp_path / "a.png").write_bytes(whole[:33] + extra + whole[33:])
    write_image(tmp_path / "b.png", read_image(tmp_path / "a.png"))
    data = (tmp_path / "b.png").read_bytes()
    for name, content in ((b"cICP", bytes([9, 16, 0, 1])), (b"cHRM", numbers), (b"gAMA", struct.pack(">I", 55000))):
        place = data.index(name)
        assert data[place + 4 : place + 4 + len(content)] == content
        assert place < data.index(b"IDAT")


@pytest.mark.parametrize("deflate", [False, True])
@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize("predictor", [1, 2])
@pytest.mark.parametrize("order", ["<", ">"])
def test_16_bit_grey_with_alpha_of_a_tiff(tmp_path, deflate, orientation, predictor, order):
    """A kind that Pillow does not know, in either byte order, with or without differences."""
    import zlib

    values = random_samples(2, np.uint16, SHAPE)
    stored = values.copy()
    if predictor == 2 and deflate:  # it means nothing where nothing is compressed
        stored[:, 1:] -= values[:, :-1]
    pixels = stored.astype(f"{order}u2").tobytes()
    pixels = zlib.compress(pixels) if deflate else pixels
    tags = {256: SHAPE[1], 257: SHAPE[0], 258: (16, 16), 259: 8 if deflate else 1, 262: 1, 273: 200, 274: orientation}
    tags |= {277: 2, 278: SHAPE[0], 279: len(pixels), 317: predictor, 338: 2}
    data = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}IH", 8, len(tags))
    for tag, value in tags.items():
        both = value if isinstance(value, tuple) else (value, 0)
        data += struct.pack(f"{order}HHIHH", tag, 3, 2 if isinstance(value, tuple) else 1, *both)
    (tmp_path / "a.tif").write_bytes((data + bytes(4)).ljust(200, b"\0") + pixels)
    found = read_image(tmp_path / "a.tif").samples
    expected = values if orientation == 1 else np.rot90(values, -1)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(("name", "module"), [("a.heic", "pillow_heif"), ("a.jxl", "pillow_jxl")])
def test_formats_of_plugins_keep_orientation_profile_and_exif(tmp_path, name, module):
    plugin = pytest.importorskip(module)
    getattr(plugin, "register_heif_opener", lambda: None)()
    exif = Image.Exif()
    exif[ExifTags.Base.Artist] = "Someone"
    image().save(tmp_path / name, quality=95, exif=exif.tobytes(), icc_profile=SRGB)
    found = read_image(tmp_path / name)
    assert found.samples.shape == (*SHAPE, 3) and found.notes == ()
    assert found.metadata.icc[16:20] == b"RGB "  # JPEG XL's decoder writes it anew
    kept = Image.Exif()
    kept.load(found.metadata.exif)
    assert kept[ExifTags.Base.Artist] == "Someone"


def test_a_tiff_beyond_4_gb_is_a_bigtiff(tmp_path, monkeypatch):
    """The limit is lowered: a real one would take the disk."""
    monkeypatch.setattr("span_keras.images.encoders.MAX_PIXEL_BYTES", 100)
    values = random_samples(3, np.uint16, SHAPE)
    metadata = Metadata(icc=SRGB, dpi=(300.0, 300.0), iptc=IPTC)
    with open_writer(tmp_path / "a.tif", *values.shape, values.dtype, metadata) as write:
        write(values)
    assert (tmp_path / "a.tif").read_bytes()[:4] == b"II\x2b\0"
    found = read_image(tmp_path / "a.tif")
    np.testing.assert_array_equal(found.samples, values)
    assert (found.metadata.icc, found.metadata.iptc) == (SRGB, IPTC)
