"""SAM: its image encoder, a decoder that answers a box as PartSTAD asks for it, and one that answers points as SAM3D does."""

import importlib
import pathlib
import re
import warnings

import torch
from torch import nn

import segmenter
from checkpoint import Refused, State, load

# MobileSAM's encoder, a TinyViT, comes in a package of its own.
PACKAGES = {"vit_h": "segment_anything", "vit_l": "segment_anything", "vit_b": "segment_anything", "vit_t": "mobile_sam"}


def build(model: str) -> nn.Module:
    """The package's Sam of this name, with random weights."""
    package = PACKAGES[model]
    try:
        with warnings.catch_warnings():
            # mobile_sam takes timm's parts from where they were.
            warnings.simplefilter("ignore")
            registry = importlib.import_module(package).sam_model_registry
    except ImportError as e:
        raise Refused(f"{model} needs the Python package {package} (tools/export/requirements.txt), which cannot be imported: {e}") from None
    sam = registry[model]()
    for module in sam.modules():
        if type(module).__name__ == "PatchMerging":
            module.register_forward_pre_hook(tokens_to_map)
    return sam


def tokens_to_map(merging: nn.Module, inputs: tuple[torch.Tensor]) -> torch.Tensor:
    """What MobileSAM's PatchMerging begins with. It counts the images by len(), which is a constant to torch.export; given a
    map, it does not count."""
    x, = inputs
    return x.unflatten(1, merging.input_resolution).permute(0, 3, 1, 2) if x.ndim == 3 else x


class Decoder(nn.Module):
    """Prompt encoder and mask decoder of a Sam, for prompts of several images in one run."""

    masks = slice(0, 0)  # of the four that it has tokens for

    def __init__(self, sam: nn.Module) -> None:
        super().__init__()
        self.prompt, self.mask = sam.prompt_encoder, sam.mask_decoder
        # Constants of the graph, rather than nodes that every run computes again.
        self.register_buffer("positions", sam.prompt_encoder.get_dense_pe().detach(), persistent=False)
        self.takes = self.positions.shape[1:]

    def decode(self, image_embeddings: torch.Tensor, prompts: torch.Tensor, image_index: torch.Tensor):
        """`[N, C, S, S]`, `[B, T, C]`, `[B]` -> `[B, masks, 4S, 4S]`, `[B, masks]`."""
        mask = self.mask
        tokens = torch.cat([mask.iou_token.weight, mask.mask_tokens.weight]).expand(prompts.shape[0], -1, -1)
        image = image_embeddings.index_select(0, image_index) + self.prompt.no_mask_embed.weight[:, :, None, None]
        channels, side = image.shape[1], image.shape[2]
        tokens, image = mask.transformer(image, self.positions.expand_as(image), torch.cat([tokens, prompts], 1))
        image = mask.output_upscaling(image.transpose(1, 2).reshape(-1, channels, side, side))
        chosen = range(mask.num_mask_tokens)[self.masks]
        weights = torch.stack([mask.output_hypernetworks_mlps[i](tokens[:, 1 + i]) for i in chosen], 1)
        logits = (weights @ image.flatten(2)).reshape(-1, len(chosen), image.shape[2], image.shape[3])
        return logits, mask.iou_prediction_head(tokens[:, 0])[:, self.masks]

    def codes(self, points: torch.Tensor) -> torch.Tensor:
        """The codes `[..., C]` of positions `[..., 2]` in pixels of the encoder's input."""
        height, width = self.prompt.input_image_size
        # Half a pixel more: a corner is the centre of its pixel.
        points = (points + 0.5) / points.new_tensor([width, height])
        angles = 2 * torch.pi * ((2 * points - 1) @ self.prompt.pe_layer.positional_encoding_gaussian_matrix)
        return torch.cat([angles.sin(), angles.cos()], -1)


class BoxDecoder(Decoder):
    """A box is the two tokens of its corners and nothing else.

    Of the four masks it takes token 0, as the authors' predict(multimask_output=False) does; the package's own ONNX decoder
    picks another (SamOnnxModel adds a padding point and ranks tokens 1 to 3).
    """

    masks = slice(0, 1)

    def forward(self, image_embeddings: torch.Tensor, boxes: torch.Tensor, image_index: torch.Tensor):
        """`[N, C, S, S]`, `[B, 4]` x1 y1 x2 y2 in pixels of the encoder's input, `[B]` -> `[B, 1, 4S, 4S]`, `[B, 1]`."""
        kinds = torch.cat([self.prompt.point_embeddings[2].weight, self.prompt.point_embeddings[3].weight])
        return self.decode(image_embeddings, self.codes(boxes.reshape(-1, 2, 2)) + kinds, image_index)


class PointDecoder(Decoder):
    """A point is its token and a padding token, as there is no box; its masks are 1 to 3, as in SAM's automatic masks."""

    masks = slice(1, 4)

    def forward(self, image_embeddings: torch.Tensor, points: torch.Tensor, image_index: torch.Tensor):
        """`[N, C, S, S]`, `[P, 2]` x y in pixels of the encoder's input, `[P]` -> `[P, 3, 4S, 4S]`, `[P, 3]`."""
        tokens = self.codes(points[:, None]) + self.prompt.point_embeddings[1].weight
        padding = self.prompt.not_a_point_embed.weight.expand(points.shape[0], 1, -1)
        return self.decode(image_embeddings, torch.cat([tokens, padding], 1), image_index)


# transformers' names of SamModel's tensors and the official ones, in the order of replacement.
NAMES = [
    (r"^vision_encoder\.", "image_encoder."),
    (r"^shared_image_embedding\.positional_embedding", "prompt_encoder.pe_layer.positional_encoding_gaussian_matrix"),
    (r"^(image_encoder\.)layers\.", r"\1blocks."),
    (r"patch_embed\.projection", "patch_embed.proj"),
    (r"(blocks\.\d+)\.layer_norm(\d)", r"\1.norm\2"),
    (r"neck\.conv1", "neck.0"),
    (r"neck\.layer_norm1", "neck.1"),
    (r"neck\.conv2", "neck.2"),
    (r"neck\.layer_norm2", "neck.3"),
    (r"prompt_encoder\.point_embed\.", "prompt_encoder.point_embeddings."),
    (r"mask_embed\.conv1", "mask_downscaling.0"),
    (r"mask_embed\.layer_norm1", "mask_downscaling.1"),
    (r"mask_embed\.conv2", "mask_downscaling.3"),
    (r"mask_embed\.layer_norm2", "mask_downscaling.4"),
    (r"mask_embed\.conv3", "mask_downscaling.6"),
    (r"(transformer\.(?:layers\.\d+\.)?)layer_norm", r"\1norm"),
    (r"mask_decoder\.upscale_conv1", "mask_decoder.output_upscaling.0"),
    (r"mask_decoder\.upscale_layer_norm", "mask_decoder.output_upscaling.1"),
    (r"mask_decoder\.upscale_conv2", "mask_decoder.output_upscaling.3"),
    # An MLP of three layers: the first, those between, the last.
    (r"(hypernetworks_mlps\.\d+|iou_prediction_head)\.layers\.0", r"\1.layers.1"),
    (r"(hypernetworks_mlps\.\d+|iou_prediction_head)\.proj_in", r"\1.layers.0"),
    (r"(hypernetworks_mlps\.\d+|iou_prediction_head)\.proj_out", r"\1.layers.2"),
]


def official(state: State) -> State:
    """A checkpoint of segment-anything, or of transformers' SamModel, under segment-anything's names."""
    if not any(name.startswith("vision_encoder.") for name in state):
        return state
    renamed = {}
    for name, tensor in state.items():
        for pattern, replacement in NAMES:
            name = re.sub(pattern, replacement, name)
        # transformers keeps the matrix of positions twice.
        if name != "prompt_encoder.shared_embedding.positional_embedding":
            renamed[name] = tensor
    return renamed


def export(sam: nn.Module, out: pathlib.Path) -> None:
    """Writes its files and their part of the manifest to the folder `out`."""
    segmenter.export(sam.image_encoder, BoxDecoder(sam), PointDecoder(sam), sam.image_encoder.img_size, out)


def export_checkpoint(state: State, model: str, out: pathlib.Path) -> None:
    """Exports the checkpoint `state` of `model`, a key of `PACKAGES`."""
    sam = build(model)
    load(sam, official(state), f"SAM {model}")
    export(sam, out)
