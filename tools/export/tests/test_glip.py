"""GLIP with random weights: its parts against independent implementations, a tiny one through ONNX Runtime, the real sizes by
names and shapes."""

import dataclasses
import json
import re

import onnx
import onnxruntime
import pytest
import torch
import torch.nn.functional as F
from torchvision.models.swin_transformer import SwinTransformer
from transformers import BertConfig as TheirBertConfig
from transformers import BertModel, GroundingDinoConfig
from transformers.models.grounding_dino.modeling_grounding_dino import GroundingDinoFusionLayer

import dyhead
import glip
import half
from bert import Bert
from checkpoint import Refused, check_vocabulary, load
from swin import FeaturePyramid, Swin
from tiny import GLIP, randomize

UNFUSED = dataclasses.replace(GLIP, fusion=None)


@pytest.fixture
def vocabulary(tmp_path):
    path = tmp_path / "words.txt"
    path.write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *(f"word{i}" for i in range(36))]) + "\n")
    return path


def test_swin_is_torchvisions():
    """Their classification network without its end; the names of the layers are all that differs."""
    ours = randomize(Swin(16, (2, 2, 2, 2), (1, 2, 2, 4), 7))
    theirs = SwinTransformer([4, 4], 16, [2, 2, 2, 2], [1, 2, 2, 4], [7, 7], num_classes=1).eval()
    names = [(r"patch_embed\.proj", "features.0.0"), (r"patch_embed\.norm", "features.0.2"), (r"mlp\.fc1", "mlp.0"), (r"mlp\.fc2", "mlp.3"),
             (r"layers\.(\d)\.blocks", lambda m: f"features.{2 * int(m[1]) + 1}"), (r"norm3", "norm"),
             (r"layers\.(\d)\.downsample", lambda m: f"features.{2 * int(m[1]) + 2}")]
    state = {}
    for name, tensor in ours.state_dict().items():
        for pattern, replacement in names:
            name = re.sub(pattern, replacement, name)
        state[name] = tensor.flatten() if name.endswith("position_index") else tensor
    left = theirs.load_state_dict(state, strict=False)
    assert left.missing_keys == ["head.weight", "head.bias"] and left.unexpected_keys == [f"norm{i}.{p}" for i in (1, 2) for p in ("weight", "bias")]
    # 288 / 32 = 9 rows in the last stage: windows of 7 are padded and shifted in all.
    image = torch.randn(2, 3, 288, 320)
    expected = theirs.norm(theirs.features(image)).permute(0, 3, 1, 2)
    torch.testing.assert_close(ours(image)[-1], expected, rtol=1e-4, atol=1e-4)
    x = theirs.features[:4](image)
    torch.testing.assert_close(ours(image)[0], F.layer_norm(x, x.shape[-1:], ours.norm1.weight, ours.norm1.bias).permute(0, 3, 1, 2),
                               rtol=1e-4, atol=1e-4)


def test_bert_is_transformers():
    c = GLIP.text
    ours = randomize(Bert(c))
    theirs = BertModel(TheirBertConfig(vocab_size=c.vocabulary, hidden_size=c.channels, num_hidden_layers=c.layers,
                                       num_attention_heads=c.heads, intermediate_size=c.inner), add_pooling_layer=False).eval()
    theirs.load_state_dict(ours.state_dict())
    ids, mask = torch.randint(0, c.vocabulary, (2, 9)), torch.ones(2, 9, dtype=torch.int64)
    mask[1, 6:] = 0
    expected = theirs(input_ids=ids, attention_mask=mask).last_hidden_state
    torch.testing.assert_close(ours(ids, mask)[mask == 1], expected[mask == 1], rtol=1e-4, atol=1e-4)
    # Padding is as good as nothing.
    torch.testing.assert_close(ours(ids, mask)[1, :6], ours(ids[1:, :6], mask[1:, :6])[0], rtol=1e-4, atol=1e-4)


def test_fusion_is_groundingdinos():
    """GroundingDINO took GLIP's fusion over."""
    ours = randomize(dyhead.Fusion(32, 32, 64, 4))
    theirs = GroundingDinoFusionLayer(GroundingDinoConfig(d_model=32, encoder_ffn_dim=128, encoder_attention_heads=8)).eval()
    names = {"b_attn.": "", "layer_norm_v": "layer_norm_vision", "layer_norm_l": "layer_norm_text", "gamma_v": "vision_param",
             "gamma_l": "text_param", "v_proj": "vision_proj", "l_proj": "text_proj"}
    state = {}
    for name, tensor in ours.state_dict().items():
        for old, new in names.items():
            name = name.replace(old, new)
        state[name] = tensor
    theirs.load_state_dict(state)
    levels, text, mask = [torch.randn(2, 32, 5, 4), torch.randn(2, 32, 3, 2)], torch.randn(2, 6, 32), torch.ones(2, 6, dtype=torch.int64)
    mask[1, 4:] = 0
    (image, _), (words, _) = theirs(dyhead.locations(levels), text, attention_mask_text=mask == 0)
    found = ours(levels, text, mask)
    assert [x.shape for x in found[0]] == [x.shape for x in levels]
    torch.testing.assert_close(dyhead.locations(found[0]), image, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(found[1], words, rtol=1e-4, atol=1e-4)


def test_the_pyramid_grows_from_p5():
    fpn = randomize(FeaturePyramid([4, 8, 16], 6))
    maps = [torch.randn(1, 4 << i, 20 >> i, 12 >> i) for i in range(3)]
    levels = fpn(maps)
    assert [tuple(x.shape[2:]) for x in levels] == [(20, 12), (10, 6), (5, 3), (3, 2), (2, 1)]
    torch.testing.assert_close(levels[2], fpn.fpn_layer4(fpn.fpn_inner4(maps[2])))
    torch.testing.assert_close(levels[3], fpn.top_blocks["p6"](levels[2]))
    upper = fpn.fpn_inner4(maps[2]).repeat_interleave(2, 2).repeat_interleave(2, 3)
    torch.testing.assert_close(levels[1], fpn.fpn_layer3(fpn.fpn_inner3(maps[1]) + upper))


def test_the_coarser_level_reads_the_finer_levels_offsets_from_their_memory():
    large = torch.arange(2 * 18 * 4 * 6).reshape(2, 18, 4, 6)
    small = dyhead.reread(large, torch.zeros(2, 5, 2, 3))
    assert small.shape == (2, 18, 2, 3)
    for image in range(2):
        memory = large[image].flatten().tolist()
        # What a kernel reads that knows the coarser level's size alone.
        for channel, row, column in [(0, 0, 0), (0, 1, 2), (7, 1, 0), (17, 1, 2)]:
            assert small[image, channel, row, column] == memory[(channel * 2 + row) * 3 + column]


@pytest.mark.parametrize("config", [GLIP, UNFUSED], ids=["fused", "unfused"])
def test_onnx_runtime_computes_the_model(config, tmp_path, vocabulary, check):
    model = randomize(glip.Glip(config))
    out = tmp_path / "tiny"
    glip.export(model, config, vocabulary, out)
    image, text = torch.randn(3, 3, 160, 160), torch.randn(3, 5, 32)
    mask = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 1, 0], [1, 1, 1, 0, 0]])
    inputs = {"image": image, "text_hidden": text, "text_mask": mask}
    session = onnxruntime.InferenceSession(out / "grounding_detector.onnx")
    found = dict(zip([o.name for o in session.get_outputs()], session.run(None, {k: v.numpy() for k, v in inputs.items()})))
    for name, expected in zip(["token_logits", "box_regression", "centerness", "features"], model(**inputs), strict=True):
        tolerance = 1e-4 * float(expected.abs().max())
        torch.testing.assert_close(torch.from_numpy(found[name]), expected, rtol=0, atol=tolerance)
        assert float(expected.std()) > 1e-3, "an output that never changes would agree whatever the file holds"

    manifest = json.loads((out / "manifest.json").read_text())
    assert set(manifest["files"]) == {"text_encoder.onnx", "grounding_detector.onnx", "vocab.txt"}
    assert manifest["name"] == "tiny" and not manifest["stand_in"]
    assert manifest["detector"]["anchor_sizes"] == [64, 128, 256, 512, 1024]
    report = check(out)
    assert report["problems"] == [] and report["trial"]["boxes"] > 0

    half.convert(out / "grounding_detector.onnx", out / "bf16.onnx", "bf16")
    half.convert(out / "grounding_detector.onnx", out / "imitation.onnx", "bf16-imitated")
    types = {value.name: value.type.tensor_type.elem_type for value in onnx.load(out / "bf16.onnx").graph.value_info}
    kept = {node.op_type for node in onnx.load(out / "bf16.onnx").graph.node if types.get(node.output[0]) == onnx.TensorProto.FLOAT}
    assert not kept & {"Conv", "DeformConv", "MatMul", "Gemm", "Softmax", "LayerNormalization"}
    with pytest.raises(Exception, match="Could not find an implementation"):
        onnxruntime.InferenceSession(out / "bf16.onnx")
    # Without a kernel in this opset.
    assert "InstanceNormalization" not in {node.op_type for node in onnx.load(out / "bf16.onnx").graph.node}
    assert 1e-3 < half.difference(out / "grounding_detector.onnx", out / "imitation.onnx") < 0.1


def test_the_text_matters_and_padding_does_not():
    model = randomize(glip.Glip(GLIP))
    image, text = torch.randn(1, 3, 160, 160), torch.randn(1, 5, 32)
    short = model(image, text, torch.ones(1, 5, dtype=torch.int64))
    padded = model(image, torch.cat([text, torch.randn(1, 4, 32)], 1), torch.tensor([[1] * 5 + [0] * 4]))
    torch.testing.assert_close(short[0], padded[0][:, :, :5], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(short[1], padded[1], rtol=1e-4, atol=1e-4)
    other = model(image, torch.randn(1, 5, 32), torch.ones(1, 5, dtype=torch.int64))
    assert (short[1] - other[1]).abs().max() > 1e-3
    torch.testing.assert_close(short[3], other[3])


def test_without_fusion_image_and_text_meet_in_the_logits_alone():
    model = randomize(glip.Glip(UNFUSED))
    image, text, mask = torch.randn(1, 3, 160, 160), torch.randn(1, 5, 32), torch.ones(1, 5, dtype=torch.int64)
    first, other = model(image, text, mask), model(image, torch.cat([text[:, :4], -text[:, 4:]], 1), mask)
    assert (first[0] - other[0])[:, :, 4].abs().max() > 1e-3
    for a, b in zip((first[0][:, :, :4], *first[1:]), (other[0][:, :, :4], *other[1:]), strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("size, parameters, shapes", [
    ("glip-t-a", 151_409_966, {
        "backbone.body.patch_embed.proj.weight": [96, 3, 4, 4], "rpn.head.dyhead_tower.0.DyConv.2.conv.weight": [256, 256, 3, 3],
        "rpn.head.dyhead_tower.5.offset.weight": [27, 256, 3, 3]}),
    ("glip-t", 231_759_662, {
        "backbone.body.patch_embed.proj.weight": [96, 3, 4, 4], "backbone.body.layers.2.blocks.5.mlp.fc1.weight": [1536, 384],
        "backbone.body.layers.0.blocks.1.attn.relative_position_bias_table": [169, 3],
        "backbone.body.layers.0.blocks.1.attn.relative_position_index": [49, 49], "rpn.head.dyhead_tower.17.offset.weight": [27, 256, 3, 3]}),
    ("glip-l", 430_401_824, {
        "backbone.body.patch_embed.proj.weight": [192, 3, 4, 4], "backbone.body.layers.2.blocks.17.mlp.fc1.weight": [3072, 768],
        "backbone.body.layers.3.blocks.1.attn.relative_position_bias_table": [529, 48],
        "backbone.body.layers.3.blocks.1.attn.relative_position_index": [144, 144], "rpn.head.dyhead_tower.23.offset.weight": [27, 256, 3, 3]}),
])
def test_the_real_sizes_by_names_and_shapes(size, parameters, shapes):
    with torch.device("meta"):
        model = glip.Glip(glip.SIZES[size])
    assert sum(p.numel() for p in model.parameters()) == parameters
    found = {name: list(tensor.shape) for name, tensor in model.state_dict().items()}
    common = {
        "backbone.body.layers.0.downsample.reduction.weight": [2 * shapes["backbone.body.patch_embed.proj.weight"][0],
                                                                 4 * shapes["backbone.body.patch_embed.proj.weight"][0]],
        "backbone.body.norm3.weight": [8 * shapes["backbone.body.patch_embed.proj.weight"][0]],
        "backbone.fpn.fpn_inner4.weight": [256, 8 * shapes["backbone.body.patch_embed.proj.weight"][0], 1, 1],
        "backbone.fpn.fpn_layer2.weight": [256, 256, 3, 3], "backbone.fpn.top_blocks.p7.bias": [256],
        "language_backbone.body.model.embeddings.word_embeddings.weight": [30522, 768],
        "language_backbone.body.model.embeddings.LayerNorm.bias": [768],
        "language_backbone.body.model.encoder.layer.11.attention.self.query.weight": [768, 768],
        "language_backbone.body.model.encoder.layer.11.output.dense.weight": [768, 3072],
        "rpn.head.bbox_pred.weight": [4, 256, 1, 1],
        "rpn.head.centerness.bias": [1], "rpn.head.dot_product_projection_text.weight": [256, 768], "rpn.head.log_scale": [1],
        "rpn.head.bias_lang": [768], "rpn.head.bias0": [1], "rpn.head.scales.4.scale": [1]}
    fused = {
        "rpn.head.dyhead_tower.0.b_attn.gamma_v": [256], "rpn.head.dyhead_tower.0.b_attn.layer_norm_l.weight": [768],
        "rpn.head.dyhead_tower.0.b_attn.attn.values_l_proj.weight": [2048, 768],
        "rpn.head.dyhead_tower.0.b_attn.attn.out_v_proj.weight": [256, 2048],
        "rpn.head.dyhead_tower.1.attention.output.LayerNorm.weight": [768], "rpn.head.dyhead_tower.1.intermediate.dense.bias": [3072],
        "rpn.head.dyhead_tower.2.DyConv.2.conv.weight": [256, 256, 3, 3], "rpn.head.dyhead_tower.2.DyConv.0.bn.bias": [256],
        "rpn.head.dyhead_tower.2.AttnConv.1.weight": [1, 256, 1, 1], "rpn.head.dyhead_tower.2.relu.fc.0.weight": [64, 256],
        "rpn.head.dyhead_tower.2.relu.fc.2.weight": [1024, 64]}
    assert ("rpn.head.dyhead_tower.0.b_attn.gamma_v" in found) == (size != "glip-t-a")
    for name, shape in (common | shapes | (fused if size != "glip-t-a" else {})).items():
        assert found.get(name) == shape, name


def test_a_wrong_checkpoint_is_named(vocabulary, tmp_path):
    model = glip.Glip(GLIP)
    state = model.state_dict()
    extra = {"rpn.tunable_linear.weight": torch.zeros(1000, 32), "rpn.anchor_generator.cell_anchors.0": torch.zeros(1, 4),
             "rpn.head.cls_logits.bias": torch.zeros(80), "language_backbone.body.model.embeddings.position_ids": torch.zeros(1, 512)}
    load(model, state | extra, "tiny", glip.LEFT_OUT)
    first = "rpn.head.dyhead_tower.0.b_attn.gamma_v"
    with pytest.raises(Refused, match=re.escape(f"not glip-t: {first} [32] is missing (1 of ")):
        load(model, {k: v for k, v in state.items() if k != first}, "glip-t", glip.LEFT_OUT)
    with pytest.raises(Refused, match=re.escape("not glip-t: backbone.body.patch_embed.proj.weight is [16, 3, 4, 4], not [96, 3, 4, 4]")):
        glip.export_checkpoint(state, "glip-t", vocabulary, tmp_path)
    with pytest.raises(Refused, match="40 lines; this model's vocabulary has 41"):
        check_vocabulary(vocabulary, 41)
