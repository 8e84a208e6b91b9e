"""The three files of a segmenter that answers boxes and points, with their part of the manifest."""

import pathlib

import torch
from torch import nn

import graph
import manifest
from checkpoint import Refused

MEAN_RGB, STD_RGB = [123.675, 116.28, 103.53], [58.395, 57.12, 57.375]
TOLERANCE = 1e-4


def export(encoder: nn.Module, boxes: nn.Module, points: nn.Module, size: int, out: pathlib.Path) -> None:
    """Writes sam_encoder.onnx, sam_decoder.onnx, sam_points.onnx and their part of the manifest to the folder `out`.

    `encoder`: `[N, 3, size, size]` -> `[N, C, S, S]`; `boxes` and `points`: that, prompts in pixels of the encoder's input and
    the image of each -> `[B, 1, 4S, 4S]` and `[B, 1]`, `[P, 3, 4S, 4S]` and `[P, 3]`; each has `takes`, the `(C, S, S)` that it reads.
    """
    out.mkdir(parents=True, exist_ok=True)
    generator = torch.Generator().manual_seed(1)

    def image(n):
        return {"image": torch.randn(n, 3, size, size, generator=generator)}

    with torch.no_grad():
        embedding = encoder.eval()(image(1)["image"])
    if embedding.shape[1:] != boxes.takes:
        raise Refused(f"the encoder gives embeddings of {list(embedding.shape[1:])}, the decoder takes {list(boxes.takes)}")
    channels, side = boxes.takes[:2]

    def asked(n, name, prompts):
        return {"image_embeddings": torch.randn(n, channels, side, side, generator=generator), name: prompts * size,
                "image_index": torch.randint(0, n, prompts.shape[:1], generator=generator)}

    def some_boxes(n, b):
        corner = torch.rand(b, 2, generator=generator) * 0.7
        return asked(n, "boxes", torch.cat([corner, corner + 0.3 * torch.rand(b, 2, generator=generator)], 1))

    def some_points(n, p):
        return asked(n, "points", torch.rand(p, 2, generator=generator))

    graph.export(encoder, out / "sam_encoder.onnx", image(2), {"image_embeddings": (None, channels, side, side)},
                 {"image": {0: "N"}}, [image(1)], TOLERANCE)
    for file, decoder, some, prompts, symbol, masks in [("sam_decoder.onnx", boxes, some_boxes, "boxes", "B", 1),
                                                        ("sam_points.onnx", points, some_points, "points", "P", 3)]:
        graph.export(decoder, out / file, some(2, 3), {"low_res_logits": (None, masks, 4 * side, 4 * side), "iou": (None, masks)},
                     {"image_embeddings": {0: "N"}, prompts: {0: symbol}, "image_index": {0: symbol}}, [some(1, 1), some(3, 7)],
                     TOLERANCE)
    manifest.update(out, "segmenter", {
        "encoder": "sam_encoder.onnx", "decoder": "sam_decoder.onnx", "points": "sam_points.onnx",
        "image": {"order": "rgb", "scale": 255, "mean": MEAN_RGB, "std": STD_RGB, "size": [size, size], "resize": "longer"},
        "embedding": [channels, side]})
