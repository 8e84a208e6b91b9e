"""GroundingDINO of transformers: queries, matched to the boxes one to one.

Its losses are transformers', which are those of DINO (Zhang et al., ICLR 2023), for the last decoder layer.
"""

import pathlib

import numpy as np
import torch
from torch import Tensor
from transformers import GroundingDinoForObjectDetection
from transformers.loss.loss_grounding_dino import GroundingDinoHungarianMatcher, GroundingDinoImageLoss

import detr
from checkpoint import read_folder
from evaluate import suppress
from frozen import Frozen, Prompt

WEIGHTS = {"loss_ce": 2.0, "loss_bbox": 5.0, "loss_giou": 2.0}
LOWEST = 0.05
MOST = 100


class Queries(Frozen):
    def target(self, size: tuple[int, int], boxes: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Centre and size in parts of the image, `[G, 4]`, of boxes with inclusive corners in its pixels; their tokens, `[G, L]`."""
        low, high = boxes[:, :2], boxes[:, 2:] + 1
        return torch.cat([(low + high) / 2, high - low], 1) / torch.tensor([size[1], size[0]] * 2), tokens

    def scale(self, targets: list[tuple[Tensor, Tensor]]) -> int:
        return max(sum(len(boxes) for boxes, _ in targets), 1)

    def losses(self, outputs: list[Tensor], target: tuple[Tensor, Tensor], scale: int) -> dict[str, Tensor]:
        """The terms of one image; those of a batch are their sums over its images."""
        (logits, boxes), (wanted, tokens) = outputs, target
        matcher = GroundingDinoHungarianMatcher(class_cost=1.0, bbox_cost=5.0, giou_cost=2.0)
        terms = GroundingDinoImageLoss(matcher, 0.25, ["labels", "boxes"])(
            {"logits": logits[None], "pred_boxes": boxes[None], "label_maps": (tokens,), "text_mask": torch.ones_like(logits[None]) > 0},
            [{"class_labels": torch.arange(len(wanted)), "boxes": wanted}])
        return {name: weight * terms[name] * len(wanted) / scale for name, weight in WEIGHTS.items()}

    def detections(self, outputs: list[Tensor], prompt: Prompt, size: tuple[int, int]) -> np.ndarray:
        """Rows (x1, y1, x2, y2, part, score), strongest first."""
        logits, boxes = (x.cpu().numpy() for x in outputs)
        score = 1 / (1 + np.exp(-np.stack([logits[:, first:end].max(1) for first, end in prompt.spans], 1).clip(-50, 50)))
        at, part = np.nonzero(score > LOWEST)
        middle, half = boxes[at, :2], boxes[at, 2:] / 2
        corners = np.concatenate([middle - half, middle + half], 1) * np.array([size[1], size[0]] * 2) - [0, 0, 1, 1]
        rows = np.column_stack([corners, part, score[at, part]])
        return suppress(rows[np.argsort(-rows[:, 5], kind="stable")], self.rules["nms"], MOST)


def of_folder(theirs: pathlib.Path, folder: pathlib.Path, device: str) -> Queries:
    """A GroundingDINO as the hub keeps it. The last channel of its text says where a phrase ends."""
    model = read_folder(GroundingDinoForObjectDetection, theirs, "a GroundingDINO").eval().requires_grad_(False).to(device)
    detector = detr.Detector(model)
    return Queries(folder, detr.TextEncoder(model), detector.levels, lambda *inputs: detector.decode(*inputs)[:2], device, idle=1)
