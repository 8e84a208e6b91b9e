"""SAM 3 of transformers as a vision encoder, a text encoder and a decoder that answers a name in a view.

Carion et al., SAM 3: Segment Anything with Concepts, 2025. It reads one name at a time. What it makes of a view does not depend on the
name, and the other way round: both are computed once, and the decoder takes any pairs of them.
"""

import pathlib

import torch
from torch import Tensor, nn
from transformers import CLIPTokenizer, Sam3Model
from transformers.image_utils import IMAGENET_STANDARD_MEAN, IMAGENET_STANDARD_STD
from transformers.models.sam3.modeling_sam3 import inverse_sigmoid

import graph
import manifest
from checkpoint import Refused, read_folder

START, END = "<|startoftext|>", "<|endoftext|>"
# Masks of a view that share more than this (IoU) show one thing, whatever their names; transformers' own post-processing keeps them all.
NMS, MAX_DET = 0.7, 100
TOLERANCE = 1e-3


class VisionEncoder(nn.Module):
    def __init__(self, sam: Sam3Model) -> None:
        super().__init__()
        self.encoder = sam.vision_encoder

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """`[N, 3, S, S]` -> the pyramid that the decoder reads, fine to coarse, `[N, C, s, s]` each."""
        # The coarsest level is the tracker's.
        return self.encoder(image).fpn_hidden_states[:-1]


class TextEncoder(nn.Module):
    def __init__(self, sam: Sam3Model) -> None:
        super().__init__()
        self.encoder, self.projection = sam.text_encoder, sam.text_projection

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """`[T, L]` token numbers and mask -> `[T, L, D]`. No token sees what follows it, so padding changes nothing."""
        return self.projection(self.encoder(input_ids, attention_mask).last_hidden_state)


class ConceptDecoder(nn.Module):
    def __init__(self, sam: Sam3Model) -> None:
        super().__init__()
        self.sam = sam
        side = sides(sam)[-1]
        shape, place = torch.Size((1, sam.config.vision_config.fpn_hidden_size, side, side)), dict(device=sam.device, dtype=torch.float32)
        # Constants of the graph, rather than nodes that every run computes again.
        self.register_buffer("positions", sam.vision_encoder.neck.position_encoding(shape, **place).clone(), persistent=False)
        self.register_buffer("places", torch.arange(side, **place) / side, persistent=False)
        # Its own asks tensors for height and width, which an exported graph could not know.
        sam.detr_decoder._get_coords = lambda *_, **__: (self.places, self.places)

    def forward(self, fine: Tensor, middle: Tensor, coarse: Tensor, image_index: Tensor, text: Tensor, mask: Tensor) -> tuple[Tensor, ...]:
        """The pyramid of N views, `[N, C, s, s]` each; then of B pairs the view `[B]`, and the name's text `[B, L, D]` and mask
        `[B, L]` -> logits `[B, Q]`, presence `[B]`, boxes `[B, Q, 4]`, mask logits `[B, Q, s, s]`, features `[B, Q, D]`.

        A box is its centre, width and height in parts of the view. A feature is the decoder's last state.
        """
        sam, valid = self.sam, mask > 0
        fine, middle, coarse = (level.index_select(0, image_index) for level in (fine, middle, coarse))
        encoded = sam.detr_encoder([coarse], text, [self.positions.expand_as(coarse)], valid)
        decoded = sam.detr_decoder(
            vision_features=encoded.last_hidden_state, text_features=text, vision_pos_encoding=encoded.pos_embeds_flattened,
            text_mask=valid, spatial_shapes=encoded.spatial_shapes)
        last = decoded.intermediate_hidden_states[-1]
        boxes = (sam.detr_decoder.box_head(last) + inverse_sigmoid(decoded.reference_boxes[-1])).sigmoid()
        logits = sam.dot_product_scoring(last[None], text, valid)[0, :, :, 0]
        masks = sam.mask_decoder(last, [fine, middle, coarse], encoded.last_hidden_state, text, valid).pred_masks
        return logits, decoded.presence_logits[-1, :, 0], boxes, masks, last


def sides(sam: Sam3Model) -> list[int]:
    """Height and width of the levels that the decoder reads, fine to coarse."""
    vision = sam.config.vision_config
    side = vision.backbone_config.image_size // vision.backbone_config.patch_size
    return [int(side * factor) for factor in vision.scale_factors[:-1]]


def export(sam: Sam3Model, tokenizer: CLIPTokenizer, out: pathlib.Path) -> None:
    """Writes vision_encoder.onnx, text_encoder.onnx, concept_decoder.onnx, tokenizer.json and their part of the manifest to `out`."""
    config = sam.config
    text, size, channels = config.text_config, config.vision_config.image_size, config.vision_config.fpn_hidden_size
    queries, width = config.detr_decoder_config.num_queries, config.detr_decoder_config.hidden_size
    names = [f"features_{level}" for level in range(len(sides(sam)))]
    levels = {name: (None, channels, side, side) for name, side in zip(names, sides(sam))}
    out.mkdir(parents=True, exist_ok=True)
    generator = torch.Generator().manual_seed(1)
    sam.eval()

    def image(n):
        return {"image": torch.randn(n, 3, size, size, generator=generator)}

    def captions(t, length):
        """Made-up texts: the first of that length, each other a token shorter than the one before."""
        ids = torch.randint(0, text.vocab_size, (t, length), generator=generator)
        lengths = (length - torch.arange(t)).clamp(min=1)
        return {"input_ids": ids, "attention_mask": (torch.arange(length) < lengths[:, None]).long()}

    encoder = TextEncoder(sam).eval()

    def pairs(n, b, length):
        pyramid = {name: torch.randn(n, *shape[1:], generator=generator) for name, shape in levels.items()}
        asked = captions(b, length)
        with torch.no_grad():
            return pyramid | {"image_index": torch.randint(0, n, (b,), generator=generator), "text_hidden": encoder(**asked),
                              "text_mask": asked["attention_mask"]}

    graph.export(VisionEncoder(sam), out / "vision_encoder.onnx", image(2), levels, {"image": {0: "N"}}, [image(1)], TOLERANCE)
    graph.export(encoder, out / "text_encoder.onnx", captions(2, 5), {"text_hidden": (None, None, width)},
                 {"input_ids": {0: "T", 1: "L"}, "attention_mask": {0: "T", 1: "L"}},
                 [captions(1, 3), captions(3, text.max_position_embeddings)], TOLERANCE, {"L": text.max_position_embeddings})
    finest = sides(sam)[0]
    axes = {"image_index": {0: "B"}, "text_hidden": {0: "B", 1: "L"}, "text_mask": {0: "B", 1: "L"}}
    graph.export(ConceptDecoder(sam), out / "concept_decoder.onnx", pairs(2, 3, 6),
                 {"logits": (None, queries), "presence": (None,), "boxes": (None, queries, 4),
                  "masks": (None, queries, finest, finest), "features": (None, queries, width)},
                 {name: {0: "N"} for name in names} | axes, [pairs(1, 1, 3)], TOLERANCE)
    (out / "tokenizer.json").write_text(tokenizer.backend_tokenizer.to_str(), encoding="utf-8")
    manifest.update(out, "concepts", {
        "vision_encoder": "vision_encoder.onnx", "text_encoder": "text_encoder.onnx", "decoder": "concept_decoder.onnx",
        "image": {"order": "rgb", "scale": 1, "mean": IMAGENET_STANDARD_MEAN, "std": IMAGENET_STANDARD_STD, "size": [size, size],
                  "resize": "squash"},
        "text": {"tokenizer": "json", "vocab": "tokenizer.json", "max_tokens": text.max_position_embeddings},
        "features": {name: shape[1:] for name, shape in levels.items()}, "prompt_dim": width, "queries": queries, "masks": finest,
        "score": "sigmoid_x_presence", "boxes": "center", "nms": NMS, "max_det": MAX_DET, "feature_dim": width})


def export_folder(folder: pathlib.Path, out: pathlib.Path) -> None:
    """Exports what a folder as the hub keeps it holds: config.json, model.safetensors and the files of its tokenizer."""
    sam = read_folder(Sam3Model, folder, "a SAM 3").float()
    tokens = sam.config.text_config.vocab_size
    try:
        tokenizer = CLIPTokenizer.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError) as e:
        raise Refused(f"{folder}: no tokenizer of CLIP's: {str(e).splitlines()[0]}") from None
    numbers = tokenizer.get_vocab()
    if len(numbers) != tokens or not {START, END} <= numbers.keys():
        raise Refused(f"{folder}: its tokenizer has {len(numbers)} tokens; its text encoder's has {tokens}, among them {START} and "
                      f"{END}: take the tokenizer of the same model")
    export(sam, tokenizer, out)
