"""SAM with random weights: a tiny one through ONNX Runtime, the real sizes by names and shapes."""

import json
import pathlib
import re
import shutil
import sys

import onnxruntime
import pytest
import torch
from segment_anything.modeling import ImageEncoderViT, MaskDecoder, PromptEncoder, Sam, TwoWayTransformer
from torch import nn
from transformers import SamConfig, SamModel

import half
import sam
from checkpoint import Refused, load
from manifest import update

SIZE, SIDE, CHANNELS = 256, 64, 32


def tiny(encoder=None, side=SIDE):
    """The official architecture with few channels; windows of 14 that do not divide the 64 rows, as at full size."""
    size = side * SIZE // SIDE
    return Sam(
        encoder or ImageEncoderViT(
            img_size=size, patch_size=4, embed_dim=16, depth=2, num_heads=2, mlp_ratio=2, out_chans=CHANNELS,
            use_rel_pos=True, window_size=14, global_attn_indexes=(1,)),
        PromptEncoder(CHANNELS, (side, side), (size, size), mask_in_chans=4),
        MaskDecoder(transformer_dim=CHANNELS, iou_head_hidden_dim=16,
                    transformer=TwoWayTransformer(depth=2, embedding_dim=CHANNELS, num_heads=4, mlp_dim=32)),
    ).eval()


def boxes(count):
    corner = torch.rand(count, 2) * 150
    return torch.cat([corner, corner + torch.rand(count, 2) * 100], 1)


def test_the_decoder_is_the_packages_with_mask_token_0():
    model = tiny()
    embeddings, prompts, index = torch.randn(3, CHANNELS, SIDE, SIDE), boxes(5), torch.tensor([2, 0, 0, 1, 2])
    logits, iou = sam.BoxDecoder(model)(embeddings, prompts, index)
    for b, image in enumerate(index):
        sparse, dense = model.prompt_encoder(points=None, boxes=prompts[b:b + 1], masks=None)
        expected, score = model.mask_decoder(
            image_embeddings=embeddings[image:image + 1], image_pe=model.prompt_encoder.get_dense_pe(),
            sparse_prompt_embeddings=sparse, dense_prompt_embeddings=dense, multimask_output=False)
        torch.testing.assert_close(logits[b:b + 1], expected, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(iou[b:b + 1], score, rtol=1e-5, atol=1e-5)


def test_the_point_decoder_is_the_packages_with_mask_tokens_1_to_3():
    model = tiny()
    embeddings, points, index = torch.randn(3, CHANNELS, SIDE, SIDE), torch.rand(5, 2) * SIZE, torch.tensor([2, 0, 0, 1, 2])
    logits, iou = sam.PointDecoder(model)(embeddings, points, index)
    for p, image in enumerate(index):
        sparse, dense = model.prompt_encoder(points=(points[p:p + 1, None], torch.ones(1, 1)), boxes=None, masks=None)
        expected, score = model.mask_decoder(
            image_embeddings=embeddings[image:image + 1], image_pe=model.prompt_encoder.get_dense_pe(),
            sparse_prompt_embeddings=sparse, dense_prompt_embeddings=dense, multimask_output=True)
        torch.testing.assert_close(logits[p:p + 1], expected, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(iou[p:p + 1], score, rtol=1e-5, atol=1e-5)


def test_onnx_runtime_computes_the_model(tmp_path, check):
    model = tiny()
    sam.export(model, tmp_path)
    images, prompts, index = torch.randn(3, 3, SIZE, SIZE), boxes(4), torch.tensor([0, 2, 2, 1])
    run = lambda file, inputs: onnxruntime.InferenceSession(tmp_path / file).run(None, {k: v.numpy() for k, v in inputs.items()})
    embeddings, = run("sam_encoder.onnx", {"image": images})
    torch.testing.assert_close(torch.from_numpy(embeddings), model.image_encoder(images), rtol=1e-4, atol=1e-4)
    embeddings = torch.from_numpy(embeddings)
    logits, iou = run("sam_decoder.onnx", {"image_embeddings": embeddings, "boxes": prompts, "image_index": index})
    expected = sam.BoxDecoder(model)(embeddings, prompts, index)
    torch.testing.assert_close(torch.from_numpy(logits), expected[0], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(torch.from_numpy(iou), expected[1], rtol=1e-4, atol=1e-4)

    points = torch.rand(6, 2) * SIZE
    index = torch.tensor([1, 1, 0, 2, 2, 0])
    logits, iou = run("sam_points.onnx", {"image_embeddings": embeddings, "points": points, "image_index": index})
    expected = sam.PointDecoder(model)(embeddings, points, index)
    torch.testing.assert_close(torch.from_numpy(logits), expected[0], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(torch.from_numpy(iou), expected[1], rtol=1e-4, atol=1e-4)

    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert manifest["segmenter"]["embedding"] == [CHANNELS, SIDE]
    assert manifest["segmenter"]["image"]["size"] == [SIZE, SIZE]
    assert set(manifest["files"]) == {"sam_encoder.onnx", "sam_decoder.onnx", "sam_points.onnx"}
    report = check(with_detector(tmp_path))
    assert report["problems"] == [] and report["trial"]["segment"] > 0

    for file in ("sam_encoder.onnx", "sam_decoder.onnx", "sam_points.onnx"):
        half.convert(tmp_path / file, tmp_path / "bf16.onnx", "bf16")
        with pytest.raises(Exception, match="Could not find an implementation"):
            onnxruntime.InferenceSession(tmp_path / "bf16.onnx")
        half.convert(tmp_path / file, tmp_path / "imitation.onnx", "bf16-imitated")
        assert 1e-3 < half.difference(tmp_path / file, tmp_path / "imitation.onnx") < 3e-2


def with_detector(folder):
    """A folder with a segmenter, and with the detector that partstad ships."""
    small = pathlib.Path(__file__).parents[3] / "models/small"
    for file in ("text_encoder.onnx", "grounding_detector.onnx", "vocab.txt"):
        shutil.copyfile(small / file, folder / file)
    update(folder, "detector", json.loads((small / "manifest.json").read_text())["detector"])
    return folder


@pytest.mark.filterwarnings("ignore")
def test_mobilesam_at_full_size(tmp_path, check):
    """As the package computes it, without what `build` adds."""
    from mobile_sam import sam_model_registry

    theirs = sam_model_registry["vit_t"]()
    images = torch.randn(3, 3, 1024, 1024)
    for module in theirs.modules():
        # As initialized, some branches are zero, and the image drowns in the biases.
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 2)
            nn.init.normal_(module.bias, std=0.5)
            module.momentum = 1
        elif hasattr(module, "attention_biases"):
            nn.init.normal_(module.attention_biases)
    with torch.no_grad():
        theirs.train().image_encoder(images[:1])
        expected = theirs.eval().image_encoder(images)
    sam.export_checkpoint(theirs.state_dict(), "vit_t", tmp_path)
    found, = onnxruntime.InferenceSession(tmp_path / "sam_encoder.onnx").run(None, {"image": images.numpy()})
    torch.testing.assert_close(torch.from_numpy(found), expected, rtol=1e-4, atol=1e-4)
    assert (expected[0] - expected[1]).std() > 0.1
    report = check(with_detector(tmp_path))
    assert report["problems"] == [] and report["trial"]["segment"] > 0


def test_another_encoder_with_the_same_embedding(tmp_path):
    encoder = nn.Sequential(nn.Conv2d(3, CHANNELS, 4, 4), nn.GELU())
    encoder.img_size = SIZE
    sam.export(tiny(encoder), tmp_path)
    encoder[0] = nn.Conv2d(3, CHANNELS, 8, 8)
    with pytest.raises(Refused, match=re.escape("embeddings of [32, 32, 32], the decoder takes [32, 64, 64]")):
        sam.export(tiny(encoder), tmp_path)


def test_transformers_checkpoint():
    """Its names become the official ones, and both compute the same."""
    vision = dict(hidden_size=16, num_hidden_layers=2, num_attention_heads=2, image_size=SIZE, patch_size=4, mlp_dim=32,
                  output_channels=CHANNELS, num_pos_feats=CHANNELS // 2, window_size=14, global_attn_indexes=[1])
    prompt = dict(hidden_size=CHANNELS, image_size=SIZE, patch_size=4, mask_input_channels=4)
    decoder = dict(hidden_size=CHANNELS, mlp_dim=32, num_attention_heads=4, iou_head_hidden_dim=16)
    theirs = SamModel(SamConfig(vision_config=vision, prompt_encoder_config=prompt, mask_decoder_config=decoder)).eval()
    ours = tiny()
    state = {name: torch.randn_like(tensor) * 0.1 for name, tensor in theirs.state_dict().items()}
    position = "shared_image_embedding.positional_embedding"
    state["prompt_encoder.shared_embedding.positional_embedding"] = state[position]
    theirs.load_state_dict(state)
    load(ours, sam.official(state), "SAM")

    images, prompts = torch.randn(1, 3, SIZE, SIZE), boxes(3)
    with torch.no_grad():
        expected = theirs(pixel_values=images, input_boxes=prompts[None], multimask_output=False)
        logits, iou = sam.BoxDecoder(ours)(ours.image_encoder(images), prompts, torch.zeros(3, dtype=torch.int64))
    torch.testing.assert_close(logits, expected.pred_masks[0], rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(iou, expected.iou_scores[0], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("model, channels, depth, parameters", [
    ("vit_b", 768, 12, 93_735_472), ("vit_l", 1024, 24, 312_342_832), ("vit_h", 1280, 32, 641_090_608)])
def test_the_real_sizes_by_names_and_shapes(model, channels, depth, parameters):
    with torch.device("meta"):
        real = sam.build(model)
    shapes = {name: list(tensor.shape) for name, tensor in real.state_dict().items()}
    assert shapes["image_encoder.pos_embed"] == [1, 64, 64, channels]
    assert shapes[f"image_encoder.blocks.{depth - 1}.mlp.lin2.weight"] == [channels, 4 * channels]
    assert f"image_encoder.blocks.{depth}.norm1.weight" not in shapes
    assert shapes["mask_decoder.mask_tokens.weight"] == [4, 256]
    assert sum(tensor.numel() for tensor in real.state_dict().values()) == parameters + 256


def test_a_wrong_checkpoint_is_named(monkeypatch):
    model = tiny()
    state = model.state_dict()
    first = "image_encoder.blocks.0.attn.qkv.weight"
    with pytest.raises(Refused, match=re.escape(f"not SAM tiny: {first} [48, 16] is missing (1 of ")):
        load(model, {k: v for k, v in state.items() if k != first}, "SAM tiny")
    with pytest.raises(Refused, match=re.escape(f"{first} is [47, 16], not [48, 16]")):
        load(model, state | {first: torch.zeros(47, 16)}, "SAM tiny")
    with pytest.raises(Refused, match="image_encoder.neck.9 is not known"):
        load(model, state | {"image_encoder.neck.9": torch.zeros(1)}, "SAM tiny")
    monkeypatch.setitem(sys.modules, "mobile_sam", None)
    with pytest.raises(Refused, match="vit_t needs the Python package mobile_sam"):
        sam.build("vit_t")
