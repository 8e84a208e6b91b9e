"""SAM 2, SAM 2.1 and EdgeTAM of transformers, as what they are for a single image: a segmenter.

Ravi et al., SAM 2: Segment Anything in Images and Videos, 2024; Zhou et al., EdgeTAM: On-Device Track Anything Model, 2025.
"""

import pathlib

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import AutoModelForMaskGeneration, EdgeTamModel, Sam2Model

import segmenter
from checkpoint import Refused, read_folder


class Encoder(nn.Module):
    def __init__(self, sam: Sam2Model | EdgeTamModel) -> None:
        super().__init__()
        self.sam = sam

    def forward(self, image: Tensor) -> Tensor:
        """`[N, 3, H, H]` -> `[N, 4C, S, S]`: three maps, the finer ones with the pixels of a cell of the coarsest as channels."""
        fine, middle, coarse = self.sam.get_image_embeddings(image)
        return torch.cat([F.pixel_unshuffle(fine, 4), F.pixel_unshuffle(middle, 2), coarse], 1)


class Decoder(nn.Module):
    """Prompt encoder and mask decoder, each prompt with its image."""

    def __init__(self, sam: Sam2Model | EdgeTamModel) -> None:
        super().__init__()
        self.sam = sam
        # Constants of the graph, rather than nodes that every run computes again.
        self.register_buffer("positions", sam.get_image_wide_positional_embeddings().detach(), persistent=False)
        _, channels, *sides = self.positions.shape
        self.maps = [2 * channels, channels, channels]
        self.takes = torch.Size([sum(self.maps), *sides])

    def decode(self, image_embeddings: Tensor, prompts: tuple[Tensor | None, ...], image_index: Tensor, several: bool):
        """`[N, 4C, S, S]`; points, labels, boxes and masks of B prompts; `[B]` -> `[B, masks, 4S, 4S]`, `[B, masks]`."""
        fine, middle, coarse = image_embeddings.index_select(0, image_index).split(self.maps, 1)
        sparse, dense = self.sam.prompt_encoder(*prompts)
        logits, iou, *_ = self.sam.mask_decoder(
            coarse, self.positions.expand_as(coarse), sparse, dense, multimask_output=several,
            high_resolution_features=[F.pixel_shuffle(fine, 4), F.pixel_shuffle(middle, 2)])
        return logits[:, 0], iou[:, 0]


class BoxDecoder(Decoder):
    """One mask a box, as of multimask_output=False: token 0's or, if that is not stable, the best of the other three."""

    def forward(self, image_embeddings: Tensor, boxes: Tensor, image_index: Tensor):
        """`[N, 4C, S, S]`, `[B, 4]` x1 y1 x2 y2 in pixels of the encoder's input, `[B]` -> `[B, 1, 4S, 4S]`, `[B, 1]`."""
        return self.decode(image_embeddings, (None, None, boxes[:, None], None), image_index, several=False)


class PointDecoder(Decoder):
    def forward(self, image_embeddings: Tensor, points: Tensor, image_index: Tensor):
        """`[N, 4C, S, S]`, `[P, 2]` x y in pixels of the encoder's input, `[P]` -> `[P, 3, 4S, 4S]`, `[P, 3]`."""
        inside = torch.ones_like(image_index)[:, None, None]
        return self.decode(image_embeddings, (points[:, None, None], inside, None, None), image_index, several=True)


def export_folder(folder: pathlib.Path, out: pathlib.Path) -> None:
    """Exports what a folder as the hub keeps it holds: config.json and model.safetensors, of the model of videos too."""
    sam = read_folder(AutoModelForMaskGeneration, folder, "a SAM 2 or EdgeTAM")
    if not isinstance(sam, (Sam2Model, EdgeTamModel)):
        raise Refused(f"{folder}: not a SAM 2 or EdgeTAM of transformers, but a {type(sam).__name__}")
    sam = sam.float().eval()
    segmenter.export(Encoder(sam), BoxDecoder(sam), PointDecoder(sam), sam.prompt_encoder.input_image_size, out)
