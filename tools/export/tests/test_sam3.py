"""SAM 3 with random weights: a tiny one against transformers and through ONNX Runtime, the full size by shapes."""

import json
import re
import shutil

import onnxruntime
import pytest
import tokenizers
import torch
from safetensors.torch import save_file
from transformers import Sam3Config, Sam3Model

import half
import sam3
from checkpoint import Refused

SIZE, PLACES, QUERIES, WIDTH = 112, 8, 9, 16
SIDES = [32, 16, 8]
LEVELS = ["features_0", "features_1", "features_2"]
ANSWERS = ["logits", "presence", "boxes", "masks", "features"]
LETTERS = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
VOCABULARY = [*LETTERS, *(letter + "</w>" for letter in LETTERS), "wo", "rd</w>", "word</w>", sam3.START, sam3.END]
NAMES = ["word5", "back", "wheel"]


def configuration():
    """Windows of 3 that do not divide the 8 patches, and one layer in three that sees all of them."""
    layers = dict(hidden_size=WIDTH, num_attention_heads=2, intermediate_size=24)
    backbone = dict(model_type="sam3_vit_model", hidden_size=32, intermediate_size=48, num_hidden_layers=3, num_attention_heads=2,
                    image_size=SIZE, patch_size=14, window_size=3, global_attn_indexes=[1], pretrain_image_size=42)
    text = dict(model_type="clip_text_model", vocab_size=len(VOCABULARY), hidden_size=24, intermediate_size=32, projection_dim=8,
                num_hidden_layers=2, num_attention_heads=2, max_position_embeddings=PLACES)
    return Sam3Config(
        vision_config=dict(backbone_config=backbone, fpn_hidden_size=WIDTH), text_config=text,
        geometry_encoder_config=layers | dict(num_layers=1), detr_encoder_config=layers | dict(num_layers=2),
        detr_decoder_config=layers | dict(num_layers=2, num_queries=QUERIES),
        mask_decoder_config=dict(hidden_size=WIDTH, num_attention_heads=2))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """As the hub keeps it: the detector of a model of videos, whose tracker has weights of its own."""
    torch.manual_seed(0)
    model = Sam3Model(configuration())
    for tensor in model.parameters():
        if tensor.ndim > 1:
            torch.nn.init.normal_(tensor, std=0.3)
    path = tmp_path_factory.mktemp("theirs")
    detector = {f"detector_model.{name}": tensor.contiguous() for name, tensor in model.state_dict().items()}
    save_file(detector | {"tracker_model.no_memory": torch.zeros(3), "tracker_neck.conv": torch.zeros(2)}, path / "model.safetensors",
              {"format": "pt"})
    config = {"model_type": "sam3_video", "architectures": ["Sam3VideoModel"], "detector_config": model.config.to_dict()}
    (path / "config.json").write_text(json.dumps(config))
    (path / "vocab.json").write_text(json.dumps({token: i for i, token in enumerate(VOCABULARY)}))
    (path / "merges.txt").write_text("#version: 0.2\nw o\nr d</w>\nwo rd</w>\n")
    return path


@pytest.fixture(scope="module")
def ours(folder, tmp_path_factory):
    path = tmp_path_factory.mktemp("ours")
    sam3.export_folder(folder, path)
    return path


def run(folder, file, names, **inputs):
    session = onnxruntime.InferenceSession(folder / file)
    return [torch.from_numpy(x) for x in session.run(names, {name: tensor.numpy() for name, tensor in inputs.items()})]


def test_names_are_answered_as_transformers_answers_each_by_itself(folder, ours):
    tokenizer = tokenizers.Tokenizer.from_file(str(ours / "tokenizer.json"))
    asked = [tokenizer.encode(name).ids for name in NAMES]
    assert asked[0] == [VOCABULARY.index(token) for token in (sam3.START, "word</w>", "5</w>", sam3.END)]
    longest = max(map(len, asked))
    ids = torch.tensor([row + [7] * (longest - len(row)) for row in asked])
    mask = torch.tensor([[int(i < len(row)) for i in range(longest)] for row in asked])
    hidden, = run(ours, "text_encoder.onnx", None, input_ids=ids, attention_mask=mask)
    images = torch.randn(2, 3, SIZE, SIZE)
    pyramid = dict(zip(LEVELS, run(ours, "vision_encoder.onnx", LEVELS, image=images)))
    # Every name in every view, in another order than theirs.
    views, names = torch.tensor([1, 0, 1, 0, 0, 1]), torch.tensor([2, 0, 0, 1, 2, 1])
    found = run(ours, "concept_decoder.onnx", ANSWERS, **pyramid, image_index=views, text_hidden=hidden[names], text_mask=mask[names])
    logits, presence, boxes, masks, features = found

    theirs = Sam3Model.from_pretrained(folder).eval().requires_grad_(False)
    end = VOCABULARY.index(sam3.END)
    for pair, (view, name) in enumerate(zip(views, names)):
        # As their processor pads a name.
        padded = torch.tensor([asked[name] + [end] * (PLACES - len(asked[name]))])
        valid = (torch.arange(PLACES) < len(asked[name])).long()[None]
        expected = theirs(pixel_values=images[view:view + 1], input_ids=padded, attention_mask=valid, output_hidden_states=True)
        close = lambda found, expected: torch.testing.assert_close(found[pair:pair + 1], expected, rtol=1e-3, atol=1e-3)
        close(logits, expected.pred_logits)
        close(presence[:, None], expected.presence_logits)
        center, size = boxes[..., :2], boxes[..., 2:]
        close(torch.cat([center - size / 2, center + size / 2], -1), expected.pred_boxes)
        close(masks, expected.pred_masks)
        # Their first query is the presence token.
        close(features, theirs.detr_decoder.output_layer_norm(expected.decoder_hidden_states[-1][:, 1:]))
    # What is the same for all pairs would agree whatever the file holds.
    assert min(x.std(0).min() for x in (logits, presence, masks, features)) > 1e-3


def test_the_manifest_says_what_there_is(ours):
    rules = json.loads((ours / "manifest.json").read_text())
    assert set(rules["files"]) == {"vision_encoder.onnx", "text_encoder.onnx", "concept_decoder.onnx", "tokenizer.json"}
    concepts = rules["concepts"]
    assert concepts["features"] == {name: [WIDTH, side, side] for name, side in zip(LEVELS, SIDES)} and concepts["masks"] == SIDES[0]
    assert (concepts["queries"], concepts["prompt_dim"], concepts["feature_dim"]) == (QUERIES, WIDTH, WIDTH)
    assert concepts["image"]["size"] == [SIZE, SIZE] and concepts["text"]["max_tokens"] == PLACES


@pytest.mark.parametrize("type, precision, least, most", [("f16", "f16", 1e-5, 3e-2), ("bf16-imitated", "f32", 1e-3, 1e-1)])
def test_half_precision(ours, tmp_path, type, precision, least, most):
    half.convert_folder(ours, tmp_path, type)
    before, after = (json.loads((path / "manifest.json").read_text()) for path in (ours, tmp_path))
    assert after["precision"] == precision
    changed = {file for file in before["files"] if after["files"][file] != before["files"][file]}
    assert changed == {"vision_encoder.onnx", "concept_decoder.onnx"}
    assert all(least < half.difference(ours / file, tmp_path / file) < most for file in changed)


def test_the_full_size_by_shapes():
    """As torch.export sees it, which computes nothing."""
    with torch.device("meta"):
        sam = Sam3Model(Sam3Config()).eval().requires_grad_(False)
        assert sum(tensor.numel() for tensor in sam.parameters()) == 840_376_374
        n, b, length = (torch.export.Dim(symbol, min=1, max=4096) for symbol in ("N", "B", "L"))

        def shapes(module, inputs, axes):
            program = torch.export.export(module.eval(), inputs, dynamic_shapes=axes)
            return [list(value.meta["val"].shape) for value in program.graph.find_nodes(op="output")[0].args[0]]

        levels = shapes(sam3.VisionEncoder(sam), (torch.empty(2, 3, 1008, 1008),), ({0: n},))
        assert [shape[1:] for shape in levels] == [[256, 288, 288], [256, 144, 144], [256, 72, 72]]
        assert sam3.sides(sam) == [288, 144, 72]
        pairs = (torch.zeros(3, dtype=torch.int64), torch.empty(3, 32, 256), torch.ones(3, 32, dtype=torch.int64))
        found = shapes(sam3.ConceptDecoder(sam), (*(torch.empty(2, *shape[1:]) for shape in levels), *pairs),
                       ({0: n}, {0: n}, {0: n}, {0: b}, {0: b, 1: length}, {0: b, 1: length}))
        assert [shape[1:] for shape in found] == [[200], [], [200, 4], [200, 288, 288], [200, 256]]


def test_a_folder_that_holds_something_else(folder, tmp_path):
    with pytest.raises(Refused, match="not a SAM 3 of transformers"):
        sam3.export_folder(tmp_path, tmp_path / "out")
    other = tmp_path / "other"
    shutil.copytree(folder, other)
    (other / "vocab.json").write_text(json.dumps({token: i for i, token in enumerate(VOCABULARY[1:])}))
    with pytest.raises(Refused, match=re.escape(f"has {len(VOCABULARY) - 1} tokens; its text encoder's has {len(VOCABULARY)}")):
        sam3.export_folder(other, tmp_path / "out")
