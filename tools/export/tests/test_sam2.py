"""SAM 2 and EdgeTAM with random weights: tiny ones through ONNX Runtime against transformers, the real sizes by shapes."""

import json
import re

import onnxruntime
import pytest
import torch
from transformers import (
    EdgeTamModel, EdgeTamVideoConfig, EdgeTamVideoModel, Sam2Config, Sam2Model, Sam2VideoConfig, Sam2VideoModel, SamConfig, SamModel,
    TimmWrapperConfig)

import sam2
from checkpoint import Refused
from test_sam import with_detector

SIDE, CHANNELS, IMAGES = 64, 32, 3


def parts(cell, stable, backbone, **vision):
    """Of a configuration, for cells of so many pixels and masks that are stable from that score on."""
    maps = dict(backbone_config=backbone, fpn_hidden_size=CHANNELS, backbone_feature_sizes=[[4 * SIDE] * 2, [2 * SIDE] * 2, [SIDE] * 2])
    return dict(
        vision_config=vision | maps,
        prompt_encoder_config=dict(hidden_size=CHANNELS, image_size=cell * SIDE, patch_size=cell, mask_input_channels=4),
        mask_decoder_config=dict(hidden_size=CHANNELS, mlp_dim=32, num_attention_heads=4, iou_head_hidden_dim=16,
                                 dynamic_multimask_stability_delta=0.5, dynamic_multimask_stability_thresh=stable))


def hiera(stable=0.737):
    """Windows of 14 and 7, which divide neither 64 nor 32 rows."""
    backbone = dict(model_type="sam2_hiera_det_model", hidden_size=8, image_size=[4 * SIDE] * 2, patch_kernel_size=[3, 3],
                    patch_stride=[1, 1], patch_padding=[1, 1], blocks_per_stage=[1, 1, 3, 1], embed_dim_per_stage=[8, 16, 32, 64],
                    window_size_per_stage=[8, 4, 14, 7], global_attention_blocks=[3])
    return Sam2VideoModel(Sam2VideoConfig(**parts(
        4, stable, backbone, model_type="sam2_vision_model", backbone_channel_list=[64, 32, 16, 8])))


def repvit(stable=0.457):
    """Its cells are of 16 pixels, whatever its channels."""
    backbone = TimmWrapperConfig(architecture="repvit_m1", do_pooling=False, model_args=dict(
        in_chans=3, features_only=True, out_indices=[0, 1, 2, 3], embed_dim=[8, 16, 24, 32], depth=[1, 1, 1, 1]))
    return EdgeTamVideoModel(EdgeTamVideoConfig(**parts(
        16, stable, backbone, model_type="edgetam_vision_model", backbone_channel_list=[32, 24, 16, 8])))


@pytest.mark.parametrize("videos, images", [(hiera, Sam2Model), (repvit, EdgeTamModel)])
def test_the_files_answer_as_transformers_does(videos, images, tmp_path, check):
    """The folder is as the hub keeps it: of the model of videos."""
    model = videos()
    for name, tensor in model.named_parameters():
        # As initialized, nothing depends on the prompts.
        if tensor.ndim > 1:
            torch.nn.init.normal_(tensor, std=0.3 if name.startswith("mask_decoder") else 0.2)
    model.save_pretrained(tmp_path / "theirs")
    theirs = images.from_pretrained(tmp_path / "theirs").eval().requires_grad_(False)
    size, index = theirs.prompt_encoder.input_image_size, torch.tensor([2, 0, 0, 1, 2, 1, 0, 1])
    pixels = torch.randn(IMAGES, 3, size, size)
    corner = torch.rand(len(index), 2) * 0.6 * size
    boxes = torch.cat([corner, corner + (0.1 + 0.3 * torch.rand(len(index), 2)) * size], 1)
    points = torch.rand(len(index), 1, 2) * size

    embedded = [theirs.get_image_embeddings(pixels[i:i + 1]) for i in range(IMAGES)]

    def expected(several, **prompts):
        """Prompt by prompt, each with its image."""
        answers = [theirs(image_embeddings=embedded[image], multimask_output=several, **{kind: x[None, b:b + 1] for kind, x in prompts.items()})
                   for b, image in enumerate(index)]
        return torch.cat([a.pred_masks[0] for a in answers]), torch.cat([a.iou_scores[0] for a in answers])

    of_boxes, of_points = expected(False, input_boxes=boxes), expected(True, input_points=points)
    # What is the same for all prompts would agree whatever the files hold.
    assert min(x.std(0).min() for x in (of_boxes[1], of_points[1])) > 2e-3
    theirs.mask_decoder.dynamic_multimask_via_stability = False
    stable = (of_boxes[0] == expected(False, input_boxes=boxes)[0]).flatten(1).all(1)
    assert 0 < stable.sum() < len(index), "some boxes must get the mask of token 0 and some another"

    ours = tmp_path / "ours"
    sam2.export_folder(tmp_path / "theirs", ours)

    def run(file, **inputs):
        found = onnxruntime.InferenceSession(ours / file).run(None, {name: tensor.numpy() for name, tensor in inputs.items()})
        return tuple(map(torch.from_numpy, found))

    embeddings, = run("sam_encoder.onnx", image=pixels)
    found = run("sam_decoder.onnx", image_embeddings=embeddings, boxes=boxes, image_index=index)
    torch.testing.assert_close(found, of_boxes, rtol=1e-3, atol=5e-4)
    found = run("sam_points.onnx", image_embeddings=embeddings, points=points[:, 0], image_index=index)
    torch.testing.assert_close(found, of_points, rtol=1e-3, atol=5e-4)

    rules = json.loads((ours / "manifest.json").read_text())["segmenter"]
    assert (rules["embedding"], rules["image"]["size"]) == ([4 * CHANNELS, SIDE], [size, size])
    report = check(with_detector(ours))
    assert report["problems"] == [] and report["trial"]["segment"] > 0


@pytest.mark.parametrize("size, parameters, vision", [
    ("tiny", 31_440_721, dict()),
    ("small", 38_538_577, dict(blocks_per_stage=[1, 2, 11, 2], global_attention_blocks=[7, 10, 13])),
    ("base-plus", 73_328_401, dict(
        hidden_size=112, embed_dim_per_stage=[112, 224, 448, 896], num_attention_heads_per_stage=[2, 4, 8, 16],
        blocks_per_stage=[2, 3, 16, 3], global_attention_blocks=[12, 16, 20], window_positional_embedding_background_size=[14, 14])),
    ("large", 216_924_865, dict(
        hidden_size=144, embed_dim_per_stage=[144, 288, 576, 1152], num_attention_heads_per_stage=[2, 4, 8, 16],
        blocks_per_stage=[2, 6, 36, 4], global_attention_blocks=[23, 33, 43], window_size_per_stage=[8, 4, 16, 8]))])
def test_the_real_sizes_by_shapes(size, parameters, vision):
    backbone = dict(model_type="sam2_hiera_det_model") | vision
    channels = vision.get("embed_dim_per_stage", [96, 192, 384, 768])[::-1]
    with torch.device("meta"):
        model = Sam2Model(Sam2Config(vision_config=dict(backbone_config=backbone, backbone_channel_list=channels))).eval()
        assert sum(tensor.numel() for tensor in model.parameters()) == parameters
        embeddings = sam2.Encoder(model)(torch.empty(2, 3, 1024, 1024))
        decoder = sam2.BoxDecoder(model)
        assert list(embeddings.shape) == [2, *decoder.takes] == [2, 1024, 64, 64]
        logits, iou = decoder(embeddings, torch.empty(3, 4), torch.zeros(3, dtype=torch.int64))
        assert (list(logits.shape), list(iou.shape)) == ([3, 1, 256, 256], [3, 1])


def test_a_folder_that_holds_something_else(tmp_path):
    with pytest.raises(Refused, match=re.escape(f"{tmp_path}: not a SAM 2 or EdgeTAM of transformers")):
        sam2.export_folder(tmp_path, tmp_path / "out")
    small = dict(hidden_size=16, num_attention_heads=2)
    vision = small | dict(num_hidden_layers=1, image_size=64, output_channels=16, num_pos_feats=8, mlp_dim=16, global_attn_indexes=[])
    SamModel(SamConfig(vision_config=vision, prompt_encoder_config=dict(hidden_size=16, image_size=64),
                       mask_decoder_config=small | dict(mlp_dim=16))).save_pretrained(tmp_path)
    with pytest.raises(Refused, match="but a SamModel"):
        sam2.export_folder(tmp_path, tmp_path / "out")
