"""Make the checkpoints and outputs that ``test_checkpoints.py`` compares with. Needs PyTorch; run once, by hand.

    python tests/goldens/make_checkpoints.py

The network is written the plain way: four convolutions per Conv3XC, NCHW, as the paper and the authors' public code
define it, with random weights. Outputs are computed in float64, so that only our own rounding shows in the tests.
"""

from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional

FOLDER = Path(__file__).parent


class Conv3XC(nn.Module):
    def __init__(self, c: int, d: int):
        super().__init__()
        self.sk = nn.Conv2d(c, d, 1)
        self.conv = nn.Sequential(nn.Conv2d(c, 2 * c, 1), nn.Conv2d(2 * c, 2 * d, 3), nn.Conv2d(2 * d, d, 1))
        # Left at its random start: a stale copy, which readers have to ignore.
        self.eval_conv = nn.Conv2d(c, d, 3, padding=1)
        self.fused = False

    def forward(self, x):
        if self.fused:
            return self.eval_conv(x)
        return self.conv(functional.pad(x, (1, 1, 1, 1))) + self.sk(x)

    def fuse(self):
        """Write the equal 3×3 convolution into ``eval_conv``: its response to unit impulses, and to nothing."""
        c = self.sk.in_channels
        bias = self.conv(torch.zeros(1, c, 3, 3)) + self.sk(torch.zeros(1, c, 1, 1))
        impulses = torch.zeros(c, c, 5, 5)
        impulses[range(c), range(c), 2, 2] = 1
        response = self.conv(impulses) + self.sk(impulses)[:, :, 1:-1, 1:-1] - bias
        self.eval_conv.weight.data = response.flip(2, 3).transpose(0, 1).contiguous()
        self.eval_conv.bias.data = bias[0, :, 0, 0].contiguous()
        self.fused = True


class Block(nn.Module):
    def __init__(self, channels: int, official: bool):
        super().__init__()
        self.official = official
        self.c1_r, self.c2_r, self.c3_r = (Conv3XC(channels, channels) for _ in range(3))

    def forward(self, x):
        activated = self.act(self.c1_r(x))
        o3 = self.c3_r(self.act(self.c2_r(activated)))
        return (o3 + x) * (torch.sigmoid(o3) - 0.5 if self.official else torch.tanh(o3)), activated

    def act(self, x):
        return functional.silu(x) if self.official else functional.leaky_relu(x, 0.1)


class Span(nn.Module):
    def __init__(self, scale: int, channels: int, blocks: int, norm: bool = True, official: bool = True):
        super().__init__()
        self.blocks, self.scale = blocks, scale
        if norm:
            self.mean = torch.tensor([0.4488, 0.4371, 0.4040]).view(1, 3, 1, 1)
        else:
            self.mean = None
            self.register_buffer("no_norm", torch.zeros(1))
        self.conv_1 = Conv3XC(3, channels)
        for i in range(blocks):
            setattr(self, f"block_{i + 1}", Block(channels, official))
        self.conv_cat = nn.Conv2d(4 * channels, channels, 1)
        self.conv_2 = Conv3XC(channels, channels)
        self.upsampler = nn.Sequential(nn.Conv2d(channels, 3 * scale**2, 3, padding=1), nn.PixelShuffle(scale))

    def forward(self, x):
        if self.mean is not None:
            x = (x - self.mean.to(x)) * 255
        head = features = self.conv_1(x)
        first = None
        for i in range(self.blocks):
            features, activated = getattr(self, f"block_{i + 1}")(features)
            first = features if first is None else first
        x = torch.cat([head, self.conv_2(features), first, activated], 1)
        return self.upsampler(self.conv_cat(x))


def outputs(network: nn.Module, lr: np.ndarray) -> np.ndarray:
    """HWC in [0, 1] -> HWC float32, computed in float64."""
    x = torch.from_numpy(lr).double().permute(2, 0, 1)[None]
    return network.double()(x)[0].permute(1, 2, 0).float().numpy()


def export(network: nn.Module, name: str) -> None:
    axes = {"image": {2: "height", 3: "width"}}
    torch.onnx.export(
        network, (torch.rand(1, 3, 8, 8),), FOLDER / name, input_names=["image"], dynamic_axes=axes, dynamo=False
    )


@torch.no_grad()
def main() -> None:
    torch.manual_seed(7)
    lr = np.random.default_rng(7).integers(0, 256, (11, 9, 3), np.uint8)
    pixels = np.float32(lr) / np.float32(255)
    golden = {"lr": lr}

    network = Span(2, 8, 2)
    torch.save({"params_ema": network.state_dict(), "iter": 7}, FOLDER / "train_x2.pth")
    golden["train_x2"] = outputs(network, pixels)

    network = Span(3, 8, 1, norm=False)
    parallel = {f"module.{name}": value for name, value in network.state_dict().items()}
    torch.save({"state_dict": parallel}, FOLDER / "legacy_no_norm_x3.pth", _use_new_zipfile_serialization=False)
    golden["legacy_no_norm_x3"] = outputs(network, pixels)

    network = Span(4, 8, 1)
    for module in list(network.modules()):
        if isinstance(module, Conv3XC):
            module.fuse()
            del module.sk, module.conv
    torch.save(network.state_dict(), FOLDER / "fused_x4.pth")
    export(network, "fused_x4.onnx")
    golden["fused_x4"] = outputs(network, pixels)

    network = Span(2, 8, 1, norm=False, official=False)
    export(network, "train_span_x2.onnx")
    golden["train_span_x2"] = outputs(network, pixels)

    np.savez_compressed(FOLDER / "checkpoints.npz", **golden)


if __name__ == "__main__":
    main()
