"""`upscaler.frame`: frames of a video through our own WebGPU kernels, on the software GPU."""

import re

import numpy as np

from helpers.browser import library, make_scene, until


def test_frames_are_what_upscale_gives(blank):
    """Into a texture: the browser's software GPU presents no canvas of WebGPU, so a stand-in hands the texture out. It
    takes no VideoFrame either."""
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
        const configured = [];
        const canvas = {
          getContext: () => ({ configure: ({ format }) => configured.push(format), getCurrentTexture: () => texture }),
        };
        const [found, sizes] = [[], []];
        const drawn = new OffscreenCanvas(39, 25);
        drawn.getContext('2d').putImageData(image, 0, 0);
        for (const [source, target] of [[bitmap, texture], [drawn, canvas], [bitmap, canvas]]) {
          const { width, height } = await upscaler.frame(source, { target, device });
          sizes.push([width, height]);
          const usage = GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST;
          const buffer = device.createBuffer({ size: 512 * 50, usage });
          const encoder = device.createCommandEncoder();
          encoder.copyTextureToBuffer({ texture }, { buffer, bytesPerRow: 512 }, [78, 50]);
          device.queue.submit([encoder.finish()]);
          await buffer.mapAsync(GPUMapMode.READ);
          const rows = new Uint8Array(buffer.getMappedRange());
          found.push(Array.from({ length: 50 }, (_, y) => [...rows.subarray(y * 512, y * 512 + 312)]).flat());
        }
        upscaler.dispose();
        return [found, [...data], [...sizes, [canvas.width, canvas.height]], configured];""",
        rgba.ravel().tolist(),
    )
    assert sizes == [[78, 50]] * 4
    assert configured == ["rgba8unorm"]
    assert np.std(expected) > 20
    for frame in found:
        assert np.abs(np.array(frame) - np.array(expected)).max() <= 1


def test_frames_say_what_they_need(blank):
    messages = library(
        blank,
        """
        const upscaler = await span.loadUpscaler('/models/x2/model.json', { backend: 'wasm' });
        const bitmap = await createImageBitmap(new ImageData(4, 4));
        const tell = (target, source = bitmap) =>
          upscaler.frame(source, { target }).then(() => 'drawn', (error) => error.message);
        const taken = document.createElement('canvas');
        taken.getContext('2d');
        const messages = [await tell(taken), await tell(new OffscreenCanvas(1, 1), document.createElement('video'))];
        const device = await (await navigator.gpu.requestAdapter()).requestDevice();
        messages.push(await tell(device.createTexture({ size: [9, 8], format: 'rgba8unorm', usage: 8 })));
        upscaler.dispose();
        delete Navigator.prototype.gpu;
        const other = await span.loadUpscaler('/models/x2/model.json', { backend: 'wasm' });
        messages.push(await other.frame(bitmap, { target: new OffscreenCanvas(1, 1) }).catch((error) => error.message));
        return messages;""",
    )
    assert messages[0] == "The canvas has another kind of context; use one that nothing was drawn on."
    assert messages[1] == "The frame has no pixels yet; wait until the video has loaded some."
    assert messages[2] == "Expected a target of 8×8 pixels, found 9×8; create a texture of that size."
    assert (
        messages[3]
        == "Frames need WebGPU, which does not run here (this browser has no WebGPU); use upscale() instead."
    )


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
    let texture;
    return {
      configure: ({ device, format, usage }) => {
        texture = device.createTexture({ size: [this.width, this.height], format, usage });
      },
      getCurrentTexture: () => texture,
    };
  };
"""
"""The software GPU takes no frame of a video and presents no canvas: frames come by a canvas and go nowhere."""


def test_the_example_plays_a_video(page, site, tmp_path):
    address = f"{site.url}/video.html?model=models/x2/model.json"
    page.goto(address)
    (tmp_path / "clip.webm").write_bytes(bytes(page.evaluate(RECORD)))
    page.add_init_script(STAND_IN)
    page.goto(address)
    page.set_input_files("[type=file]", str(tmp_path / "clip.webm"))
    told = r"64×48, [0-9.]+ ms a frame, [0-9.]+ frames per second, [0-9]+ dropped"
    until(page, lambda: re.fullmatch(told, page.inner_text("output")), lambda: page.inner_text("output"))
    assert page.evaluate("[document.querySelector('canvas').width, document.querySelector('video').error]") == [
        64,
        None,
    ]
    (tmp_path / "none.webm").write_text("no video")
    page.set_input_files("[type=file]", str(tmp_path / "none.webm"))
    until(page, lambda: page.inner_text("output") == "This browser cannot play the file; take another.")
    page.problems[:] = [problem for problem in page.problems if "404" not in problem]  # it has no icon
