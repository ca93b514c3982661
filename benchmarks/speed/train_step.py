"""Time one training step: this package's composed form, the four-convolution form in the same framework, and PyTorch.

    KERAS_BACKEND=jax python benchmarks/speed/train_step.py                              # a GPU: batch 64, 64×64 LR
    KERAS_BACKEND=tensorflow python benchmarks/speed/train_step.py --batch 4 --patch 48  # a CPU
    ... --only composed --trace                                                          # where the time goes

All forms compute the same function of the same weights (largest difference printed) on the same uint8 batches, with L1
loss and Adam; ``muon`` is the composed form with Muon for the hidden kernels. Ours also clips the gradient, guards
against spikes and averages the weights. The PyTorch form follows the authors' training code: NCHW, four convolutions
per Conv3XC, Adam.

The *arithmetic limit* is the floating-point operations of the fused network, forward and backward (three times the
forward), over the rate of a large matrix product measured here in the same precision.
"""

from __future__ import annotations

import gzip
import json
import math
import os
import re
import statistics
import tempfile
import time
from collections import Counter
from pathlib import Path

import click
import numpy as np

os.environ.setdefault("KERAS_BACKEND", "jax")
KINDS = (
    ("convolutions, forward", r"fprop"),
    ("convolutions, gradient of the input", r"dgrad"),
    ("convolutions, gradient of the kernel", r"wgrad|init_device_workspace"),
    ("elementwise and reductions (activations, biases, optimizer)", r"^(?!gemm).*(fusion|wrapped|reduc)"),
    ("matrix products (composition, 1×1)", r"gemm|nvjet|cublas|ImplicitGemm"),
    ("rest", r""),
)
"""What a GPU kernel belongs to, by the first pattern that its name matches."""
FORMS = ("composed", "muon", "fit", "four", "torch")


def synthetic_batches(batch: int, patch: int, scale: int, count: int = 4):
    rng = np.random.default_rng(0)
    for _ in range(count):
        hr = rng.integers(0, 256, (batch, patch * scale, patch * scale, 3), np.uint8)
        yield np.ascontiguousarray(hr[:, ::scale, ::scale]), hr


def make_ours(weights, precision: str, steps_per_execution: int, four: bool = False, optimizer: str = "adam"):
    """Return a trainer whose step composes the kernels, or one that runs four convolutions per RepConv."""
    from keras import ops

    from span_keras.network.functional import PLAIN_LAYERS, REPCONV_WEIGHTS, functions, stack_names
    from span_keras.network.topology import topology
    from span_keras.training.losses import SpanLoss
    from span_keras.training.options import StepOptions
    from span_keras.training.schedule import Schedule
    from span_keras.training.step import TrainStep
    from span_keras.training.trainer import SpanTrainer

    class FourConvolutions(TrainStep):
        def network(self, parameters, lr, dtype):
            names = stack_names(self.config)
            keys = REPCONV_WEIGHTS
            split = {key: ops.split(parameters[f"stack/{key}"], len(names)) for key in keys}
            layers = {name: [ops.squeeze(split[key][i], 0) for key in keys] for i, name in enumerate(names)}
            layers["conv_1"] = [parameters[f"conv_1/{key}"] for key in keys]
            plain = {name: (parameters[f"{name}/kernel"], parameters[f"{name}/bias"]) for name in PLAIN_LAYERS}
            stock = functions(self.config, plain, dtype)

            def repconv(name):
                sk, sb, ek, eb, ck, cb, pk, pb = (ops.cast(w, dtype) for w in layers[name])

                def conv(x, kernel, bias, padding="valid"):
                    return ops.conv(x, kernel, padding=padding, data_format="channels_last") + bias

                def run(x):
                    x = ops.cast(x, dtype)
                    padded = ops.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
                    return conv(conv(conv(padded, ek, eb), ck, cb), pk, pb) + conv(x, sk, sb)

                return run

            return topology(lr, self.config, lambda kind, name: repconv(name) if name in layers else stock(kind, name))

    class Trainer(SpanTrainer):
        step_class = FourConvolutions if four else TrainStep

    return Trainer(
        weights,
        SpanLoss(None),
        Schedule(5e-4, 10**6),
        StepOptions(precision=precision, optimizer=optimizer, clip_norm=1.0),
        steps_per_execution=steps_per_execution,
    )


def time_ours(trainer, batches, executions: int) -> tuple[float, np.ndarray]:
    """Return median seconds per step with the batches on the device already, and the losses of the first execution."""
    engine = trainer.engine
    ready = [engine.put(pair) for pair in batches]
    chunk = [ready[i % len(ready)] for i in range(trainer.steps_per_execution)]
    rates = np.full(len(chunk), 5e-4, np.float32)
    losses = engine.fetch(engine.execute(chunk, rates))["loss"]
    times = []
    for _ in range(executions):
        start = time.perf_counter()
        engine.fetch(engine.execute(chunk, rates))
        times.append((time.perf_counter() - start) / len(chunk))
    return statistics.median(times), losses


def time_fit(trainer, batches, executions: int, workers: int) -> float:
    """Return seconds per step of the trainer's own loop: threads make batches, the device flips and rotates them."""
    numbers = np.arange(len(batches[0][0]), dtype=np.uint8) % 8
    source = lambda i: (*(image.copy() for image in batches[i % len(batches)]), numbers)  # noqa: E731
    # Leave out batches made while the first execution compiled, and the last executions, whose batches are ready.
    ahead = math.ceil((trainer.steps_per_execution + workers) / trainer.steps_per_execution)
    before = ahead + 2
    stop = (before + executions + ahead) * trainer.steps_per_execution
    marks = [time.perf_counter() for _ in trainer.run(source, stop, workers)]
    return (marks[before - 1 + executions] - marks[before - 1]) / (executions * trainer.steps_per_execution)


def time_torch(weights, batches, precision: str, steps: int) -> tuple[float, np.ndarray]:
    """Return seconds per step of the authors' formulation in PyTorch with the same weights, and the first losses."""
    import torch
    from torch import nn
    from torch.nn import functional

    from span_keras.constants import LEAKY_SLOPE
    from span_keras.network.reparam import shuffle_order

    config, layers = weights.config, weights.expand().layers
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.backends.cudnn.benchmark = True
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True

    def convolution(kernel, bias, padding=0):
        kernel = torch.tensor(np.transpose(kernel, (3, 2, 0, 1)).copy())
        conv = nn.Conv2d(kernel.shape[1], kernel.shape[0], kernel.shape[2], padding=padding)
        conv.weight.data, conv.bias.data = kernel, torch.tensor(bias)
        return conv

    class Conv3XC(nn.Module):
        def __init__(self, w):
            super().__init__()
            self.sk = convolution(w["skip_kernel"], w["skip_bias"])
            self.conv = nn.Sequential(
                *(convolution(w[f"{part}_kernel"], w[f"{part}_bias"]) for part in ("expand", "conv", "project"))
            )

        def forward(self, x):
            return self.conv(functional.pad(x, (1, 1, 1, 1))) + self.sk(x)

    class Span(nn.Module):
        def __init__(self):
            super().__init__()
            self.rep = nn.ModuleDict({name: Conv3XC(w) for name, w in layers.items() if "skip_kernel" in w})
            self.conv_cat = convolution(**layers["conv_cat"])
            # Block-major channels of the weights against PyTorch's channel-major pixel shuffle.
            order = np.argsort(shuffle_order(config.scale))
            self.upsampler = convolution(*(layers["upsampler"][k][..., order] for k in ("kernel", "bias")), padding=1)
            self.register_buffer("mean", torch.tensor(config.rgb_mean).view(1, 3, 1, 1))
            self.official = config.variant == "official"

        def forward(self, x):
            act = functional.silu if self.official else lambda x: functional.leaky_relu(x, LEAKY_SLOPE)
            sym = (lambda x: torch.sigmoid(x) - 0.5) if self.official else torch.tanh
            head = features = self.rep["conv_1"]((x - self.mean) * config.img_range)
            for i in range(1, config.blocks + 1):
                activated = act(self.rep[f"block_{i}_c1"](features))
                y = self.rep[f"block_{i}_c3"](act(self.rep[f"block_{i}_c2"](activated)))
                features = (y + features) * sym(y)
                if i == 1:
                    first = features
            x = self.conv_cat(torch.cat([head, self.rep["conv_2"](features), first, activated], 1))
            return functional.pixel_shuffle(self.upsampler(x), config.scale)

    model = Span().to(device)
    optimizer = torch.optim.Adam(model.parameters(), 5e-4, betas=(0.9, 0.99))
    ready = [[torch.tensor(np.transpose(image, (0, 3, 1, 2)).copy()).to(device) for image in pair] for pair in batches]
    wait = torch.cuda.synchronize if device == "cuda" else lambda: None

    def step(i):
        lr, hr = (image.float() / 255 for image in ready[i % len(ready)])
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(device, torch.bfloat16, enabled=precision == "mixed_bfloat16"):
            loss = functional.l1_loss(model(lr), hr)
        loss.backward()
        optimizer.step()
        return loss

    losses = np.array([step(i).item() for i in range(5)])
    wait()
    start = time.perf_counter()
    for i in range(steps):
        step(i)
    wait()
    return (time.perf_counter() - start) / steps, losses


def matmul_rate(precision: str) -> float:
    """Return FLOP/s of a large matrix product in the convolutions' precision (TF32 for float32 on a GPU)."""
    import keras
    from keras import ops

    from span_keras.training.devices import device_kind

    gpu = device_kind() != "cpu"
    n = 8192 if gpu else 1024
    dtype = "bfloat16" if precision == "mixed_bfloat16" else "float32"
    a, b = (ops.cast(keras.random.normal((n, n), seed=i), dtype) for i in (0, 1))

    def best():
        times = []
        for _ in range(10):
            start = time.perf_counter()
            ops.convert_to_numpy(ops.matmul(a, b)[0, 0])
            times.append(time.perf_counter() - start)
        return min(times)

    best()
    return 2 * n**3 / best()


def step_flops(config, batch: int, patch: int) -> float:
    """Return the floating-point operations of the fused network, forward and backward."""
    from span_keras.network.weights import layer_shapes

    return 3 * 2 * batch * patch**2 * sum(float(np.prod(shape)) for shape in layer_shapes(config).values())


def trace(trainer, batches) -> Counter:
    """Return milliseconds per step by kind of kernel, from JAX's profiler."""
    import jax

    ready = [trainer.engine.put(pair) for pair in batches]
    chunk = [ready[i % len(ready)] for i in range(trainer.steps_per_execution)]
    rates = np.full(len(chunk), 5e-4, np.float32)
    with tempfile.TemporaryDirectory() as folder:
        with jax.profiler.trace(folder):
            trainer.engine.fetch(trainer.engine.execute(chunk, rates))
        (path,) = Path(folder).rglob("*.trace.json.gz")
        events = json.loads(gzip.decompress(path.read_bytes()))["traceEvents"]
    tracks = {(e["pid"], e.get("tid")): e["args"]["name"] for e in events if e.get("name") == "thread_name"}
    total = Counter()
    for event in events:
        if event.get("ph") == "X" and tracks.get((event["pid"], event.get("tid")), "").startswith("Stream"):
            total[re.sub(r"[_.]?\d+$", "", event["name"])[:70]] += event["dur"] / 1000 / len(chunk)
    return total


@click.command()
@click.option("--scale", default=4)
@click.option("--channels", default=48)
@click.option("--variant", default="span")
@click.option("--batch", default=64)
@click.option("--patch", default=64, help="Side of the LR patch.")
@click.option("--precision", "precisions", multiple=True, default=("float32", "mixed_bfloat16"))
@click.option("--only", "forms", multiple=True, default=FORMS, type=click.Choice(FORMS))
@click.option("--steps-per-execution", default=20)
@click.option("--executions", default=10, help="Timed executions.")
@click.option("--workers", default=8)
@click.option("--trace", "traced", is_flag=True, help="Show where the composed form's time goes (JAX on a GPU).")
def main(scale, channels, variant, batch, patch, precisions, forms, steps_per_execution, executions, workers, traced):
    import keras

    from span_keras.network.config import SpanConfig
    from span_keras.network.init import initialise
    from span_keras.network.model import build_span
    from span_keras.network.weights import SpanWeights
    from span_keras.training.devices import device_kind

    config = SpanConfig(scale=scale, channels=channels, variant=variant)
    keras.utils.set_random_seed(0)
    model = build_span(config)
    initialise(model)
    weights = SpanWeights.from_model(model)
    batches = list(synthetic_batches(batch, patch, scale))
    click.echo(
        f"{keras.backend.backend()} on {device_kind()}: "
        f"x{scale} ch{channels} {variant}, batch {batch} of {patch}×{patch}"
    )
    for precision in precisions:
        times, losses = {}, {}
        if "composed" in forms:
            trainer = make_ours(weights, precision, steps_per_execution)
            times["composed"], losses["composed"] = time_ours(trainer, batches, executions)
            if traced:
                kernels, kinds = trace(trainer, batches), Counter()
                for name, ms in kernels.items():
                    kinds[next(kind for kind, pattern in KINDS if re.search(pattern, name))] += ms
                for kind, _ in KINDS:
                    click.echo(f"    {kinds[kind]:8.3f} ms  {kind}")
                click.echo(f"    {1e3 * times['composed'] - kinds.total():8.3f} ms  no kernel running")
                click.echo("  by kernel:")
                for name, ms in kernels.most_common(30):
                    click.echo(f"    {ms:8.3f} ms  {name}")
        if "muon" in forms:
            trainer = make_ours(weights, precision, steps_per_execution, optimizer="muon")
            times["muon"], losses["muon"] = time_ours(trainer, batches, executions)
        if "fit" in forms:
            trainer = make_ours(weights, precision, steps_per_execution)
            times["fit"] = time_fit(trainer, batches, executions, workers)
        if "four" in forms:
            trainer = make_ours(weights, precision, steps_per_execution, four=True)
            times["four"], losses["four"] = time_ours(trainer, batches, executions)
        if "torch" in forms:
            times["torch"], losses["torch"] = time_torch(weights, batches, precision, executions * steps_per_execution)
        flops = step_flops(config, batch, patch)
        rate = matmul_rate(precision)
        click.echo(
            f"{precision}: {flops / 1e9:.0f} GFLOP a step at {rate / 1e12:.2f} TFLOP/s = {1e3 * flops / rate:.2f} ms"
        )
        for form, seconds in times.items():
            line = f"  {form:9} {1e3 * seconds:9.2f} ms/step  {flops / rate / seconds:6.1%} of the limit"
            if "torch" in times and form != "torch":
                line += f"  {times['torch'] / seconds:5.2f}× PyTorch"
            if form in losses:
                line += f"  first loss {losses[form][0]:.6f}"
            click.echo(line)


if __name__ == "__main__":
    main()
