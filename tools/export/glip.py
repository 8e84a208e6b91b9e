"""GLIP: the text encoder and the grounding detector of an official checkpoint."""

import pathlib
import shutil
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

import graph
import manifest
import offset
from bert import Bert, BertConfig
from checkpoint import Refused, State, check_vocabulary, load
from dyhead import Head, locations
from swin import FeaturePyramid, Swin

MEAN_BGR, STD_BGR = [103.53, 116.28, 123.675], [57.375, 57.12, 58.395]
STRIDES = [8, 16, 32, 64, 128]
# PartSLIP's learned offset of the text, the anchors, which the manifest has, and what no output depends on.
LEFT_OUT = (offset.KEY, "rpn.anchor_generator.", "rpn.head.cls_logits.",
            "language_backbone.body.model.embeddings.position_ids")
TOLERANCE = 1e-3


@dataclass(frozen=True)
class Config:
    swin: tuple[int, tuple[int, ...], tuple[int, ...], int]
    """Channels of the first stage, depths, heads, window."""
    layers: int
    text: BertConfig = field(default_factory=BertConfig)
    channels: int = 256
    fusion: tuple[int, int] | None = (2048, 8)
    """Inner channels and heads of the fusion; none: image and text meet in the logits alone."""
    groups: int = 16
    size: int = 800
    """Height and width of the image: the masks of Swin's windows are part of the graph."""


TINY_SWIN = (96, (2, 2, 6, 2), (3, 6, 12, 24), 7)
SIZES = {
    "glip-t-a": Config(TINY_SWIN, layers=6, fusion=None),
    "glip-t": Config(TINY_SWIN, layers=6),
    "glip-l": Config((192, (2, 2, 18, 2), (6, 12, 24, 48), 12), layers=8),
}


class Glip(nn.Module):
    """All of GLIP under the names of its checkpoints."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        body = Swin(*config.swin)
        fpn = FeaturePyramid([config.swin[0] << i for i in (1, 2, 3)], config.channels)
        self.backbone = nn.ModuleDict({"body": body, "fpn": fpn})
        self.language_backbone = nn.ModuleDict({"body": nn.ModuleDict({"model": Bert(config.text)})})
        head = Head(config.text, config.layers, config.channels, config.fusion, config.groups)
        self.rpn = nn.ModuleDict({"head": head})

    @property
    def text_encoder(self) -> Bert:
        return self.language_backbone["body"]["model"]

    def forward(self, image: Tensor, text_hidden: Tensor, text_mask: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """`[N, 3, H, W]`, `[N, L, D]`, `[N, L]` -> the detector's outputs; the features are the pyramid's, before fusion."""
        levels = self.backbone["fpn"](self.backbone["body"](image))
        return *self.rpn["head"](levels, text_hidden, text_mask), locations(levels)


def export(glip: Glip, config: Config, vocabulary: pathlib.Path, out: pathlib.Path) -> None:
    """Writes text_encoder.onnx, grounding_detector.onnx, vocab.txt and their part of the manifest to the folder `out`."""
    check_vocabulary(vocabulary, config.text.vocabulary)
    out.mkdir(parents=True, exist_ok=True)
    generator = torch.Generator().manual_seed(1)
    glip.eval()

    def mask(n, tokens):
        padding = torch.ones(n, tokens, dtype=torch.int64)
        padding[-1, tokens - 2:] = 0
        return padding

    def caption(t, tokens):
        ids = torch.randint(0, config.text.vocabulary, (t, tokens), generator=generator)
        return {"input_ids": ids, "attention_mask": mask(t, tokens)}

    graph.export(glip.text_encoder, out / "text_encoder.onnx", caption(2, 9), {"text_hidden": (None, None, config.text.channels)},
                 {"input_ids": {0: "T", 1: "L"}, "attention_mask": {0: "T", 1: "L"}}, [caption(1, 14), caption(1, 4)], TOLERANCE)

    def scene(n, tokens):
        return {"image": torch.randn(n, 3, config.size, config.size, generator=generator),
                "text_hidden": torch.randn(n, tokens, config.text.channels, generator=generator), "text_mask": mask(n, tokens)}

    a = sum((-(-config.size // stride)) ** 2 for stride in STRIDES)
    graph.export(glip, out / "grounding_detector.onnx", scene(2, 8),
                 {"token_logits": (None, a, None), "box_regression": (None, a, 4), "centerness": (None, a),
                  "features": (None, a, config.channels)},
                 {"image": {0: "N"}, "text_hidden": {0: "N", 1: "L"}, "text_mask": {0: "N", 1: "L"}}, [scene(1, 12)], TOLERANCE)
    if vocabulary.resolve() != (out / "vocab.txt").resolve():
        shutil.copyfile(vocabulary, out / "vocab.txt")
    manifest.update(out, "detector", {
        "kind": "atss", "text_encoder": "text_encoder.onnx", "model": "grounding_detector.onnx",
        "image": {"order": "bgr", "scale": 255, "mean": MEAN_BGR, "std": STD_BGR, "size": [config.size, config.size],
                  "resize": "shorter", "divisor": 32},
        "text": {"tokenizer": "wordpiece", "vocab": "vocab.txt", "separator": offset.SEPARATOR, "max_tokens": offset.MAX_TOKENS},
        "strides": STRIDES, "anchor_sizes": [8 * stride for stride in STRIDES], "box_weights": [10.0, 10.0, 5.0, 5.0],
        "score": "sqrt_mean_sigmoid_x_centerness", "pre_nms": 0.05, "top_n": 1000, "nms": 0.6, "max_det": 100,
        "feature_dim": config.channels})


def export_checkpoint(state: State, size: str, vocabulary: pathlib.Path, out: pathlib.Path,
                      parts: list[str] | None = None) -> None:
    """Exports the checkpoint `state` of `size`, a key of `SIZES`; `parts` are those of its learned offset, if it has one."""
    learned = offset.learned(state)
    if learned is not None and not parts:
        raise Refused("this is a few-shot checkpoint: name the parts of the caption that its offset was learned with, --parts")
    if parts and learned is None:
        raise Refused(f"--parts are those of a learned offset, and this checkpoint has none ({offset.KEY})")
    glip = Glip(SIZES[size])
    load(glip, state, size, LEFT_OUT)
    export(glip, SIZES[size], vocabulary, out)
    if learned is not None:
        offset.write(learned, parts, "all", out)
