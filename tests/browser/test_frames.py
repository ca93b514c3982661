"""`upscaler.frame`: frames of a video through our own WebGPU kernels, on the software GPU."""

import re
import shutil
from pathlib import Path

import numpy as np

from helpers.browser import library, make_scene, until

HANDED_OUT = """
  const textures = new Map(); // by canvas
  OffscreenCanvas.prototype.getContext = function () {
    return {
      configure: ({ device, format, usage }) => {
        const create = () => {
          const size = [this.width, this.height];
          return device.createTexture({ size, format, usage: usage | GPUTextureUsage.COPY_SRC });
        };
        textures.set(this, { format, create });
      },
      getCurrentTexture: () => (textures.get(this).last = textures.get(this).create()),
    };
  };
"""
"""The software GPU presents no canvas: what is drawn into one goes into a texture, the last in ``textures``."""


def test_frames_are_what_upscale_gives(blank):
    """From a VideoFrame, an image and a bitmap into a texture and a canvas, at borders, too."""
    rgba = np.dstack([make_scene(25, 39), np.full((25, 39), 255, np.uint8)])
    found, expected, sizes, configured = library(
        blank,
        """
        const image = new ImageData(Uint8ClampedArray.from(given[0]), 39, 25);
        const bitmap = await createImageBitmap(image);
        const upscaler = await span.loadUpscaler('/models/x2/model.json', { backend: 'webgpu' });
        const { data } = await upscaler.upscale(image, { output: 'pixels' });
        const device = await (await navigator.gpu.requestAdapter()).requestDevice();
        const usage = GPUTextureUsage.STORAGE_BINDING | GPUTextureUsage.COPY_SRC;
        const texture = device.createTexture({ size: [78, 50], format: 'rgba8unorm', usage });
        const drawn = Object.assign(document.createElement('canvas'), { width: 39, height: 25 });
        drawn.getContext('2d').putImageData(image, 0, 0);
        const element = new Image();
        element.src = drawn.toDataURL();
        element.width = 4;
        await element.decode();
        """
        + HANDED_OUT
        + """
        const canvas = new OffscreenCanvas(1, 1);
        const [found, sizes] = [[], []];
        for (const [source, target] of [[bitmap, texture], [drawn, canvas], [element, canvas]]) {
          const { width, height } = await upscaler.frame(source, { target, device });
          sizes.push([width, height]);
          const usage = GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST;
          const buffer = device.createBuffer({ size: 512 * 50, usage });
          const encoder = device.createCommandEncoder();
          const made = target === texture ? texture : textures.get(canvas).last;
          encoder.copyTextureToBuffer({ texture: made }, { buffer, bytesPerRow: 512 }, [78, 50]);
          device.queue.submit([encoder.finish()]);
          await buffer.mapAsync(GPUMapMode.READ);
          const rows = new Uint8Array(buffer.getMappedRange());
          found.push(Array.from({ length: 50 }, (_, y) => [...rows.subarray(y * 512, y * 512 + 312)]).flat());
        }
        upscaler.dispose();
        return [found, [...data], [...sizes, [canvas.width, canvas.height]], textures.get(canvas).format];""",
        rgba.ravel().tolist(),
    )
    assert sizes == [[78, 50]] * 4
    assert configured == "rgba8unorm"
    assert np.std(expected) > 20
    for frame in found:
        assert np.abs(np.array(frame) - np.array(expected)).max() <= 1


TELL = """
  const upscaler = await span.loadUpscaler('/models/x2/model.json', { backend: 'wasm' });
  const bitmap = await createImageBitmap(new ImageData(8, 8));
  const open = async () => (await navigator.gpu.requestAdapter()).requestDevice();
  const textureOf = (device, more) =>
    device.createTexture({ size: [16, 16], format: 'rgba8unorm', usage: GPUTextureUsage.STORAGE_BINDING, ...more });
  const tell = (...given) =>
    upscaler.frame(...given).then(({ width }) => `drawn ${width}`, ({ name, message }) => `${name}: ${message}`);
  const told = [];
"""


def test_frames_say_what_they_need(blank):
    messages = library(
        blank,
        TELL
        + """
        const taken = document.createElement('canvas');
        taken.getContext('2d');
        told.push(await tell(bitmap), await tell(document.createElement('video'), { target: taken }));
        told.push(await tell(bitmap, { target: taken, device: 5 }));
        const device = await open();
        told.push(await tell(bitmap, { target: textureOf(device) }));
        told.push(await tell(bitmap, { target: taken }));
        told.push(await tell(bitmap, { target: textureOf(device), device }));
        upscaler.dispose();
        delete Navigator.prototype.gpu;
        const other = await span.loadUpscaler('/models/x2/model.json', { backend: 'wasm' });
        told.push(await other.frame(bitmap, { target: new OffscreenCanvas(1, 1) }).catch((error) => error.message));
        return told;""",
    )
    assert messages == [
        "TypeError: Expected a target: a canvas, OffscreenCanvas or GPUTexture; found undefined.",
        "Error: The frame has no pixels yet; wait until the video has loaded some.",
        "TypeError: device must be a GPUDevice; found Number.",
        "TypeError: Textures need the option device: the one that they belong to.",
        "Error: The canvas has another kind of context; use one that nothing was drawn on.",
        "TypeError: The frames before were drawn on another device; keep to one, or load another upscaler.",
        "Frames need WebGPU, which does not run here (this browser has no WebGPU); use upscale() instead.",
    ]


def test_an_error_ends_no_more_than_its_frame(shared_blank):
    """On a page's own device, with the page's own mistakes on it, until it is lost; and after ``dispose``."""
    told, errors = library(
        shared_blank,
        TELL
        + """
        const device = await open();
        const errors = [];
        device.addEventListener('uncapturederror', ({ error }) => errors.push(error.message));
        const options = { target: textureOf(device), device };
        told.push(await tell(bitmap, options));
        const { limits } = device;
        const wide = await createImageBitmap(new ImageData(limits.maxTextureDimension2D / 2 + 1, 1));
        told.push((await tell(wide, { ...options, target: new OffscreenCanvas(1, 1) })).split(' pixels')[0]);
        told.push((await tell(bitmap, { ...options, target: textureOf(await open()) })).split(': ')[1]);
        told.push(await tell(bitmap, options));
        device.createBuffer({ size: 16, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.MAP_WRITE });
        await device.queue.onSubmittedWorkDone(); // else Chromium does not tell yet
        while (!errors.length) await new Promise((resolve) => setTimeout(resolve, 20));
        told.push(await tell(bitmap, options), await tell(bitmap, options));
        device.destroy();
        await device.lost;
        told.push(await tell(bitmap, options));
        const another = await open();
        another.addEventListener('uncapturederror', ({ error }) => errors.push(error.message));
        const next = { target: textureOf(another), device: another };
        told.push(await tell(bitmap, next));
        const underWay = [tell(bitmap, next), tell(bitmap, next)];
        upscaler.dispose();
        told.push(...(await Promise.all(underWay)), await tell(bitmap, next));
        await another.queue.onSubmittedWorkDone();
        return [told, errors.length, limits.maxTextureDimension2D];""",
    )[:2]
    drawn, ended = "drawn 16", "AbortError: The upscaler was disposed."
    side = told[1].split(" ")[-1].split("×")[0]
    assert told == [
        drawn,
        f"Error: The result has {side}×2",
        "The browser did not draw the frame",
        *[drawn] * 3,
        "BackendLost: The device is lost; open another, and pass that one from now on.",
        drawn,
        *[ended] * 3,
    ]
    assert errors == 1  # the page's own


def test_frames_go_on_after_a_loss(blank):
    """On a device of ours; none stays open after ``dispose``, also where it comes before the first frame's end."""
    told, open_devices = library(
        blank,
        HANDED_OUT
        + """
        const devices = [];
        const { requestDevice } = GPUAdapter.prototype;
        GPUAdapter.prototype.requestDevice = async function (...given) {
          const device = await requestDevice.apply(this, given);
          devices.push(device);
          device.lost.then(() => (device.isLost = true));
          return device;
        };
        """
        + TELL
        + """
        const options = { target: new OffscreenCanvas(1, 1) };
        told.push(await tell(bitmap, options), await tell(bitmap, options));
        devices[0].destroy();
        await devices[0].lost;
        told.push(await tell(bitmap, options), await tell(bitmap, options), devices.length);
        upscaler.dispose();
        told.push(await tell(bitmap, options), devices.length);
        const other = await span.loadUpscaler('/models/x2/model.json', { backend: 'wasm' });
        const early = other.frame(bitmap, options).catch(({ name }) => name);
        while (devices.length < 3) await new Promise((resolve) => setTimeout(resolve));
        other.dispose();
        told.push(await early);
        await Promise.all(devices.map(({ lost }) => lost));
        return [told, devices.filter(({ isLost }) => !isLost).length];""",
    )
    assert told == [*["drawn 16"] * 4, 2, "AbortError: The upscaler was disposed.", 2, "AbortError"]
    assert open_devices == 0


def test_kernels_that_draw_wrongly_are_not_used(blank):
    """Those for textures, where those for bytes are right: another set, or else a sentence."""
    told = library(
        blank,
        HANDED_OUT
        + """
        const { createShaderModule } = GPUDevice.prototype;
        GPUDevice.prototype.createShaderModule = function ({ code, label }) {
          const spoilt = code.replace('vec4<f32>(levels(v)) / 255.0', 'vec4<f32>(levels(v)) / 2550.0');
          return createShaderModule.call(this, { label, code: label === 'plain last texture' ? spoilt : code });
        };
        """
        + TELL
        + """
        told.push(await tell(bitmap, { target: new OffscreenCanvas(1, 1) }));
        const { PLAIN } = await import('/engine/webgpu/sets.js');
        const { GpuNetwork } = await import('/engine/webgpu/network.js');
        const { FrameDrawer } = await import('/engine/frame-drawer.js');
        const artifacts = await model.fetchModel('/models/x2/model.json');
        const config = model.readConfig(artifacts);
        PLAIN.name = 'plainest';
        const net = await GpuNetwork.start(artifacts, config, { sets: [{ ...PLAIN, name: 'plain' }] });
        const drawer = new FrameDrawer(net, config);
        await drawer.draw(bitmap, new OffscreenCanvas(1, 1));
        told.push('drawn', net.programs.usual.set.name);
        drawer.dispose();
        return told;""",
    )
    assert told == [
        "Error: Frames need WebGPU, which does not run here (plain: it drew 33×17 pixels wrongly); "
        "use upscale() instead.",
        "drawn",
        "plain",
    ]


RECORD = """async () => {
  const canvas = Object.assign(document.createElement('canvas'), { width: 32, height: 24 });
  const context = canvas.getContext('2d');
  const recorder = new MediaRecorder(canvas.captureStream(), { mimeType: 'video/webm' });
  const parts = [];
  recorder.ondataavailable = ({ data }) => parts.push(data);
  recorder.start(100);
  for (let i = 0; i < 20 || parts.reduce((sum, { size }) => sum + size, 0) < 1000; i++) {
    context.fillStyle = `hsl(${i * 36} 80% 50%)`;
    context.fillRect(i % 30, 0, 16, 24);
    await new Promise((resolve) => setTimeout(resolve, 40));
  }
  await new Promise((resolve) => (recorder.onstop = resolve, recorder.stop()));
  return [...new Uint8Array(await new Blob(parts).arrayBuffer())];
}"""
STAND_IN = """
  const { copyExternalImageToTexture } = GPUQueue.prototype;
  GPUQueue.prototype.copyExternalImageToTexture = function ({ source }, ...rest) {
    const drawn = new OffscreenCanvas(source.videoWidth, source.videoHeight);
    drawn.getContext('2d').drawImage(source, 0, 0);
    return copyExternalImageToTexture.call(this, { source: drawn }, ...rest);
  };
  HTMLCanvasElement.prototype.getContext = function () {
    let create;
    return {
      configure: ({ device, format, usage }) => {
        create = () => device.createTexture({ size: [this.width, this.height], format, usage });
      },
      getCurrentTexture: () => create(),
    };
  };
"""
"""The software GPU takes no frame of a video and presents no canvas: frames come by a canvas and go nowhere."""


def test_the_example_plays_a_video(page, site, models, tmp_path):
    """Also after a model did not come."""
    page.goto(f"{site.url}/video.html")
    until(page, lambda: page.input_value("#model") == "models/x2/model.json")  # the first of the site
    clip = tmp_path / "clip.webm"
    clip.write_bytes(bytes(page.evaluate(RECORD)))
    again = Path(shutil.copy(clip, tmp_path / "again.webm"))  # the same file would be no change
    page.add_init_script(STAND_IN)
    page.goto(f"{site.url}/video.html?model=late/model.json")
    page.set_input_files("[type=file]", str(clip))
    until(page, lambda: "late/model.json" in page.inner_text("output"), lambda: page.inner_text("output"))
    site.mounts["late"] = models / "x2"
    page.set_input_files("[type=file]", str(again))
    told = r"64×48, [0-9.]+ ms a frame, [0-9.]+ frames per second, [0-9]+ dropped \(.+: plain\)"
    until(page, lambda: re.fullmatch(told, page.inner_text("output")), lambda: page.inner_text("output"))
    del site.mounts["late"]
    assert page.evaluate("[document.querySelector('canvas').width, document.querySelector('video').error]") == [
        64,
        None,
    ]
    (tmp_path / "none.webm").write_text("no video")
    page.set_input_files("[type=file]", str(tmp_path / "none.webm"))
    until(page, lambda: page.inner_text("output") == "This browser cannot play the file; take another.")
    page.problems[:] = [problem for problem in page.problems if "404" not in problem]  # it has no icon
