"""GroundingDINO of transformers as a text encoder and a detector of queries.

Liu et al., Grounding DINO, ECCV 2024. Its text is attended to phrase by phrase. Which tokens end a phrase only the token numbers
tell, which the detector does not see: the text encoder appends that as one more channel of its output.
"""

import os
import pathlib
import shutil

import torch
from torch import Tensor, nn
from transformers import GroundingDinoForObjectDetection

import graph
import manifest
import offset
from checkpoint import check_vocabulary, read_folder

# [CLS], [SEP], "." and "?" of bert-base-uncased.
ENDS = (101, 102, 1012, 1029)
MEAN_RGB, STD_RGB = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
SIZE = 800
TOLERANCE = 1e-3


def phrases(ends: Tensor) -> tuple[Tensor, Tensor]:
    """`[N, L]`, whether a token ends a phrase -> who sees whom `[N, L, L]`, and each token's place in its phrase `[N, L]`.

    The first and the last phrase, of [CLS] and [SEP], are none: their tokens see themselves alone, at place 0.
    """
    length = ends.shape[1]
    at = torch.arange(length)
    following = torch.where(ends[:, None] & (at >= at[:, None]), at, length).amin(2)
    before = torch.where(ends[:, None] & (at < at[:, None]), at, -1).amax(2)
    inside = (following > 0) & (following < length - 1)
    together = (following[:, :, None] == following[:, None]) & inside[:, None]
    return together | (at == at[:, None]), torch.where(inside, at - before - 1, 0)


class TextEncoder(nn.Module):
    def __init__(self, dino: GroundingDinoForObjectDetection) -> None:
        super().__init__()
        self.bert, self.projection = dino.model.text_backbone, dino.model.text_projection

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """`[T, L]` token numbers and mask -> `[T, L, D + 1]`; the last channel is 1 where a phrase ends."""
        ends = (input_ids[:, :, None] == torch.tensor(ENDS)).any(2) & (attention_mask > 0)
        sees, places = phrases(ends)
        hidden = self.bert(input_ids, sees[:, None], torch.zeros_like(input_ids), places).last_hidden_state
        return torch.cat([self.projection(hidden), ends[:, :, None].float()], 2)


class Detector(nn.Module):
    def __init__(self, dino: GroundingDinoForObjectDetection) -> None:
        super().__init__()
        self.model, self.bbox_embed = dino.model, dino.bbox_embed

    def forward(self, image: Tensor, text_hidden: Tensor, text_mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """`[N, 3, H, W]`, `[N, L, D + 1]`, `[N, L]` -> token logits `[N, Q, L]`, boxes `[N, Q, 4]`, features `[N, Q, D]`.

        A box is its centre, width and height in parts of the image.
        """
        return self.decode(self.levels(image), text_hidden, text_mask)

    def decode(self, maps: tuple[list[Tensor], list[Tensor]], text_hidden: Tensor, text_mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Where image and text meet: the outputs of `forward` for what `levels` gave."""
        model, (levels, positions) = self.model, maps
        token = text_mask > 0
        sees, places = phrases((text_hidden[:, :, -1] > 0.5) & token)
        sizes = [tuple(x.shape[2:]) for x in levels]
        flat = torch.cat([x.flatten(2).transpose(1, 2) for x in levels], 1)
        # Images are never padded: everything is valid.
        geometry = dict(
            spatial_shapes=torch.tensor(sizes), spatial_shapes_list=sizes, valid_ratios=torch.ones(flat.shape[0], len(sizes), 2),
            level_start_index=torch.tensor([sum(h * w for h, w in sizes[:i]) for i in range(len(sizes))]), return_dict=True)
        valid = torch.ones(flat.shape[:2], dtype=torch.bool)
        encoded = model.encoder(
            vision_features=flat, vision_attention_mask=~valid, text_features=text_hidden[:, :, :-1], text_attention_mask=~token,
            vision_position_embedding=torch.cat([(p.flatten(2) + e[:, None]).transpose(1, 2) for p, e in zip(positions, model.level_embed)], 1),
            text_position_embedding=None, text_self_attention_masks=~sees, text_position_ids=places, **geometry)
        image, text = encoded.last_hidden_state_vision, encoded.last_hidden_state_text

        proposals, anchors = model.generate_encoder_output_proposals(image, ~valid, sizes)
        best = logits(proposals, text, token).amax(2).topk(model.config.num_queries, 1).indices[:, :, None]
        anchors = (model.encoder_output_bbox_embed(proposals) + anchors).gather(1, best.expand(-1, -1, 4))
        queries = (model.query_position_embeddings.weight.expand(image.shape[0], -1, -1) if model.config.embedding_init_target
                   else proposals.gather(1, best.expand(-1, -1, proposals.shape[2])))
        decoded = model.decoder(
            inputs_embeds=queries, reference_points=anchors.sigmoid(), vision_encoder_hidden_states=image,
            vision_encoder_attention_mask=valid, text_encoder_hidden_states=text, text_encoder_attention_mask=~token, **geometry)
        last = decoded.intermediate_hidden_states[:, -1]
        # The last layer's boxes start from those that the layer before left.
        start = decoded.intermediate_reference_points[:, -2] if len(self.bbox_embed) > 1 else anchors.sigmoid()
        boxes = (self.bbox_embed[-1](last) + torch.logit(start, eps=1e-5)).sigmoid()
        return logits(last, text, token), boxes, decoded.last_hidden_state

    def levels(self, image: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """The backbone's maps and coarser ones, each with its positions."""
        model = self.model
        features, positions = model.backbone(image, torch.ones(image.shape[0], *image.shape[2:], dtype=torch.int64))
        maps = [project(x) for project, (x, _) in zip(model.input_proj_vision, features)]
        for project in model.input_proj_vision[len(maps):]:
            x = project(features[-1][0] if len(maps) == len(features) else maps[-1])
            positions.append(model.backbone.position_embedding(x, torch.ones(x.shape[0], *x.shape[2:], dtype=torch.bool)))
            maps.append(x)
        return maps, positions


def logits(queries: Tensor, text: Tensor, token: Tensor) -> Tensor:
    """How well each query fits each token; padding fits none."""
    return (queries @ text.transpose(1, 2)).masked_fill(~token[:, None], -1e4)


def export(dino: GroundingDinoForObjectDetection, vocabulary: pathlib.Path, out: pathlib.Path, size: int) -> None:
    """Writes text_encoder.onnx, grounding_detector.onnx, vocab.txt and their part of the manifest to the folder `out`."""
    config = dino.config
    check_vocabulary(vocabulary, config.text_config.vocab_size)
    out.mkdir(parents=True, exist_ok=True)
    generator = torch.Generator().manual_seed(1)
    dino.eval()

    def caption(t, length):
        ids = torch.randint(1030, config.text_config.vocab_size, (t, length), generator=generator)
        ids[:, 2::2] = 1012
        ids[:, 0], ids[:, -1] = 101, 102
        return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}

    # Its checks of shapes are no ONNX operators.
    os.environ["TRANSFORMERS_DISABLE_TORCH_CHECK"] = "1"
    text = TextEncoder(dino).eval()

    def scene(n, length):
        return {"image": torch.randn(n, 3, size, size, generator=generator), "text_hidden": text(**caption(n, length)),
                "text_mask": torch.ones(n, length, dtype=torch.int64)}

    graph.export(text, out / "text_encoder.onnx", caption(2, 9), {"text_hidden": (None, None, config.d_model + 1)},
                 {"input_ids": {0: "T", 1: "L"}, "attention_mask": {0: "T", 1: "L"}}, [caption(1, 13), caption(1, 5)], TOLERANCE)
    q = config.num_queries
    graph.export(Detector(dino), out / "grounding_detector.onnx", scene(2, 7),
                 {"token_logits": (None, q, None), "box_regression": (None, q, 4), "features": (None, q, config.d_model)},
                 {"image": {0: "N"}, "text_hidden": {0: "N", 1: "L"}, "text_mask": {0: "N", 1: "L"}}, [scene(1, 11)], TOLERANCE)
    shutil.copyfile(vocabulary, out / "vocab.txt")
    manifest.update(out, "detector", {
        "kind": "detr", "text_encoder": "text_encoder.onnx", "model": "grounding_detector.onnx",
        "image": {"order": "rgb", "scale": 1, "mean": MEAN_RGB, "std": STD_RGB, "size": [size, size], "resize": "shorter", "divisor": 1},
        "text": {"tokenizer": "wordpiece", "vocab": "vocab.txt", "separator": offset.SEPARATOR, "max_tokens": config.max_text_len},
        "queries": q, "score": "max_sigmoid", "nms": 1.0, "max_det": q, "feature_dim": config.d_model})


def export_folder(folder: pathlib.Path, out: pathlib.Path, size: int = SIZE) -> None:
    """Exports what a folder as the hub keeps it holds: config.json, model.safetensors, vocab.txt."""
    dino = read_folder(GroundingDinoForObjectDetection, folder, "a GroundingDINO")
    export(dino, folder / "vocab.txt", out, size)
