"""Average precision, on cases that can be counted by hand."""

import numpy as np
import pytest

import precision
from dataset import IGNORED, KEPT


def row(x, part=0, score=0.0, width=10):
    return [x, 0, x + width - 1, 9, part, score]


def truth(*boxes):
    return np.array([[*row(x, part)[:5], i, flag] for i, (x, part, flag) in enumerate(boxes)], float).reshape(-1, 7)


def test_all_found_is_one_and_nothing_found_is_zero():
    t = [truth((0, 0, KEPT), (50, 1, KEPT)), truth((20, 0, KEPT))]
    found = [np.array([row(0, 0, 0.9), row(50, 1, 0.8)]), np.array([row(20, 0, 0.7)])]
    assert precision.average(found, t) == (1.0, 1.0)
    assert precision.average([np.zeros((0, 6))] * 2, t) == (0.0, 0.0)
    assert precision.average(found, [truth()] * 2) == (0.0, 0.0)


def test_order_counts_across_images_and_overlap_decides():
    t = [truth((0, 0, KEPT)), truth((0, 0, KEPT))]
    # The strongest is false, then both are found: precision 2 / 3 at every recall.
    ap, ap50 = precision.average([np.array([row(0, 0, 0.5)]), np.array([row(70, 0, 0.9), row(0, 0, 0.4)])], t)
    assert ap == pytest.approx(2 / 3) and ap50 == pytest.approx(2 / 3)
    # Seven of ten columns: IoU 0.7, which is enough up to 0.7.
    ap, ap50 = precision.average([np.array([row(0, 0, 0.5, 7)]), np.array([row(0, 0, 0.4, 7)])], t)
    assert ap == pytest.approx(0.5) and ap50 == 1
    # One of two: precision 1 at recalls 0 to 0.5, 51 of 101.
    assert precision.average([np.array([row(0, 0, 0.5)]), np.zeros((0, 6))], t)[1] == pytest.approx(51 / 101)


def test_the_threshold_has_the_best_f1():
    t = [truth((0, 0, KEPT), (30, 1, KEPT), (60, 0, KEPT))]
    # Two of three found by the two strongest: F1 0.8; the third comes after four that are false.
    found = [np.array([row(0, 0, 0.8), row(30, 1, 0.6), *(row(100, 0, 0.4),) * 4, row(60, 0, 0.2)])]
    assert precision.threshold(found, t) == pytest.approx(0.5)
    assert precision.threshold([np.zeros((0, 6))], t) == 0.5


def test_what_was_left_out_counts_neither_way():
    t = [truth((0, 0, KEPT), (30, 0, IGNORED))]
    assert precision.average([np.array([row(30, 0, 0.9), row(0, 0, 0.5)])], t) == (1.0, 1.0)
