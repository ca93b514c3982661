"""Train in the page from scratch: steps, time per step, PSNR against bicubic, and what is left in memory.

    span-export --tfjs out/ --demo
    python benchmarks/web/training.py out/ --minutes 30 [--backend webgl] [--screenshot training.png]

Trains on the photographs bundled with the page and measures, as the page does, averaged weights on photographs that are
not trained on.
"""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

import click
from playwright.sync_api import sync_playwright

from span_export.serve import make_server

STORED = "async () => (await (await import('./store.js')).loadTraining()).state.history"
PATIENCE = 120_000


@click.command()
@click.argument("export", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--minutes", default=30.0, show_default=True)
@click.option("--backend", default="webgl", show_default=True, type=click.Choice(["webgpu", "webgl", "cpu"]))
@click.option("--scale", default=2, show_default=True)
@click.option("--channels", default=16, show_default=True)
@click.option("--blocks", default=2, show_default=True)
@click.option("--batch", default=8, show_default=True)
@click.option("--patch", default=16, show_default=True)
@click.option("--rate", default=1e-3, show_default=True)
@click.option("--screenshot", type=click.Path(dir_okay=False), help="Of the page at the end.")
def main(export, minutes, backend, scale, channels, blocks, batch, patch, rate, screenshot):
    """Train in the page of EXPORT, a folder of span-export --demo."""
    server = make_server(export, 0)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with sync_playwright() as playwright:
        flags = ["--no-sandbox", "--headless=new", "--enable-unsafe-webgpu", "--ignore-gpu-blocklist"]
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=flags)
        page = browser.new_context(service_workers="block").new_page()
        page.set_default_timeout(PATIENCE)
        page.goto(f"http://127.0.0.1:{server.server_port}/?backend=wasm")
        page.wait_for_selector("html[data-state=ready]")
        page.click("#tab-train")
        page.wait_for_selector("#train[data-phase=idle]")
        page.check("input[name=origin][value=scratch]")
        page.select_option("#train-scale", str(scale))
        page.click("#train-more summary")
        page.select_option("#train-backend", backend)
        fields = {"channels": channels, "blocks": blocks, "batch": batch, "patch": patch, "rate": rate, "vggWeight": 0}
        for name, value in fields.items():
            page.fill(f"#train-{name}", str(value))
        page.get_by_role("button", name="Start Training", exact=True).click()
        page.wait_for_selector("#train[data-phase=training]")
        page.wait_for_timeout(60_000 * minutes)
        per_step = page.inner_text("[data-figure=stepTime]")
        page.get_by_role("button", name="Stop Training", exact=True).click()
        page.wait_for_selector("#train[data-phase=idle]")
        worker = next(worker for worker in page.workers if "train/session/worker.js" in worker.url)
        history = worker.evaluate(STORED)
        quality, bicubic = history["quality"], history["bicubic"]
        tensors, resting = (page.get_attribute("#train", f"data-{name}") for name in ("tensors", "resting"))
        if screenshot:
            page.screenshot(path=screenshot, full_page=True)
        browser.close()
    server.shutdown()
    click.echo(f"{quality[-1]['step']:,} steps in {minutes:g} minutes on {backend}, {per_step} a step at the end")
    click.echo(f"tensors after it {tensors}, before it {resting}; PSNR of bicubic {bicubic:.2f} dB")
    for part in range(6):
        point = quality[part * (len(quality) - 1) // 5]
        click.echo(f"step {point['step']:6,}: PSNR {point['psnr']:.2f} dB")


if __name__ == "__main__":
    main()
