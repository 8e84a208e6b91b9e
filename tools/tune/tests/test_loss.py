"""Targets, losses and gradients against those that GLIP's own code computed (no weights, no images)."""

import pathlib

import numpy as np
import pytest
import torch

import loss
from detector import anchors

SIZES = (64, 128, 256, 512, 1024)


@pytest.fixture(scope="module")
def golden():
    return np.load(pathlib.Path(__file__).parents[3] / "tests/fixtures/glip_loss_golden.npz")


def tensor(array):
    return torch.from_numpy(np.asarray(array))


def case(golden, dtype):
    """Targets of both images, and their outputs."""
    anchor, counts = anchors(160, 224, SIZES)
    span = {part: range(first, end) for part, first, end in golden["spans"]}
    targets = []
    for n in range(2):
        tokens = torch.zeros(len(golden[f"labels{n}"]), golden["token_logits"].shape[2], dtype=dtype)
        for row, part in zip(tokens, golden[f"labels{n}"]):
            row[span[part]] = 1
        targets.append(loss.target(anchor.to(dtype), counts, tensor(golden[f"boxes{n}"]).to(dtype), tokens))
    outputs = [tensor(golden[name]).to(dtype).requires_grad_() for name in ("token_logits", "box_regression", "centerness")]
    return targets, outputs


@pytest.mark.parametrize("dtype,tolerance", [(torch.float64, 1e-6), (torch.float32, 1e-5)])
def test_targets_losses_and_gradients_are_glips(golden, dtype, tolerance):
    targets, outputs = case(golden, dtype)

    def same(found, expected, tolerance):
        expected = tensor(expected).to(dtype)
        assert found.shape == expected.shape and (found - expected).abs().max() <= tolerance * expected.abs().max()

    same(targets[0].anchors, golden["anchors"], 0)
    for n, target in enumerate(targets):
        positive = golden["anchor_label"][n] > 0
        assert np.array_equal(target.at.numpy(), np.flatnonzero(positive))
        same(target.tokens, golden["token_targets"][n][positive], 0)
        same(target.centerness, golden["centerness_targets"][n][positive], 1e-5)
    scale = loss.scale(targets)
    terms = [loss.losses([x[n] for x in outputs], target, scale) for n, target in enumerate(targets)]
    for name in ("token", "box", "centerness"):
        same(sum(t[name] for t in terms).detach(), golden[f"loss_{name}"], tolerance)
    sum(sum(t.values()) for t in terms).backward()
    for name, output in zip(("token", "box", "centerness"), outputs):
        same(output.grad, golden[f"grad_{name}"], 1e-5)


def test_a_thin_box_is_background_and_an_image_without_boxes_has_a_loss(golden):
    anchor, counts = anchors(160, 224, SIZES)
    for boxes in (torch.zeros(0, 4), torch.tensor([[50.0, 10, 51, 90]])):
        target = loss.target(anchor, counts, boxes, torch.ones(len(boxes), 5))
        assert len(target.at) == 0 and loss.scale([target]) == (1, 1.0)
        outputs = torch.randn(len(anchor), 5), torch.randn(len(anchor), 4), torch.randn(len(anchor))
        terms = loss.losses(outputs, target, loss.scale([target]))
        assert terms["token"] > 0 and terms["box"] == 0 and terms["centerness"] == 0
