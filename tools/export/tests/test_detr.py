"""GroundingDINO with random weights: the adapter against transformers, a tiny one through ONNX Runtime."""

import json
import re

import onnxruntime
import pytest
import torch
from transformers.models.grounding_dino.modeling_grounding_dino import generate_masks_with_special_tokens_and_transfer_map

import detr
import tiny
from checkpoint import Refused

SIZE = 160
IDS = torch.tensor([[101, 5, 6, 1012, 7, 1012, 102], [101, 8, 1012, 9, 10, 11, 102]])


@pytest.fixture
def dino():
    return tiny.dino()


def words(path):
    path.write_text("\n".join(["[UNK]", "[CLS]", "[SEP]", *(f"word{i}" for i in range(tiny.WORDS - 3))]) + "\n")
    return path


def test_phrases_are_transformers():
    for ids in (IDS, torch.tensor([[101, 102]]), torch.tensor([[101, 1012, 1012, 4, 102]]), torch.randint(1010, 1016, (20, 9))):
        special = torch.isin(ids, torch.tensor(detr.ENDS))
        sees, places = detr.phrases(special)
        expected = generate_masks_with_special_tokens_and_transfer_map(ids, torch.tensor(detr.ENDS))
        assert torch.equal(sees, expected[0]) and torch.equal(places, expected[1])


def test_the_adapter_is_transformers(dino):
    image = torch.randn(2, 3, SIZE, SIZE)
    expected = dino(pixel_values=image, input_ids=IDS)
    mask = torch.ones_like(IDS)
    logits, boxes, features = detr.Detector(dino)(image, detr.TextEncoder(dino)(IDS, mask), mask)
    assert boxes.std() > 1e-3 and logits.std() > 1e-3
    torch.testing.assert_close(logits, expected.logits[:, :, :IDS.shape[1]], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(boxes, expected.pred_boxes, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(features, expected.last_hidden_state, rtol=1e-4, atol=1e-4)


def test_a_folder_goes_all_the_way(dino, tmp_path, check):
    dino.save_pretrained(tmp_path / "theirs")
    words(tmp_path / "theirs" / "vocab.txt")
    detr.export_folder(tmp_path / "theirs", tmp_path / "ours", SIZE)
    session = lambda file: onnxruntime.InferenceSession(tmp_path / "ours" / file)
    mask = torch.ones_like(IDS)
    hidden, = session("text_encoder.onnx").run(None, {"input_ids": IDS.numpy(), "attention_mask": mask.numpy()})
    image = torch.randn(2, 3, SIZE, SIZE)
    logits, boxes, _ = session("grounding_detector.onnx").run(
        ["token_logits", "box_regression", "features"], {"image": image.numpy(), "text_hidden": hidden, "text_mask": mask.numpy()})
    expected = dino(pixel_values=image, input_ids=IDS)
    torch.testing.assert_close(torch.from_numpy(logits), expected.logits[:, :, :IDS.shape[1]], rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(torch.from_numpy(boxes), expected.pred_boxes, rtol=1e-3, atol=1e-3)
    report = check(tmp_path / "ours")
    assert report["problems"] == [] and report["trial"]["boxes"] > 0


def test_a_folder_that_holds_something_else(dino, tmp_path):
    with pytest.raises(Refused, match="not a GroundingDINO of transformers"):
        detr.export_folder(tmp_path, tmp_path / "out")
    dino.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"encoder_layers": 2}))
    with pytest.raises(Refused, match=re.escape("model.encoder.layers.1.") + ".* is among its missing_keys"):
        detr.export_folder(tmp_path, tmp_path / "out")
