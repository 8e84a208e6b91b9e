"""Labelled clouds to images and boxes."""

import dataclasses
import json

import numpy as np
import pytest

import clouds
import shots
from checkpoint import Refused
from dataset import IGNORED, KEPT
from scene import points, save_ply


def test_a_box_holds_the_pixels_that_show_its_instance(table, partstad):
    names, (shape,) = shots.find(table, "train", "Table")
    views = list(shots.views(shape, partstad))
    images, owners = clouds.render(partstad, shape.cloud)
    _, instance = shots.truth(shape)
    assert names == ["leg", "tabletop"] and len(views) == 10
    for view, image, owner in zip(views, images, owners):
        assert np.array_equal(view.image, image) and len(view.kept) >= 4
        shown = np.where(owner >= 0, instance[owner], -1)
        for x1, y1, x2, y2, part, k, _ in view.kept:
            assert part == (k == 0)
            y, x = np.nonzero(shown == k)
            outer = np.array([x.min(), y.min(), x.max(), y.max()])
            beyond = np.array([x1, y1, -x2, -y2]) - outer * [1, 1, -1, -1]
            assert beyond.min() >= -2, "no larger than what is seen"
            assert ((x >= x1) & (x <= x2) & (y >= y1) & (y <= y2)).mean() > 0.8, "but for points seen through gaps"
            assert k > 0 or beyond.max() <= 2


def test_what_hardly_shows_is_left_out(table, partstad, monkeypatch):
    _, (shape,) = shots.find(table, "train", "Table")
    monkeypatch.setattr(shots, "PIXELS", 10**6)
    for view in shots.views(shape, partstad):
        assert len(view.kept) == 0 and (view.boxes[:, 6] == IGNORED).all() and KEPT != IGNORED


@pytest.mark.parametrize("kind", ["npz", "npy", "ply"])
def test_labels_are_read_wherever_they_lie(tmp_path, kind):
    position, colour, part, instance = points(np.random.default_rng(1))
    entry = {"split": "train", "category": "desk", "id": "a", "cloud": "a.ply"}
    given = np.where(part == 1, 255, part + 1)
    own = {"label": given, "instance": instance}
    save_ply(tmp_path / "a.ply", position, colour, **(own if kind == "ply" else {}))
    if kind == "npz":
        np.savez(tmp_path / "a.npz", **own)
        entry["labels"] = "a.npz"
    elif kind == "npy":
        np.save(tmp_path / "a.npy", given)
        np.save(tmp_path / "i.npy", instance)
        entry |= {"labels": "a.npy", "instances": "i.npy"}
    (tmp_path / "dataset.json").write_text(json.dumps(
        {"categories": {"desk": ["leg", "top"]}, "first_label": 1, "no_label": 255, "objects": [entry]}))
    names, (shape,) = shots.find(tmp_path, "train", "desk")
    semantic, found = shots.truth(shape)
    assert names == ["leg", "top"]
    assert np.array_equal(semantic, np.where(part == 1, -1, 0)) and np.array_equal(found, instance)


def test_what_cannot_be_used_is_named(tmp_path, table):
    with pytest.raises(Refused, match="neither dataset.json"):
        shots.find(tmp_path, "train", "Table")
    with pytest.raises(Refused, match="no category 'Lamp'; there are Table"):
        shots.find(table, "train", "Lamp")
    np.save(tmp_path / "label.npy", np.zeros(3, int))
    for file, message in (("label.npy", "holds no instances"), ("missing.npy", "not labels"), ("text.ply", "not labels")):
        (tmp_path / "text.ply").write_text("ply\nformat ascii 1.0\nelement vertex 1\nproperty int label\nend_header\n1\n")
        with pytest.raises(Refused, match=message):
            shots.truth(shots.Shape("a", tmp_path / "a.ply", tmp_path / file, 2))
    _, (shape,) = shots.find(table, "train", "Table")
    with pytest.raises(Refused, match="label 1 is no part's; there are 1 from 0 on"):
        shots.truth(dataclasses.replace(shape, parts=1))
    with pytest.raises(Refused, match="could not be rendered: .*--partstad names the program"):
        next(shots.views(shape, "no-such-program"))
