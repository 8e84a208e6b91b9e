"""GLIP's targets and losses, as its own training computes them, one image at a time.

Li et al., GLIP, CVPR 2022; the assignment is ATSS (Zhang et al., CVPR 2020). The losses of tools/train differ: they serve a
detector that is trained from nothing.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from detector import decode
from losses import assign, focal

BOX_WEIGHT = 2.0


@dataclass(frozen=True)
class Target:
    """What one image's outputs should be. P anchors answer for a box."""
    anchors: Tensor
    """`[A, 4]`"""
    at: Tensor
    """Which anchors answer, `[P]`."""
    boxes: Tensor
    """Their boxes, `[P, 4]`, inclusive corners in pixels."""
    tokens: Tensor
    """1 where a token names the box's part, `[P, L]`."""
    centerness: Tensor
    """How central each anchor lies in its box, `[P]`: 1 in the middle, 0 on its rim."""


def target(anchors: Tensor, counts: list[int], boxes: Tensor, tokens: Tensor) -> Target:
    """`anchors` `[A, 4]`, so many a level; `boxes` `[G, 4]` and the `tokens` that name each, `[G, L]`.

    A box that is too thin to hold an anchor's centre has none that answers.
    """
    owner = assign(anchors, counts, boxes, adopt=False)
    at = (owner >= 0).nonzero()[:, 0]
    own = boxes[owner[at]]
    centre = (anchors[at, :2] + anchors[at, 2:]) / 2
    before, after = centre - own[:, :2], own[:, 2:] - centre
    centerness = (torch.minimum(before, after) / torch.maximum(before, after)).prod(1).sqrt()
    return Target(anchors, at, own, tokens[owner[at]], centerness)


def scale(targets: list[Target]) -> tuple[float, float]:
    """What the sums of a batch are divided by: anchors that answer, and their centerness."""
    count = sum(len(t.at) for t in targets)
    return max(count, 1), float(sum(t.centerness.sum() for t in targets)) if count else 1.0


def losses(outputs: tuple[Tensor, ...], wanted: Target, scale: tuple[float, float]) -> dict[str, Tensor]:
    """The terms of one image; those of a batch are their sums over its images, its loss is the sum of all.

    `outputs`: token logits `[A, L]`, box regression `[A, 4]`, centerness `[A]`.
    """
    logits, regression, centerness = outputs
    count, weight = scale
    tokens = torch.zeros_like(logits)
    tokens[wanted.at] = wanted.tokens
    predicted = decode(regression[wanted.at], wanted.anchors[wanted.at])
    return {
        "token": focal(logits, tokens).sum() / count,
        "box": BOX_WEIGHT * (wanted.centerness * (1 - generalised_iou(predicted, wanted.boxes))).sum() / weight,
        "centerness": F.binary_cross_entropy_with_logits(centerness[wanted.at], wanted.centerness, reduction="sum") / count,
    }


def generalised_iou(a: Tensor, b: Tensor) -> Tensor:
    """GIoU of boxes `[P, 4]` in pairs. Unlike the assignment's IoU it takes corners for points, not for pixels."""
    a = torch.cat([a[:, :2], torch.maximum(a[:, :2], a[:, 2:])], 1)

    def area(low: Tensor, high: Tensor) -> Tensor:
        return (high - low).clamp(min=0).prod(1)

    shared = area(torch.maximum(a[:, :2], b[:, :2]), torch.minimum(a[:, 2:], b[:, 2:]))
    union = area(a[:, :2], a[:, 2:]) + area(b[:, :2], b[:, 2:]) - shared + 1e-7
    hull = area(torch.minimum(a[:, :2], b[:, :2]), torch.maximum(a[:, 2:], b[:, 2:])) + 1e-7
    return shared / union - (hull - union) / hull
