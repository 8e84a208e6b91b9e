"""Text-conditioned grounding detector with the signature of GLIP's head (one anchor per location, five strides)."""

import math

import torch
from torch import nn
from torch.nn import functional as F

from backbone import Backbone, ConvNorm, merge
from lite0 import Lite0

STRIDES = (8, 16, 32, 64, 128)
ANCHOR_SIZES = (32, 64, 128, 256, 512)
BOX_WEIGHTS = (10.0, 10.0, 5.0, 5.0)
TRUNKS = {"small": Backbone, "lite0": Lite0}
TEXT_WIDTH = 768


class TextEncoder(nn.Module):
    """Token ids [T, L] to hidden states [T, L, 768].

    Attention stays within one part name (between the "." tokens) and carries no position, so a name means the same
    wherever in the prompt it stands.
    """

    def __init__(self, vocabulary_size, dot, width=128, heads=4):
        super().__init__()
        self.dot, self.heads = dot, heads
        self.embedding = nn.Embedding(vocabulary_size, width)
        nn.init.normal_(self.embedding.weight, std=0.5)
        self.norm1, self.norm2, self.norm3 = nn.LayerNorm(width), nn.LayerNorm(width), nn.LayerNorm(TEXT_WIDTH)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)
        self.project = nn.Linear(width, TEXT_WIDTH)

    def forward(self, input_ids, attention_mask):
        T, L = input_ids.shape
        dots = (input_ids == self.dot).to(torch.int64)
        name = dots.cumsum(1) * 2 - dots  # the dot itself is a group of its own
        apart = (name[:, :, None] != name[:, None, :]) | (attention_mask[:, None, :] == 0)
        bias = apart.to(torch.float32)[:, None] * -1e4
        x = self.embedding(input_ids)
        q, k, v = self.qkv(self.norm1(x)).reshape(T, L, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        attention = (q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1]) + bias).softmax(-1)
        x = x + self.out((attention @ v).transpose(1, 2).reshape(T, L, -1))
        x = x + self.down(F.gelu(self.up(self.norm2(x))))
        return self.norm3(self.project(x))


class LevelHead(nn.Module):
    """One convolution shared by all levels, with batch norm statistics of each level's own."""

    def __init__(self, width):
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.norms = nn.ModuleList(nn.BatchNorm2d(width) for _ in STRIDES)

    def forward(self, levels):
        return [F.relu(norm(self.conv(x))) for norm, x in zip(self.norms, levels)]


def trunk_of(names):
    """Which trunk a detector has whose weights bear these names."""
    return "lite0" if any("backbone.stages." in name for name in names) else "small"


def flat(x):
    """[N, C, h, w] to location-major [N, h * w, C]."""
    return x.flatten(2).transpose(1, 2)


class GroundingDetector(nn.Module):
    """image f32 [N,3,H,W] (as the trunk wants it), text_hidden f32 [N,L,768], text_mask i64 [N,L] ->
    token_logits [N,A,L], box_regression [N,A,4], centerness [N,A], features [N,A,256]; A = locations of all levels.

    `centerness` is the logit of the box's expected IoU. `features` = 64 channels of the pyramid, modulated by the
    prompt's mean, and the 192 hidden channels from which box and label are read.
    """

    width, hidden, embedding = 64, 192, 96

    def __init__(self, trunk="small"):
        super().__init__()
        self.backbone = TRUNKS[trunk]()
        _, c8, c16, c32 = self.backbone.channels
        w = self.width
        self.down = nn.ModuleList([ConvNorm(c32, w, 2), ConvNorm(w, w, 2)])
        self.lateral = nn.ModuleList(nn.Conv2d(c, w, 1) for c in (c8, c16, c32, w, w))
        self.smooth = nn.ModuleList(ConvNorm(w, w, relu=False) for _ in STRIDES)
        self.modulate = nn.Linear(TEXT_WIDTH, 2 * w)
        self.tower = LevelHead(w)
        self.expand = nn.Linear(w, self.hidden)
        self.box, self.centerness = nn.Linear(self.hidden, 4), nn.Linear(self.hidden, 1)
        self.visual = nn.Linear(self.hidden, self.embedding)
        self.text = nn.Linear(TEXT_WIDTH, self.embedding)
        self.scales = nn.Parameter(torch.ones(len(STRIDES)))
        self.bias = nn.Parameter(torch.tensor(-4.0))
        self.pixel = nn.Linear(w, self.embedding)  # auxiliary part segmentation, training only
        self.pixel_bias = nn.Parameter(torch.tensor(-3.0))
        for layer in (self.modulate, self.box, self.centerness):
            nn.init.normal_(layer.weight, std=0.01)
            nn.init.zeros_(layer.bias)

    def forward(self, image, text_hidden, text_mask, auxiliary=False):
        return self.head(self.pyramid(image), text_hidden, text_mask, auxiliary)

    def pyramid(self, image):
        """Five levels [N, C, h, w] of the image alone."""
        _, x8, x16, x32 = self.backbone(image)
        x64 = self.down[0](x32)
        bottom_up = [x8, x16, x32, x64, self.down[1](x64)]
        levels = [lateral(x) for lateral, x in zip(self.lateral, bottom_up)]
        for i in range(len(levels) - 2, -1, -1):
            levels[i] = merge(levels[i + 1], levels[i])
        return [smooth(x) for smooth, x in zip(self.smooth, levels)]

    def head(self, levels, text_hidden, text_mask, auxiliary=False):
        """Where image and text meet: the outputs of `forward`."""
        seen = text_mask.to(text_hidden.dtype)[:, :, None]
        prompt = (text_hidden * seen).sum(1) / seen.sum(1).clamp(min=1)
        gain, shift = self.modulate(prompt)[:, :, None, None].chunk(2, 1)
        levels = [F.relu(x * (1 + gain) + shift) for x in levels]

        pyramid = torch.cat([flat(x) for x in levels], 1)
        hidden = F.relu(self.expand(torch.cat([flat(x) for x in self.tower(levels)], 1)))
        scales = torch.cat([s.expand(x.shape[-2] * x.shape[-1]) for s, x in zip(self.scales, levels)])
        text = self.text(text_hidden).transpose(1, 2) / math.sqrt(self.embedding)
        logits = self.visual(hidden) @ text + self.bias
        outputs = (logits, self.box(hidden) * scales[None, :, None], self.centerness(hidden)[..., 0],
                   torch.cat([pyramid, hidden], -1))
        if auxiliary:
            return outputs + (self.pixel(flat(levels[0])) @ text + self.pixel_bias,)
        return outputs


def anchors(height, width, sizes=ANCHOR_SIZES):
    """Anchor boxes [A, 4] (x1, y1, x2, y2 with inclusive corners) and the number of locations of each level."""
    boxes, counts = [], []
    for stride, size in zip(STRIDES, sizes):
        height_l, width_l = math.ceil(height / stride), math.ceil(width / stride)
        y, x = torch.meshgrid(torch.arange(height_l), torch.arange(width_l), indexing="ij")
        centre = torch.stack([x, y], -1).reshape(-1, 2) * stride + (stride - 1) / 2
        boxes.append(torch.cat([centre - (size - 1) / 2, centre + (size - 1) / 2], 1))
        counts.append(height_l * width_l)
    return torch.cat(boxes), counts


def decode(regression, anchor):
    """Boxes [.., 4] of `regression` [.., 4] relative to square `anchor` boxes [.., 4]."""
    size = anchor[..., 2:3] - anchor[..., 0:1] + 1
    centre = (anchor[..., :2] + anchor[..., 2:]) / 2 + regression[..., :2] / BOX_WEIGHTS[0] * size
    half = ((regression[..., 2:] / BOX_WEIGHTS[2]).clamp(max=math.log(1000 / 16)).exp() * size - 1) / 2
    return torch.cat([centre - half, centre + half], -1)
