"""Files as people have them: what the page makes of each and says beside the picture."""

import io
import struct

from PIL import Image, PngImagePlugin

from helpers.browser import library, make_scene

TRY = """
const upscaler = await span.loadUpscaler('/models/x2/model.json', { backend: 'wasm' });
const found = [];
for (const [name, bytes] of given) {
  try {
    const { width, height, notes } = await upscaler.upscale(new File([new Uint8Array(bytes)], name));
    found.push([[width, height], notes]);
  } catch (error) { found.push([null, [error.message]]); }
}
upscaler.dispose();
return found;"""

MADE = [64, 48]
UPRIGHT = [48, 64]


def encoded(kind: str, **options) -> bytes:
    file = io.BytesIO()
    Image.fromarray(make_scene(24, 32)).save(file, kind, **options)
    return file.getvalue()


def with_bad_text() -> bytes:
    texts = PngImagePlugin.PngInfo()
    texts.add_text("a", "b")
    data = bytearray(encoded("PNG", pnginfo=texts))
    data[data.index(b"tEXta") + 7] ^= 1
    return bytes(data)


def frames(kind: str) -> bytes:
    others = [Image.fromarray(make_scene(24, 32, seed=seed)) for seed in (1, 2)]
    return encoded(kind, save_all=True, append_images=others)


def gain_map() -> bytes:
    namespaces = b'xmlns:x="adobe:ns:meta/" xmlns:hdrgm="http://ns.adobe.com/hdr-gain-map/1.0/"'
    xmp = b"<x:xmpmeta " + namespaces + b'><a hdrgm:Version="1.0"/></x:xmpmeta>'
    return encoded("JPEG", xmp=xmp)


def turned(kind: str) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return encoded(kind, exif=exif)


JPEG = encoded("JPEG", quality=95)
PNG = encoded("PNG")
LACKS_END = "The file lacks its end, but all pixels are there."
VIDEO = b"\0\0\0\x18ftypmp42" + bytes(8)
SVG = b"<svg xmlns='http://www.w3.org/2000/svg'/>"
HEIC = struct.pack(">I", 24) + b"ftypheic" + bytes(4) + b"mif1heic"

CASES = {
    "noeoi.jpg": (JPEG[:-2], MADE, LACKS_END),
    "noiend.png": (PNG[:-12], MADE, LACKS_END),
    "noend.gif": (encoded("GIF")[:-1], MADE, LACKS_END),
    "half.jpg": (JPEG[: len(JPEG) * 2 // 3], MADE, "The file is cut off; "),
    **{
        f"half.{kind}": (data[: len(data) * 2 // 3], None, f"half.{kind} is cut off: ")
        for kind, data in {"png": PNG, **{kind: encoded(kind) for kind in ("webp", "gif", "bmp")}}.items()
    },
    **{f"turned.{kind}": (turned(kind), UPRIGHT, "") for kind in ("jpeg", "png", "webp")},
    "badtextcrc.png": (with_bad_text(), MADE, "A damaged tEXt chunk is left out."),
    "anim.gif": (frames("GIF"), MADE, "It holds 3 frames; only the first is used."),
    "anim.png": (frames("PNG"), MADE, "It holds 3 frames; only the first is used."),
    "anim.webp": (frames("WEBP"), MADE, "It holds 3 frames; only the first is used."),
    "motion.jpg": (JPEG + VIDEO, MADE, "It holds a video of 20 bytes behind the picture, left out."),
    "hdr.jpg": (gain_map(), MADE, "It is an HDR photograph; its gain map for bright screens is left out."),
    "gif.png": (encoded("GIF"), MADE, ""),
    "photo.jfif": (JPEG, MADE, ""),
    "phone.mpo": (JPEG, MADE, ""),
    "photo.avif": (encoded("AVIF"), MADE, ""),
    "heic.jpg": (HEIC, None, "heic.jpg is a HEIC photograph, which this browser does not read; "),
    "draw.svg": (SVG, None, "draw.svg is a drawing (SVG), which is sharp in any size; "),
    "F.tif": (encoded("TIFF"), None, "F.tif is a TIFF image, which this browser does not read; "),
    "empty.jpg": (b"", None, "empty.jpg is empty; choose another file."),
    "no.jpg": (b"no", None, "no.jpg is damaged or not an image that this browser reads; "),
}  # fmt: skip


def test_files_of_every_kind(blank):
    found = library(blank, TRY, *[[name, list(content)] for name, (content, *_) in CASES.items()])
    for (name, (_, size, note)), (made, notes) in zip(CASES.items(), found, strict=True):
        assert made == size, (name, notes)
        assert " ".join(notes).startswith(note) and bool(notes) == bool(note), (name, notes)
