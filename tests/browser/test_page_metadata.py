"""Metadata of photographs in the page's files, against those that span-upscale writes."""

import io
import struct
from xml.etree import ElementTree

import numpy as np
from PIL import ExifTags, Image, ImageCms, IptcImagePlugin, PngImagePlugin

from helpers.browser import library, make_scene
from span_keras.images.picture import Metadata, Picture, scaled_metadata, storable
from span_keras.images.read import read_image
from span_keras.images.write import write_image

IPTC = b"\x1c\x02\x78\0\x0bHello world\x1c\x02\x50\0\x04Anna"
XMP = (
    '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
    '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about=""'
    ' xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:tiff="http://ns.adobe.com/tiff/1.0/"'
    ' xmlns:GCamera="http://ns.google.com/photos/1.0/camera/" tiff:Orientation="6" tiff:ImageWidth="20"'
    ' GCamera:MotionPhoto="1" dc:title="Grüße"/></rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
).encode()

MAKE = """
const { convert } = await import('/ui/download.js');
const upscaler = await span.loadUpscaler('/models/x2/model.json', { backend: 'wasm' });
const made = [];
for (const [bytes, name] of given) {
  const result = await upscaler.upscale(new File([new Uint8Array(bytes)], name));
  const files = {};
  for (const type of ['png', 'jpeg', 'webp']) {
    const { blob } = await convert({ name, result }, `image/${type}`);
    files[type] = [...new Uint8Array(await blob.arrayBuffer())];
  }
  made.push([files, result.notes]);
}
upscaler.dispose();
return made;"""


def rich_exif() -> Image.Exif:
    """What a camera writes: also an orientation, notes of its own and a thumbnail."""
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    exif[ExifTags.Base.Make] = "Nikon"
    exif[ExifTags.Base.Copyright] = "(c) Someone"
    exif[ExifTags.Base.ImageWidth] = 20
    exif[ExifTags.Base.XResolution], exif[ExifTags.Base.YResolution] = 240.0, 240.0
    exif[ExifTags.Base.ResolutionUnit] = 2
    exif.get_ifd(ExifTags.IFD.Exif).update(
        {36867: "2024:05:06 07:08:09", 40962: 20, 40963: 16, 37500: b"notes", 33434: (1, 125)}
    )
    exif.get_ifd(ExifTags.IFD.GPSInfo).update({1: "N", 2: (48.0, 12.0, 30.0), 3: "E", 4: (16.0, 22.0, 10.0)})
    exif.get_ifd(ExifTags.IFD.IFD1).update({259: 6, 282: 72.0})
    return exif


def profile() -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def photographs(folder):
    """Files with all that each format may hold, and files with nothing."""
    scene = Image.fromarray(make_scene(16, 20))
    resource = b"8BIM\x04\x04\0\0" + struct.pack(">I", len(IPTC)) + IPTC + bytes(len(IPTC) % 2)
    segment = b"Photoshop 3.0\0" + resource
    segment = b"\xff\xed" + struct.pack(">H", len(segment) + 2) + segment
    rich = {"exif": rich_exif(), "xmp": XMP, "icc_profile": profile()}
    scene.save(folder / "rich.jpg", dpi=(300, 300), comment="Grüße".encode("latin-1"), extra=segment, **rich)
    scene.save(folder / "rich.webp", lossless=True, **rich)
    write_image(
        folder / "rich.png",
        Picture(
            make_scene(16, 20),
            Metadata(profile(), rich_exif().tobytes(), XMP, (118.0, 59.0), {"Title": "é"}, iptc=IPTC),
        ),
    )
    scene.save(folder / "rich.avif", exif=rich_exif(), xmp=XMP)
    texts = PngImagePlugin.PngInfo()
    texts.add_text("Author", "Ärmel", zip=True)
    texts.add_itxt("Comment", "日本", zip=True)
    scene.save(folder / "texts.png", pnginfo=texts)
    for name in ("plain.jpg", "plain.png", "plain.webp"):
        scene.save(folder / name)
    return sorted(path for path in folder.iterdir() if path.is_file())


def told(data: bytes) -> dict:
    """Everything that Pillow finds in a file beside its pixels."""
    with Image.open(io.BytesIO(data)) as image:
        image.load()
        exif = image.getexif()
        found = {
            "size": image.size,
            "exif": dict(exif) | {tag: dict(exif.get_ifd(tag)) for tag in ExifTags.IFD},
            "xmp": image.info.get("xmp", b""),
            "icc": image.info.get("icc_profile"),
            "texts": {k: v for k, v in getattr(image, "text", {}).items() if k != "XML:com.adobe.xmp"},
            "iptc": IptcImagePlugin.getiptcinfo(image),
            "jfif": [image.info.get(name) for name in ("jfif_unit", "jfif_density", "comment")],
            "dpi": image.info.get("dpi"),
        }
    found["exif"] = {k: v for k, v in found["exif"].items() if not (isinstance(v, dict) and not v)}
    return found


def test_metadata_are_those_of_the_command(blank, tmp_path):
    paths = photographs(tmp_path)
    made = library(blank, MAKE, *[[list(path.read_bytes()), path.name] for path in paths])
    for path, (files, notes) in zip(paths, made, strict=True):
        picture = read_image(path)
        for kind, content in files.items():
            found = told(bytes(content))
            width, height = found["size"]
            target = tmp_path / f"command.{kind}"
            metadata, _ = storable(target, scaled_metadata(picture.metadata, width, height), 3, np.uint8)
            write_image(target, Picture(np.zeros((height, width, 3), np.uint8), metadata))
            expected = told(target.read_bytes())
            packets = [(each.pop("xmp") or b"<none/>").decode().replace("\ufeff", "") for each in (found, expected)]
            assert found == expected, (path.name, kind)
            assert len({ElementTree.canonicalize(packet, strip_text=True) for packet in packets}) == 1
        assert notes == [], path.name
