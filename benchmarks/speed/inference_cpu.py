"""Time one 256×256 image on the CPU: this package on Numba, TensorFlow and JAX against plain PyTorch, in one run.

``python benchmarks/speed/inference_cpu.py [--weights W] [--size N] [--threads N] [--rounds N] [--tiles]``

Every framework lives in a process of its own, tied to the same cores; the processes take turns, so that whatever else
the machine does hits all alike. PyTorch runs our own plain form of the fused network in its best layout, channels_last.
``--tiles`` also shows what tiles of various sizes cost on a larger image.
"""

from __future__ import annotations

import multiprocessing
import os
import statistics
import time

import click
import numpy as np

from span_keras.cli import reports_errors, tell_assumed, weights_options
from span_keras.quiet import hushed

FRAMEWORKS = {
    "torch": "PyTorch, channels_last",
    "numba": "span_keras on Numba",
    "tensorflow": "span_keras on TensorFlow",
    "jax": "span_keras on JAX",
}


def torch_network(weights, threads: int):
    """Return the fused network in plain PyTorch: (1, h, w, 3) NumPy in, (1, h·s, w·s, 3) NumPy out."""
    import torch
    import torch.nn.functional as F

    from span_keras.constants import LEAKY_SLOPE
    from span_keras.network.reparam import shuffle_order

    torch.set_num_threads(threads)
    config = weights.config
    layers = {}
    for name, group in weights.fuse().layers.items():
        kernel, bias = group["kernel"], group["bias"]
        if name == "upsampler":  # PyTorch shuffles channel-major
            order = np.argsort(shuffle_order(config.scale))
            kernel, bias = kernel[..., order], bias[order]
        kernel = torch.from_numpy(np.ascontiguousarray(kernel.transpose(3, 2, 0, 1)))
        layers[name] = (kernel.contiguous(memory_format=torch.channels_last), torch.from_numpy(bias))
    mean = torch.tensor(config.rgb_mean).view(1, 3, 1, 1)
    official = config.variant == "official"

    def conv(x, name):
        return F.conv2d(x, *layers[name], padding=layers[name][0].shape[-1] // 2)

    def act(x):
        return F.silu(x, inplace=True) if official else F.leaky_relu(x, LEAKY_SLOPE, inplace=True)

    @torch.inference_mode()
    def run(image):
        x = torch.from_numpy(image).permute(0, 3, 1, 2)  # NHWC memory is channels_last
        head = features = conv((x - mean) * config.img_range, "conv_1")
        first = None
        for i in range(1, config.blocks + 1):
            activated = act(conv(features, f"block_{i}_c1"))
            y = conv(act(conv(activated, f"block_{i}_c2")), f"block_{i}_c3")
            features = (y + features) * (torch.sigmoid(y) - 0.5 if official else torch.tanh(y))
            first = features if first is None else first
        x = conv(torch.cat([head, conv(features, "conv_2"), first, activated], 1), "conv_cat")
        return F.pixel_shuffle(conv(x, "upsampler"), config.scale).permute(0, 2, 3, 1).contiguous().numpy()

    return run


def smooth_image(size: int) -> np.ndarray:
    """Return (size, size, 3) float32; on white noise, which no photograph is, a network amplifies rounding errors."""
    from span_keras.images import bicubic

    coarse = np.random.default_rng(0).random((max(1, size // 8), max(1, size // 8), 3), np.float32)
    return np.clip(bicubic.resize(coarse, (size, size)), 0, 1)


def pin(threads: int) -> None:
    """Keep this process on so many cores, where the system lets a process choose them (Linux)."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])


def worker(framework: str, weights, threads: int, pipe) -> None:
    """Answer each image received through ``pipe`` with ``(seconds, result)``."""
    pin(threads)
    with hushed():
        if framework == "torch":
            run = torch_network(weights, threads)
        elif framework == "numba":
            from span_keras.inference import winograd

            run = winograd.compile_network(weights)
        else:
            os.environ["KERAS_BACKEND"] = framework
            from span_keras.inference import compiled

            run = compiled.compile_network(weights)
    pipe.send("ready")
    while (image := pipe.recv()) is not None:
        start = time.perf_counter()
        result = run(image)
        pipe.send((time.perf_counter() - start, result))


def time_tiles(weights, threads: int, sides: list[int], size: int, rounds: int) -> None:
    """Print the time of one larger image cut into tiles of various sizes, and as a whole."""
    pin(threads)
    with hushed():
        from span_keras.images.tiling import split
        from span_keras.inference.upscaler import Upscaler

        upscalers = {side: Upscaler(weights, tile=side) for side in [*sides, size]}
    image = smooth_image(size)
    wall, cpu = ({side: [] for side in upscalers} for _ in range(2))
    for upscaler in upscalers.values():
        upscaler.upscale_rgb(image)
    for _ in range(rounds):
        for side, upscaler in upscalers.items():
            start, start_cpu = time.perf_counter(), time.process_time()
            upscaler.upscale_rgb(image)
            wall[side].append(time.perf_counter() - start)
            cpu[side].append(time.process_time() - start_cpu)
    click.echo(
        f"\n{size}×{size} by Upscaler\n{'tile':>6} {'best s':>8} {'CPU s':>8} {'over whole':>10} {'of pixels':>10}"
    )
    for side, seconds in wall.items():
        ratio = min(cpu[side]) / min(cpu[size])
        computed = (len(split(size, side, weights.config.receptive_radius)) * side / size) ** 2
        name = side if side < size else "whole"
        click.echo(f"{name:>6} {min(seconds):8.3f} {min(cpu[side]):8.3f} {ratio:10.2f} {computed:10.2f}")


@click.command()
@weights_options
@click.option("--size", default=256, show_default=True, help="Side of the image.")
@click.option("--threads", default=2, show_default=True, help="Cores and threads of each framework.")
@click.option("--rounds", default=10, show_default=True, help="Timed images per framework.")
@click.option("--tiles", is_flag=True, help="Also time tiles of various sizes.")
@reports_errors
def main(weights, variant, img_range, rgb_mean, size, threads, rounds, tiles):
    """Print the time per image of each framework and its ratio to PyTorch."""
    from span_keras.checkpoints import load_weights

    with hushed():
        loaded = load_weights(weights, variant=variant, img_range=img_range, rgb_mean=rgb_mean).fuse()
    tell_assumed(loaded)
    context = multiprocessing.get_context("spawn")
    pipes, processes = {}, []
    for framework in FRAMEWORKS:
        pipes[framework], theirs = context.Pipe()
        processes.append(context.Process(target=worker, args=(framework, loaded, threads, theirs), daemon=True))
        processes[-1].start()
        theirs.close()  # so that reading ends if the worker dies
        try:
            pipes[framework].recv()
        except EOFError:
            raise click.ClickException(
                f"{framework} could not start; if it is missing, pip install -c constraints.txt '.[bench]'."
            ) from None
    image = smooth_image(size)[None]
    times, results = {framework: [] for framework in FRAMEWORKS}, {}
    for turn in range(rounds + 2):
        for framework, pipe in pipes.items():
            pipe.send(image)
            seconds, results[framework] = pipe.recv()
            if turn >= 2:  # the first turns compile and warm up
                times[framework].append(seconds)
    for pipe in pipes.values():
        pipe.send(None)
    c = loaded.config
    side = size * c.scale
    click.echo(
        f"{weights}: ×{c.scale}, {c.channels} channels, {c.variant}; {size}×{size} to {side}×{side}, {threads} threads"
    )
    click.echo(f"{'':26} {'best s':>8} {'median s':>9} {'PyTorch/it':>10} {'difference':>11}")
    reference = results["torch"]
    for framework, name in FRAMEWORKS.items():
        best, median = min(times[framework]), statistics.median(times[framework])
        ratio = statistics.median(times["torch"]) / median
        difference = np.abs(results[framework] - reference).max() / np.abs(reference).max()
        click.echo(f"{name:26} {best:8.3f} {median:9.3f} {ratio:10.2f} {difference:11.1e}")
    if tiles:
        time_tiles(loaded, threads, [96, 128, 192, 256], 2 * size, max(2, rounds // 4))


if __name__ == "__main__":
    main()
