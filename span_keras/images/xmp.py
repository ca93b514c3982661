"""Keep XMP true for an enlarged picture: sizes follow, and what describes other parts of the old file goes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from xml.dom import Node, minidom
from xml.dom.minidom import Element

_STALE = {
    "http://ns.adobe.com/hdr-gain-map/1.0/",
    "http://ns.google.com/photos/1.0/container/",
    "http://ns.google.com/photos/1.0/container/item/",
    "http://ns.google.com/photos/1.0/audio/",
    "http://ns.google.com/photos/1.0/depthmap/",
    "http://ns.google.com/photos/1.0/image/",
    "http://ns.google.com/photos/dd/1.0/container/",
    "http://ns.google.com/photos/dd/1.0/item/",
    "http://ns.google.com/photos/dd/1.0/device/",
    "http://ns.apple.com/HDRGainMap/1.0/",
    "http://ns.apple.com/pixeldatainfo/1.0/",
    "http://ns.adobe.com/xmp/note/",
}
"""Namespaces of pictures, videos and depth maps behind the picture, of a gain map, and of XMP in further segments."""

_STALE_NAMES = re.compile(rb"MotionPhoto|MicroVideo|SpecialTypeID")
"""What begins the names of such properties in Google's namespace for cameras, which has others too."""

_CAMERA = "http://ns.google.com/photos/1.0/camera/"

_TIFF, _EXIF = "http://ns.adobe.com/tiff/1.0/", "http://ns.adobe.com/exif/1.0/"
_PANORAMA = "http://ns.google.com/photos/1.0/panorama/"

_SIZES = {
    **dict.fromkeys([(_TIFF, "ImageWidth"), (_EXIF, "PixelXDimension")], False),
    **dict.fromkeys([(_TIFF, "ImageLength"), (_EXIF, "PixelYDimension")], True),
}
"""Properties that repeat the picture's size, and whether they mean its height."""

_CROPPED = {
    (_PANORAMA, "CroppedAreaImageWidthPixels"): False,
    (_PANORAMA, "CroppedAreaImageHeightPixels"): True,
}
"""The same of a panorama, whose other sizes go by these."""


def scaled_xmp(xmp: bytes, width: int, height: int) -> bytes | None:
    """Return an XMP packet for a picture of another size, word for word where nothing in it depends on that.

    Args:
        xmp: the packet.
        width, height: of the new picture in pixels.

    Returns:
        The packet. XML that is broken or has entities is kept as it is, unless it names such parts; then None.
    """
    if not xmp.startswith((b"\xff\xfe", b"\xfe\xff")):  # whose characters have two bytes
        xmp = xmp.strip(b"\0")
    try:
        if b"<!DOCTYPE" in xmp or b"<!ENTITY" in xmp:
            raise ValueError("entities may stand for anything, of any length")
        document = minidom.parseString(xmp)
    except Exception:  # an encoding that is none raises other errors than the parser's
        return None if any(name.encode() in xmp for name in _STALE) or _STALE_NAMES.search(xmp) else xmp
    elements = document.getElementsByTagName("*")
    properties = [each for element in elements for each in _properties(element)]
    factors = {}
    for name, value, _, _ in properties:
        if name in _CROPPED and value.strip().isdigit() and int(value):
            factors[_CROPPED[name]] = (height if _CROPPED[name] else width) / int(value)
    changed = False
    for (namespace, name), value, assign, remove in properties:
        if (namespace, name) in _SIZES:
            assign(str(height if _SIZES[namespace, name] else width))
        elif namespace == _PANORAMA and name.endswith("Pixels"):
            factor = factors.get(name.endswith(("HeightPixels", "TopPixels")))
            assign(str(round(int(value) * factor))) if factor and value.strip().isdigit() else remove()
        elif namespace in _STALE or (namespace == _CAMERA and _STALE_NAMES.match(name.encode())):
            remove()
        else:
            continue
        changed = True
    return document.toxml().encode().removeprefix(b'<?xml version="1.0" ?>') if changed else xmp


def _properties(element: Element) -> Iterator[tuple[tuple[str, str], str, Callable[[str], None], Callable[[], None]]]:
    """Yield the properties that an element holds or is: ``((namespace, name), value, assign, remove)``."""
    for attribute in list(element.attributes.values()):
        yield (
            (attribute.namespaceURI, attribute.localName),
            attribute.value,
            lambda value, attribute=attribute: setattr(attribute, "value", value),
            lambda attribute=attribute: element.removeAttributeNode(attribute),
        )
    parent, text = element.parentNode, element.firstChild
    if parent and parent.nodeType == Node.ELEMENT_NODE:
        is_text = text is not None and text.nodeType == Node.TEXT_NODE
        yield (
            (element.namespaceURI, element.localName),
            text.data if is_text else "",
            lambda value: setattr(text, "data", value) if is_text else None,
            lambda: parent.removeChild(element),
        )
