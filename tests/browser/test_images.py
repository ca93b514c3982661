"""The page's modules for images that need a browser: PNG, profiles, metrics."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from helpers.browser import library, make_scene


@pytest.mark.parametrize("alpha", [False, True])
def test_png_rows(alpha, shared_blank):
    pixels = np.random.default_rng(0).integers(0, 256, (11, 7, 4), np.uint8)
    encoded = library(
        shared_blank,
        """
        const [values, alpha] = given;
        const profile = Uint8Array.from({ length: 300 }, (_, i) => i);
        const encoder = new png.PngEncoder(7, 11, { alpha, icc: profile });
        const rgba = Uint8ClampedArray.from(values);
        await encoder.rows(rgba.subarray(0, 7 * 4 * 3));
        await encoder.rows(rgba.subarray(7 * 4 * 3));
        const bytes = new Uint8Array(await (await encoder.finish()).arrayBuffer());
        return btoa(String.fromCharCode(...bytes));""",
        pixels.ravel().tolist(),
        alpha,
    )
    image = Image.open(io.BytesIO(base64.b64decode(encoded)))
    assert image.mode == ("RGBA" if alpha else "RGB")
    np.testing.assert_array_equal(np.asarray(image), pixels if alpha else pixels[..., :3])
    assert image.info["icc_profile"] == bytes(i % 256 for i in range(300))


PIECES = """
const [width, height] = given;
const rgba = new Uint8ClampedArray(width * height * 4).map((_, i) => ((i >> 2) * (3 + (i & 3)) + (i >> 13)) & 255);
const told = new Promise((resolve, reject) => {
  const code = `
    let ready;
    const started = new Promise((resolve) => (ready = resolve));
    let encoded = 0;
    self.Worker = class extends Worker {
      constructor(...given) {
        super(...given);
        this.addEventListener('message', ({ data }) => {
          if (data.id) ready();
          if (data.result?.idat) encoded++;
        });
      }
    };
    onmessage = async ({ data: { rgba, width, height } }) => {
      const { PngEncoder } = await import('${location.origin}/engine/png.js');
      const parts = [];
      const write = async (bytes) => {
        await started; // else it is done before
        parts.push(bytes);
      };
      const encoder = new PngEncoder(width, height, { alpha: true, write });
      await encoder.rows(rgba);
      await encoder.finish();
      postMessage({ file: new Blob(parts), encoded });
    };`;
  const url = URL.createObjectURL(new Blob([code], { type: 'text/javascript' }));
  const worker = new Worker(url, { type: 'module' });
  worker.onmessage = ({ data }) => resolve(data);
  worker.onerror = ({ message }) => reject(new Error(message));
  worker.postMessage({ rgba, width, height });
});
const { file, encoded } = await told;
const read = new FileReader();
await new Promise((resolve) => { read.onload = resolve; read.readAsDataURL(file); });
return [read.result.split(',')[1], encoded];
"""
"""Encodes an image that is worth a second thread, in a worker; returns the file, and how much that thread did."""


def test_png_on_several_threads(shared_blank):
    height, width = 1500, 1400
    encoded, pieces = library(shared_blank, PIECES, width, height)
    i = np.arange(width * height * 4)
    pixels = np.uint8(((i >> 2) * (3 + (i & 3)) + (i >> 13)) & 255).reshape(height, width, 4)
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(base64.b64decode(encoded)))), pixels)
    assert pieces > 0


def test_a_profile_that_inflates_without_end(shared_blank):
    """A few kilobytes of PNG may hold gigabytes; no profile has more than some megabytes."""

    def read(size):
        profile = b"\0" * 16 + b"RGB " + b"\0" * (size - 20)
        file = io.BytesIO()
        Image.new("RGB", (2, 2)).save(file, "png", icc_profile=profile)
        return library(
            shared_blank,
            """
            const { readProfile } = await import('/images/icc.js');
            return (await readProfile(new Blob([new Uint8Array(given[0])])))?.length ?? 'none';""",
            list(file.getvalue()),
        )

    assert read(3_000_000) == 3_000_000
    assert read(5_000_000) == "none"


def test_png_reports_a_full_disk(shared_blank):
    message = library(
        shared_blank,
        """
        const write = async () => { throw new Error('The disk is full.') };
        const encoder = new png.PngEncoder(4, 4, { write });
        try {
          for (let i = 0; i < 100; i++) await encoder.rows(new Uint8ClampedArray(16));
          await encoder.finish();
        } catch (error) { return error.message }""",
    )
    assert message == "The disk is full."


def test_metrics_equal_pythons(shared_blank):
    from span_keras.images.metrics import evaluate_pair

    a = make_scene(40, 31)
    b = np.uint8(np.clip(a.astype(int) + np.random.default_rng(1).integers(-9, 10, a.shape), 0, 255))
    figures = library(
        shared_blank,
        """
        const image = (data) => ({ width: 31, height: 40, data });
        return metrics.evaluatePair(image(given[0]), image(given[1]), 2);""",
        a.ravel().tolist(),
        b.ravel().tolist(),
    )
    expected = evaluate_pair(a, b, 2)
    names = {"psnrY": "psnr_y", "ssimY": "ssim_y", "psnrRgb": "psnr_rgb"}
    assert {names[key]: pytest.approx(value, rel=1e-9) for key, value in figures.items()} == expected
