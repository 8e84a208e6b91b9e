"""GLIP and its stand-in: a location of the image answers with an anchor."""

import pathlib

import numpy as np
from torch import Tensor, nn

import checkpoint
import detector
import evaluate
import exported
import glip
import loss
import manifest
from checkpoint import Refused
from frozen import Frozen, Prompt
from vocabulary import Tokenizer


class Anchored(Frozen):
    def target(self, size: tuple[int, int], boxes: Tensor, tokens: Tensor) -> loss.Target:
        """`boxes` `[G, 4]` in pixels of an image of `size`, and the tokens that name each, `[G, L]`."""
        return loss.target(*detector.anchors(*self.padded(size), self.rules["anchor_sizes"]), boxes, tokens)

    scale = staticmethod(loss.scale)
    losses = staticmethod(loss.losses)

    def detections(self, outputs: list[Tensor], prompt: Prompt, size: tuple[int, int]) -> np.ndarray:
        """Rows (x1, y1, x2, y2, part, score, ...), strongest first."""
        return evaluate.detections(self.rules, [x.cpu().numpy() for x in outputs], prompt.spans, self.padded(size))


class StandIn(Anchored):
    def counted(self, prompt: Prompt) -> Tensor:
        """Those of names: what it says of [CLS], stops and [SEP] was never trained, and would outweigh everything."""
        return prompt.tokens.any(0)


def of_glip(model: glip.Glip, folder: pathlib.Path, device: str) -> Anchored:
    model = model.eval().requires_grad_(False).to(device)
    backbone = model.backbone
    return Anchored(folder, model.text_encoder, lambda x: backbone["fpn"](backbone["body"](x)), model.rpn["head"], device)


def of_checkpoint(path: pathlib.Path, size: str, folder: pathlib.Path, device: str) -> Anchored:
    """GLIP; an offset that the checkpoint holds already is left out."""
    model = glip.Glip(glip.SIZES[size])
    checkpoint.load(model, checkpoint.read(path), size, glip.LEFT_OUT)
    return of_glip(model, folder, device)


def of_stand_in(models: pathlib.Path, folder: pathlib.Path, device: str) -> StandIn:
    """The stand-in, its weights out of the ONNX files in `models`."""
    if not manifest.read(models).get("stand_in"):
        raise Refused(f"{models}: not a stand-in's folder, such as models/small")
    tokenizer = Tokenizer((models / "vocab.txt").read_text(encoding="utf-8").splitlines())
    model = nn.ModuleDict({"text": detector.TextEncoder(len(tokenizer.ids), tokenizer.ids["."]),
                           "detector": detector.GroundingDetector(exported.trunk(models))})
    exported.restore(model, models)
    model = model.eval().requires_grad_(False).to(device)
    own = model["detector"]
    return StandIn(folder, model["text"], own.pyramid, lambda *inputs: own.head(*inputs)[:3], device)
