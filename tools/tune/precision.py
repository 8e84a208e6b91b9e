"""COCO's average precision of boxes."""

import numpy as np

from dataset import KEPT
from evaluate import match

LIMITS = np.arange(0.5, 0.96, 0.05).round(2)


def average(found: list[np.ndarray], truth: list[np.ndarray]) -> tuple[float, float]:
    """AP (mean over IoU 0.5 to 0.95) and AP50, both the mean over parts that have boxes.

    `found`: rows (x1, y1, x2, y2, part, score, ...) of each image, strongest first; `truth`: rows of `boxes_of`.
    """
    parts = np.unique(np.concatenate([rows[rows[:, 6] == KEPT, 4] for rows in truth] or [[]]))
    if len(parts) == 0:
        return 0.0, 0.0
    of_limit = []
    for limit in LIMITS:
        flags = [match(f, t, limit) for f, t in zip(found, truth)]
        score, part, hit = (np.concatenate(x) for x in ([f[:, 5] for f in found], [f[:, 4] for f in found], flags))
        count = {p: sum(int(((t[:, 4] == p) & (t[:, 6] == KEPT)).sum()) for t in truth) for p in parts}
        of_limit.append([at_recalls(score[part == p], hit[part == p], count[p]) for p in parts])
    return float(np.mean(of_limit)), float(np.mean(of_limit[0]))


def threshold(found: list[np.ndarray], truth: list[np.ndarray]) -> float:
    """The score above which the boxes of all parts together have the best F1 at IoU 0.5."""
    score, hit = (np.concatenate(x) for x in ([f[:, 5] for f in found], [match(f, t) for f, t in zip(found, truth)]))
    score, hit = score[hit >= 0], hit[hit >= 0]
    if not hit.any():
        return 0.5
    order = np.argsort(-score, kind="stable")
    score, hits = score[order], np.cumsum(hit[order])
    # F1 = 2 hits / (found + boxes); the threshold lies halfway to the next score.
    best = int(np.argmax(hits / (np.arange(1, len(hits) + 1) + sum(int((t[:, 6] == KEPT).sum()) for t in truth))))
    return float((score[best] + (score[best + 1] if best + 1 < len(score) else 0)) / 2)


def at_recalls(score: np.ndarray, hit: np.ndarray, count: int) -> float:
    """The mean, over 101 recalls, of the best precision at that recall or a higher one."""
    hit = hit[np.argsort(-score, kind="stable")]
    hit = hit[hit >= 0]
    recall, precision = np.cumsum(hit) / count, np.cumsum(hit) / np.arange(1, len(hit) + 1)
    precision = np.append(np.maximum.accumulate(precision[::-1])[::-1], 0)
    return float(precision[np.searchsorted(recall, np.linspace(0, 1, 101) - 1e-9)].mean())
