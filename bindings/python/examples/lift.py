"""Lifts the boxes of any detector to parts of a cloud: python lift.py CLOUD OUT"""

import sys

import numpy as np
from numpy.typing import NDArray

import partstad


def detect(image: NDArray[np.uint8]) -> list[tuple[int, list[float]]]:
    """Your detector: parts and x, y, width, height. This one takes the upper half for a back, the lower for legs."""
    y, x = np.nonzero((image != 254).any(axis=2))
    left, top, width, half = float(x.min()), float(y.min()), float(np.ptp(x)), np.ptp(y) / 2
    return [(0, [left, top, width, half]), (1, [left, top + half, width, half])]


points, colors = partstad.read(sys.argv[1])
pipeline = partstad.Pipeline(models=None)
views = pipeline.render(points, colors)
found = [(view, part, box) for view, image in enumerate(views.images) for part, box in detect(image)]
view, part, box = zip(*found)
lifted = pipeline.lift(points, colors, ["back", "leg"], partstad.Boxes(view, part, box))
print(lifted, np.bincount(lifted.labels + 1))
lifted.write(sys.argv[2])
