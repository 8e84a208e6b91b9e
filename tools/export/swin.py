"""Swin transformer and feature pyramid, under the names of GLIP's checkpoints (`backbone.body`, `backbone.fpn`).

Liu et al., Swin Transformer: Hierarchical Vision Transformer using Shifted Windows, ICCV 2021.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class WindowAttention(nn.Module):
    def __init__(self, channels: int, heads: int, window: int) -> None:
        super().__init__()
        self.heads, self.scale = heads, (channels // heads) ** -0.5
        self.relative_position_bias_table = nn.Parameter(torch.zeros((2 * window - 1) ** 2, heads))
        row, column = torch.meshgrid(torch.arange(window), torch.arange(window), indexing="ij")
        apart = [(x.flatten()[:, None] - x.flatten()) + window - 1 for x in (row, column)]
        self.register_buffer("relative_position_index", apart[0] * (2 * window - 1) + apart[1])
        self.qkv = nn.Linear(channels, 3 * channels)
        self.proj = nn.Linear(channels, channels)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """`x`: `[N * K, T, C]`, K windows of T pixels; `mask`: `[K, T, T]`, added to the scores."""
        tokens, channels = x.shape[1:]
        q, k, v = self.qkv(x).reshape(-1, tokens, 3, self.heads, channels // self.heads).permute(2, 0, 3, 1, 4)
        bias = self.relative_position_bias_table[self.relative_position_index.flatten()]
        scores = (q * self.scale) @ k.transpose(2, 3) + bias.reshape(tokens, tokens, self.heads).permute(2, 0, 1)
        if mask is not None:
            scores = scores.reshape(-1, len(mask), self.heads, tokens, tokens) + mask[:, None]
            scores = scores.reshape(-1, self.heads, tokens, tokens)
        return self.proj((scores.softmax(-1) @ v).transpose(1, 2).reshape(-1, tokens, channels))


class Block(nn.Module):
    def __init__(self, channels: int, heads: int, window: int, shift: int) -> None:
        super().__init__()
        self.window, self.shift = window, shift
        self.norm1 = nn.LayerNorm(channels)
        self.attn = WindowAttention(channels, heads, window)
        self.norm2 = nn.LayerNorm(channels)
        self.mlp = nn.ModuleDict({"fc1": nn.Linear(channels, 4 * channels), "fc2": nn.Linear(4 * channels, channels)})

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """`x`: `[N, H, W, C]`; `mask`: that of `shift_mask`, for the blocks that shift."""
        w, (height, width) = self.window, x.shape[1:3]
        y = F.pad(self.norm1(x), (0, 0, 0, -width % w, 0, -height % w))
        y = y.roll((-self.shift, -self.shift), (1, 2))
        rows, columns, channels = y.shape[1] // w, y.shape[2] // w, y.shape[3]
        y = y.reshape(-1, rows, w, columns, w, channels).transpose(2, 3).reshape(-1, w * w, channels)
        y = self.attn(y, mask if self.shift else None)
        y = y.reshape(-1, rows, columns, w, w, channels).transpose(2, 3).reshape(-1, rows * w, columns * w, channels)
        x = x + y.roll((self.shift, self.shift), (1, 2))[:, :height, :width]
        return x + self.mlp["fc2"](F.gelu(self.mlp["fc1"](self.norm2(x))))


def shift_mask(height: int, width: int, window: int, shift: int) -> Tensor:
    """`[K, T, T]`: -100 between the pixels of a window that the cyclic shift brought together from afar."""
    def region(pixels: int) -> Tensor:
        padded = pixels + -pixels % window
        i = torch.arange(padded)
        return (i >= padded - window).long() + (i >= padded - shift).long()

    regions = 3 * region(height)[:, None] + region(width)
    regions = regions.reshape(regions.shape[0] // window, window, -1, window).transpose(1, 2).reshape(-1, window * window)
    return (regions[:, :, None] != regions[:, None]).float() * -100.0


class Downsample(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.reduction = nn.Linear(4 * channels, 2 * channels, bias=False)
        self.norm = nn.LayerNorm(4 * channels)

    def forward(self, x: Tensor) -> Tensor:
        x = F.pad(x, (0, 0, 0, x.shape[2] % 2, 0, x.shape[1] % 2))
        return self.reduction(self.norm(torch.cat([x[:, i::2, j::2] for j in (0, 1) for i in (0, 1)], -1)))


class Stage(nn.Module):
    def __init__(self, channels: int, depth: int, heads: int, window: int, last: bool) -> None:
        super().__init__()
        self.window = window
        self.blocks = nn.ModuleList(Block(channels, heads, window, i % 2 * (window // 2)) for i in range(depth))
        if not last:
            self.downsample = Downsample(channels)

    def forward(self, x: Tensor) -> Tensor:
        mask = shift_mask(x.shape[1], x.shape[2], self.window, self.window // 2)
        for block in self.blocks:
            x = block(x, mask)
        return x


class Swin(nn.Module):
    def __init__(self, channels: int, depths: tuple[int, ...], heads: tuple[int, ...], window: int) -> None:
        super().__init__()
        self.patch_embed = nn.ModuleDict({"proj": nn.Conv2d(3, channels, 4, 4), "norm": nn.LayerNorm(channels)})
        self.layers = nn.ModuleList(
            Stage(channels << i, depth, heads[i], window, i + 1 == len(depths)) for i, depth in enumerate(depths))
        for i in range(1, len(depths)):
            self.add_module(f"norm{i}", nn.LayerNorm(channels << i))

    def forward(self, image: Tensor) -> list[Tensor]:
        """`[N, 3, H, W]`, H and W multiples of 4, to the maps `[N, C, H / s, W / s]` of strides s = 8, 16 and 32."""
        x = self.patch_embed["norm"](self.patch_embed["proj"](image).permute(0, 2, 3, 1))
        maps = []
        for i, stage in enumerate(self.layers):
            x = stage(x)
            if i > 0:
                maps.append(getattr(self, f"norm{i}")(x).permute(0, 3, 1, 2))
            if i + 1 < len(self.layers):
                x = stage.downsample(x)
        return maps


class FeaturePyramid(nn.Module):
    """P3 to P5 of the backbone's maps, P6 and P7 of P5."""

    def __init__(self, inputs: list[int], channels: int) -> None:
        super().__init__()
        for i, n in enumerate(inputs, 2):
            self.add_module(f"fpn_inner{i}", nn.Conv2d(n, channels, 1))
            self.add_module(f"fpn_layer{i}", nn.Conv2d(channels, channels, 3, padding=1))
        self.top_blocks = nn.ModuleDict({p: nn.Conv2d(channels, channels, 3, 2, 1) for p in ("p6", "p7")})

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        pyramid, above = [], None
        for i, x in reversed(list(enumerate(maps, 2))):
            x = getattr(self, f"fpn_inner{i}")(x)
            above = x if above is None else x + F.interpolate(above, size=x.shape[2:], mode="nearest")
            pyramid.insert(0, getattr(self, f"fpn_layer{i}")(above))
        p6 = self.top_blocks["p6"](pyramid[-1])
        return [*pyramid, p6, self.top_blocks["p7"](p6.relu())]
