"""OWL-ViT with random weights: the adapter against transformers, a tiny one through ONNX Runtime."""

import json
import re

import onnxruntime
import pytest
import tokenizers
import torch
from transformers import OwlViTConfig, OwlViTForObjectDetection

import owlvit
from checkpoint import Refused

SIZE, PLACES = 96, 16
LETTERS = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
VOCABULARY = [*LETTERS, *(letter + "</w>" for letter in LETTERS), "wo", "rd</w>", "word</w>", owlvit.START, owlvit.END]
PARTS = ["word5", "wheel", "back leg"]


@pytest.fixture
def folder(tmp_path):
    """As the hub keeps it."""
    text = dict(vocab_size=len(VOCABULARY), hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
                max_position_embeddings=PLACES, bos_token_id=len(VOCABULARY) - 2, eos_token_id=len(VOCABULARY) - 1)
    vision = dict(hidden_size=24, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2, image_size=SIZE, patch_size=32)
    model = OwlViTForObjectDetection(OwlViTConfig(text_config=text, vision_config=vision, projection_dim=16))
    for tensor in model.parameters():
        if tensor.ndim > 1:
            torch.nn.init.normal_(tensor, std=0.3)
    path = tmp_path / "theirs"
    model.save_pretrained(path)
    (path / "vocab.json").write_text(json.dumps({token: i for i, token in enumerate(VOCABULARY)}))
    (path / "merges.txt").write_text("#version: 0.2\nw o\nr d</w>\nwo rd</w>\n")
    return path


def test_a_caption_is_its_names_one_by_one(folder, tmp_path, check):
    owlvit.export_folder(folder, tmp_path / "ours")
    tokenizer = tokenizers.Tokenizer.from_file(str(tmp_path / "ours/tokenizer.json"))
    rules = json.loads((tmp_path / "ours/manifest.json").read_text())["detector"]
    caption = tokenizer.encode("".join(part + rules["text"]["separator"] for part in PARTS))
    ids, mask = torch.tensor([caption.ids]), torch.tensor([caption.attention_mask])
    session = lambda file: onnxruntime.InferenceSession(tmp_path / "ours" / file)
    hidden, = session("text_encoder.onnx").run(None, {"input_ids": ids.numpy(), "attention_mask": mask.numpy()})
    image = torch.randn(2, 3, SIZE, SIZE)
    names = ["token_logits", "box_regression", "features"]
    found = session("grounding_detector.onnx").run(
        names, {"image": image.numpy(), "text_hidden": hidden.repeat(2, 0), "text_mask": mask.repeat(2, 1).numpy()})
    logits, boxes, features = map(torch.from_numpy, found)

    alone = [tokenizer.encode(part).ids for part in PARTS]
    padded = torch.tensor([ids + [0] * (PLACES - len(ids)) for ids in alone])
    padding = torch.tensor([[int(i < len(ids)) for i in range(PLACES)] for ids in alone])
    theirs = OwlViTForObjectDetection.from_pretrained(folder).eval().requires_grad_(False)
    expected = theirs(padded.repeat(2, 1), image, padding.repeat(2, 1))
    assert expected.logits.std(2).min() > 1e-3, "names that do not matter would agree whatever the file holds"
    # Start, the name's tokens and the end of each come one after another; the last separator leaves an empty name.
    assert caption.ids == [*sum(alone, []), len(VOCABULARY) - 2, len(VOCABULARY) - 1]
    by_token = expected.logits.repeat_interleave(torch.tensor([len(ids) for ids in alone]), 2)
    torch.testing.assert_close(logits[:, :, :-2], by_token, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(boxes, expected.pred_boxes, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(features, expected.image_embeds.flatten(1, 2), rtol=1e-4, atol=1e-4)
    report = check(tmp_path / "ours")
    assert report["problems"] == [] and report["trial"]["boxes"] > 0


def test_padding_is_nothing(folder):
    encoder = owlvit.TextEncoder(OwlViTForObjectDetection.from_pretrained(folder).eval().requires_grad_(False))
    start, end = len(VOCABULARY) - 2, len(VOCABULARY) - 1
    ids, mask = torch.tensor([[start, 5, 6, end, start, 7, end, 3, 4]]), torch.tensor([[1] * 7 + [0] * 2])
    torch.testing.assert_close(encoder(ids, mask)[:, :7], encoder(ids[:, :7], mask[:, :7]))


def test_a_folder_that_holds_something_else(folder, tmp_path):
    with pytest.raises(Refused, match="not an OWL-ViT of transformers"):
        owlvit.export_folder(tmp_path, tmp_path / "out")
    (folder / "vocab.json").write_text(json.dumps({token: i for i, token in enumerate(VOCABULARY[1:])}))
    with pytest.raises(Refused, match=re.escape(f"has {len(VOCABULARY) - 1} tokens, its text encoder {len(VOCABULARY)}")):
        owlvit.export_folder(folder, tmp_path / "out")
