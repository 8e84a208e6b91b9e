"""GLIP's head, under the names of its checkpoints (`rpn.head`): fusion of image and text, dynamic convolutions, outputs.

Li et al., Grounded Language-Image Pre-training, CVPR 2022; Dai et al., Dynamic Head, CVPR 2021.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import deform_conv2d

from bert import BertConfig, BertLayer, hidden


class BiAttention(nn.Module):
    """Image looks at text and text at image, by the same scores."""

    def __init__(self, image: int, text: int, inner: int, heads: int) -> None:
        super().__init__()
        self.heads, self.scale = heads, (inner // heads) ** -0.5
        for name, n in (("v", image), ("l", text)):
            self.add_module(f"{name}_proj", nn.Linear(n, inner))
            self.add_module(f"values_{name}_proj", nn.Linear(n, inner))
            self.add_module(f"out_{name}_proj", nn.Linear(inner, n))

    def forward(self, image: Tensor, text: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        def split(x: Tensor) -> Tensor:
            return x.reshape(x.shape[0], x.shape[1], self.heads, -1).transpose(1, 2)

        def join(x: Tensor) -> Tensor:
            return x.transpose(1, 2).flatten(2)

        scores = split(self.v_proj(image) * self.scale) @ split(self.l_proj(text)).transpose(2, 3)
        of_image = (scores + hidden(mask)[:, None, None]).softmax(-1) @ split(self.values_l_proj(text))
        of_text = scores.transpose(2, 3).softmax(-1) @ split(self.values_v_proj(image))
        return self.out_v_proj(join(of_image)), self.out_l_proj(join(of_text))


class Fusion(nn.Module):
    """The residuals start from the normalised inputs, as in GLIP, not from the inputs."""

    def __init__(self, image: int, text: int, inner: int, heads: int) -> None:
        super().__init__()
        self.b_attn = nn.ModuleDict({"layer_norm_v": nn.LayerNorm(image), "layer_norm_l": nn.LayerNorm(text),
                                     "attn": BiAttention(image, text, inner, heads)})
        self.b_attn.gamma_v = nn.Parameter(torch.ones(image))
        self.b_attn.gamma_l = nn.Parameter(torch.ones(text))

    def forward(self, levels: list[Tensor], text: Tensor, mask: Tensor) -> tuple[list[Tensor], Tensor]:
        image = self.b_attn["layer_norm_v"](locations(levels))
        text = self.b_attn["layer_norm_l"](text)
        from_text, from_image = self.b_attn["attn"](image, text, mask)
        image = image + self.b_attn.gamma_v * from_text
        parts = image.split([x.shape[2] * x.shape[3] for x in levels], 1)
        levels = [part.transpose(1, 2).reshape(x.shape) for part, x in zip(parts, levels)]
        return levels, text + self.b_attn.gamma_l * from_image


def locations(levels: list[Tensor]) -> Tensor:
    """`[N, C, H, W]` of every level to `[N, A, C]`: level after level, each row by row."""
    return torch.cat([x.flatten(2).transpose(1, 2) for x in levels], 1)


class DeformableConvolution(nn.Module):
    def __init__(self, channels: int, stride: int, groups: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, stride, 1)
        self.bn = nn.GroupNorm(groups, channels)

    def forward(self, x: Tensor, offset: Tensor, mask: Tensor) -> Tensor:
        conv = self.conv
        return self.bn(deform_conv2d(x, offset, conv.weight, conv.bias, conv.stride, conv.padding, mask=mask))


def hard_sigmoid(x: Tensor) -> Tensor:
    return F.relu6(x + 3) / 6


class DynamicRelu(nn.Module):
    """The larger of two lines per channel, whose slopes and offsets depend on the image."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fc = nn.Sequential(nn.Linear(channels, channels // 4), nn.ReLU(), nn.Linear(channels // 4, 4 * channels))

    def forward(self, x: Tensor) -> Tensor:
        y = hard_sigmoid(self.fc(x.mean((2, 3))))[:, :, None, None] - 0.5
        slope1, offset1, slope2, offset2 = y.chunk(4, 1)
        return torch.maximum(x * (2 * slope1 + 1) + offset1, x * 2 * slope2 + offset2)


class DynamicConvolution(nn.Module):
    """Every level gathers from itself, the finer and the coarser level, by attention."""

    def __init__(self, channels: int, groups: int) -> None:
        super().__init__()
        self.DyConv = nn.ModuleList(DeformableConvolution(channels, stride, groups) for stride in (1, 1, 2))
        self.AttnConv = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(channels, 1, 1), nn.ReLU())
        self.relu = DynamicRelu(channels)
        self.offset = nn.Conv2d(channels, 27, 3, padding=1)

    def forward(self, levels: list[Tensor]) -> list[Tensor]:
        coarser, same, finer = self.DyConv
        result = []
        for i, x in enumerate(levels):
            moves = self.offset(x)
            offset, mask = moves[:, :18], moves[:, 18:].sigmoid()
            gathered = [same(x, offset, mask)]
            if i > 0:
                gathered.append(finer(levels[i - 1], offset, mask))
            if i + 1 < len(levels):
                below = levels[i + 1]
                # QUIRK level-offsets: offset and mask are those of this larger level; the official kernel reads their memory
                # with the smaller level's strides.
                y = coarser(below, reread(offset, below), reread(mask, below))
                gathered.append(F.interpolate(y, size=x.shape[2:], mode="bilinear", align_corners=True))
            result.append(self.relu(sum(y * hard_sigmoid(self.AttnConv(y)) for y in gathered) / len(gathered)))
        return result


def reread(x: Tensor, like: Tensor) -> Tensor:
    """The beginning of each image's memory, `[N, C, H, W]`, as if it were of the size of `like`."""
    height, width = like.shape[2:]
    return x.flatten(1)[:, :x.shape[1] * height * width].reshape(-1, x.shape[1], height, width)


class Scale(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))


class Head(nn.Module):
    def __init__(self, text: BertConfig, layers: int, channels: int, fusion: tuple[int, int] | None, groups: int) -> None:
        super().__init__()
        tower = []
        for _ in range(layers):
            if fusion:
                tower += [Fusion(channels, text.channels, *fusion), BertLayer(text)]
            tower.append(DynamicConvolution(channels, groups))
        self.dyhead_tower = nn.ModuleList(tower)
        self.bbox_pred = nn.Conv2d(channels, 4, 1)
        self.centerness = nn.Conv2d(channels, 1, 1)
        self.dot_product_projection_text = nn.Linear(text.channels, channels)
        self.log_scale = nn.Parameter(torch.zeros(1))
        self.bias_lang = nn.Parameter(torch.zeros(text.channels))
        self.bias0 = nn.Parameter(torch.zeros(1))
        self.scales = nn.ModuleList(Scale() for _ in range(5))

    def forward(self, levels: list[Tensor], text: Tensor, mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Five levels `[N, C, H, W]`, `[N, L, D]`, `[N, L]` -> token logits `[N, A, L]`, `[N, A, 4]`, centerness `[N, A]`."""
        for step in self.dyhead_tower:
            match step:
                case Fusion():
                    levels, text = step(levels, text, mask)
                case BertLayer():
                    text = step(text, mask)
                case DynamicConvolution():
                    levels = step(levels)
        text = F.normalize(text, dim=-1)
        words = self.dot_product_projection_text(text / 2)
        bias = text @ self.bias_lang + self.bias0
        logits = (locations(levels) @ words.transpose(1, 2)) / self.log_scale.exp() + bias[:, None]
        boxes = locations([self.bbox_pred(x) * s.scale for x, s in zip(levels, self.scales)])
        return logits.clamp(-50000, 50000), boxes, locations([self.centerness(x) for x in levels])[:, :, 0]
