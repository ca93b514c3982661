"""Make the pictures of README.md, docs/ and the page from bundled photographs.

    python scripts/pictures.py                      # docs/images/: before-after.webp, page.webp, page-phone.webp
    python scripts/pictures.py --only before-after  # without a browser
    python scripts/pictures.py --only sample        # web_demo/sample/: the page's first view

The bundled networks were trained on none of these photographs. Pictures of the page need Playwright and Chromium
(``pip install -c constraints.txt '.[test]'``).
"""

from __future__ import annotations

import shutil
import tempfile
import threading
from pathlib import Path

import click
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from span_keras.cli import reports_errors
from span_keras.data.photos import BUNDLED_VAL
from span_keras.inference.networks import DEFAULT_NETWORK
from span_keras.quiet import hushed

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "docs" / "images"
SAMPLE = ROOT / "web_demo" / "sample"
PICTURES = ("before-after", "page", "sample")
WEIGHTS = "bundled:x4"

IN_PAGE = ("bundled:x4-photo", "bundled:x4", "bundled:x4-fast")
"""Networks that the page in the pictures offers."""
CAT = BUNDLED_VAL / "cat.jpg"
CROP = (124, 66, 104, 80)
"""Left, top, width and height of the cat's eye in pixels of the photograph."""
SAMPLE_SIZE = (225, 150)
"""Width and height of the cat in the page's first view, before it is enlarged: 45 kB in all."""
GAP, BAR = 6, 34
"""Pixels between two panels, and height of the labels below them."""
INK, PAPER = (255, 255, 255), (24, 26, 30)
DESKTOP = {"viewport": {"width": 1200, "height": 800}, "device_scale_factor": 1}
PHONE = {"viewport": {"width": 390, "height": 844}, "device_scale_factor": 2, "is_mobile": True, "has_touch": True}
PATIENCE = 300_000
"""Milliseconds that enlarging a photograph may take on WebAssembly."""


@click.command()
@click.option(
    "--out", type=click.Path(file_okay=False, path_type=Path), default=FOLDER, help="Folder of docs' pictures."
)
@click.option("--only", type=click.Choice(PICTURES), multiple=True, help="Make these alone. Can be repeated.")
@reports_errors
def main(out: Path, only: tuple[str, ...]):
    """Write the pictures of README.md and docs/."""
    out.mkdir(parents=True, exist_ok=True)
    if "before-after" in (only or PICTURES):
        save(before_and_after(), out / "before-after.webp", quality=92)
    if "page" in (only or PICTURES):
        for name, picture in page_pictures():
            save(picture, out / f"{name}.webp", quality=88)
    if "sample" in (only or PICTURES):
        before = SAMPLE / "before.jpg"
        photo = Image.open(CAT)
        # One column less: two to three are the sides of the page's picture.
        photo.crop((0, 0, 450, 300)).resize(SAMPLE_SIZE, Image.Resampling.BICUBIC).save(before, quality=85)
        save(enlarged(before), SAMPLE / "after.webp", quality=78)


def save(picture: Image.Image, path: Path, quality: int) -> None:
    """Write a WebP file and print its size."""
    picture.save(path, quality=quality, method=6)
    click.echo(f"{path}: {picture.width}×{picture.height}, {path.stat().st_size / 1e3:.0f} kB")


def enlarged(path: Path) -> Image.Image:
    """Return a photograph as the page enlarges it when nothing is chosen."""
    with hushed():
        from span_keras import Upscaler
        from span_keras.images import bicubic

        upscaler = Upscaler(DEFAULT_NETWORK)
    photo = np.float32(Image.open(path).convert("RGB")) / 255
    return Image.fromarray(bicubic.to_uint8(upscaler(photo)))


def before_and_after() -> Image.Image:
    """Return a crop of a photograph enlarged four times, by bicubic interpolation and by SPAN, side by side."""
    with hushed():
        from span_keras import Upscaler
        from span_keras.images import bicubic

        upscaler = Upscaler(WEIGHTS)
    left, top, width, height = CROP
    scale, halo = upscaler.scale, upscaler.halo
    # The halo around the crop keeps its borders as they are in the whole enlarged photograph.
    box = (left - halo, top - halo, left + width + halo, top + height + halo)
    photo = np.float32(Image.open(CAT).convert("RGB").crop(box)) / 255
    inside = np.s_[halo * scale : -halo * scale, halo * scale : -halo * scale]
    panels = [
        ("Bicubic", bicubic.to_uint8(bicubic.upscale(photo, scale))[inside]),
        ("SPAN", bicubic.to_uint8(upscaler(photo))[inside]),
    ]
    return labelled(panels)


def labelled(panels: list[tuple[str, np.ndarray]]) -> Image.Image:
    """Return ``(label, HWC uint8)`` panels of one size in a row, each with its label below."""
    height, width = panels[0][1].shape[:2]
    sheet = Image.new("RGB", (len(panels) * (width + GAP) - GAP, height + BAR), PAPER)
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(size=20)
    for number, (label, pixels) in enumerate(panels):
        x = number * (width + GAP)
        sheet.paste(Image.fromarray(pixels), (x, 0))
        draw.text((x + width // 2, height + BAR // 2), label, fill=INK, font=font, anchor="mm")
    return sheet


def page_pictures():
    """Yield ``(name, picture)`` of the page with an enlarged photograph, on a desktop and on a phone."""
    from playwright.sync_api import sync_playwright

    with hushed():
        from span_export.export import export_model
        from span_export.serve import make_server
        from span_keras import load_weights

    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        site = Path(folder, "site")
        first, *others = map(load_weights, IN_PAGE)
        export_model(first, site, also=others, demo=True)
        # Half the size: quickly enlarged, and what is shown differs more.
        photo = Image.open(CAT)
        photo.resize((photo.width // 2, photo.height // 2), Image.Resampling.BICUBIC).save(f"{folder}/cat.png")
        server = make_server(site, 0)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        chromium = shutil.which("chromium") or shutil.which("chromium-browser")
        browser = playwright.chromium.launch(executable_path=chromium, args=["--headless=new", "--no-sandbox"])
        for name, screen in (("page", DESKTOP), ("page-phone", PHONE)):
            page = browser.new_context(**screen, service_workers="block").new_page()
            page.set_default_timeout(PATIENCE)
            page.goto(f"http://127.0.0.1:{server.server_port}/?backend=wasm")
            page.wait_for_selector("html[data-state=ready]")
            page.set_input_files("#files", f"{folder}/cat.png")
            page.wait_for_selector("#download:enabled")
            path = Path(folder, f"{name}.png")
            page.screenshot(path=path)
            yield name, Image.open(path).convert("RGB")
        browser.close()
        server.shutdown()


if __name__ == "__main__":
    main()
