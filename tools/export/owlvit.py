"""OWL-ViT of transformers as a text encoder and a detector of queries.

Minderer et al., Simple Open-Vocabulary Object Detection with Vision Transformers, ECCV 2022. Its text encoder, CLIP's, reads one
name at a time and makes one vector of it. A caption is names between the tokens that end and start a text; here each is read as
if it were alone, and its vector stands at each of its tokens: what holds for a name's tokens holds for the name.
"""

import pathlib

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import CLIPTokenizer, OwlViTForObjectDetection
from transformers.image_utils import OPENAI_CLIP_MEAN, OPENAI_CLIP_STD

import graph
import manifest
from checkpoint import Refused, read_folder

START, END = "<|startoftext|>", "<|endoftext|>"
# A caption of 80 names, the most that there may be, as long as CLIP takes them.
MAX_TOKENS = 80 * 16
TOLERANCE = 1e-3


class TextEncoder(nn.Module):
    def __init__(self, owl: OwlViTForObjectDetection) -> None:
        super().__init__()
        self.text, self.projection = owl.owlvit.text_model, owl.owlvit.text_projection

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """`[T, L]` token numbers and mask -> `[T, L, D]`.

        The tokens of a name beyond those that CLIP would take share its last place.
        """
        config = self.text.config
        length = input_ids.shape[1]
        at = torch.arange(length)
        earlier = at <= at[:, None]
        # CLIP pads with ends too, to which no name looks.
        ids = torch.where(attention_mask > 0, input_ids, config.eos_token_id)
        start = torch.where((ids == config.bos_token_id)[:, None] & earlier, at, 0).amax(2)
        end = torch.where((ids == config.eos_token_id)[:, None] & (at >= at[:, None]), at, length - 1).amin(2)
        sees = (start[:, :, None] == start[:, None]) & earlier
        places = (at - start).clamp(max=config.max_position_embeddings - 1)
        hidden = self.text(ids, sees[:, None], places).last_hidden_state
        ends = hidden.gather(1, end[:, :, None].expand(-1, -1, hidden.shape[2]))
        return F.normalize(self.projection(ends), dim=-1)


class Detector(nn.Module):
    def __init__(self, owl: OwlViTForObjectDetection) -> None:
        super().__init__()
        self.owl = owl

    def forward(self, image: Tensor, text_hidden: Tensor, text_mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """`[N, 3, H, W]`, `[N, L, D]`, `[N, L]` -> token logits `[N, Q, L]`, boxes `[N, Q, 4]`, features `[N, Q, C]`.

        A box is its centre, width and height in parts of the image.
        """
        grid = self.owl.image_embedder(image)[0]
        features = grid.flatten(1, 2)
        logits, _ = self.owl.class_predictor(features, text_hidden, text_mask)
        return logits, self.owl.box_predictor(features, grid), features


def export(owl: OwlViTForObjectDetection, tokenizer: CLIPTokenizer, out: pathlib.Path) -> None:
    """Writes text_encoder.onnx, grounding_detector.onnx, tokenizer.json and their part of the manifest to the folder `out`."""
    text, vision = owl.config.text_config, owl.config.vision_config
    size, q = vision.image_size, owl.box_bias.shape[0]
    out.mkdir(parents=True, exist_ok=True)
    generator = torch.Generator().manual_seed(1)
    owl.eval()

    def caption(t, names):
        ids = torch.randint(0, min(text.bos_token_id, text.eos_token_id), (t, names, 4), generator=generator)
        ids[:, :, 0], ids[:, :, -1] = text.bos_token_id, text.eos_token_id
        return {"input_ids": ids.flatten(1), "attention_mask": torch.ones(t, 4 * names, dtype=torch.int64)}

    encoder = TextEncoder(owl).eval()

    def scene(n, names):
        return {"image": torch.randn(n, 3, size, size, generator=generator), "text_hidden": encoder(**caption(n, names)),
                "text_mask": torch.ones(n, 4 * names, dtype=torch.int64)}

    graph.export(encoder, out / "text_encoder.onnx", caption(2, 3), {"text_hidden": (None, None, text.hidden_size)},
                 {"input_ids": {0: "T", 1: "L"}, "attention_mask": {0: "T", 1: "L"}}, [caption(1, 5), caption(1, 1)], TOLERANCE)
    graph.export(Detector(owl), out / "grounding_detector.onnx", scene(2, 2),
                 {"token_logits": (None, q, None), "box_regression": (None, q, 4), "features": (None, q, vision.hidden_size)},
                 {"image": {0: "N"}, "text_hidden": {0: "N", 1: "L"}, "text_mask": {0: "N", 1: "L"}}, [scene(1, 3)], TOLERANCE)
    (out / "tokenizer.json").write_text(tokenizer.backend_tokenizer.to_str(), encoding="utf-8")
    manifest.update(out, "detector", {
        "kind": "detr", "text_encoder": "text_encoder.onnx", "model": "grounding_detector.onnx",
        "image": {"order": "rgb", "scale": 1, "mean": OPENAI_CLIP_MEAN, "std": OPENAI_CLIP_STD, "size": [size, size],
                  "resize": "shorter", "divisor": 1},
        "text": {"tokenizer": "json", "vocab": "tokenizer.json", "separator": END + START, "max_tokens": MAX_TOKENS},
        "queries": q, "score": "max_sigmoid", "nms": 1.0, "max_det": q, "feature_dim": vision.hidden_size})


def export_folder(folder: pathlib.Path, out: pathlib.Path) -> None:
    """Exports what a folder as the hub keeps it holds: config.json, model.safetensors, vocab.json and merges.txt."""
    owl = read_folder(OwlViTForObjectDetection, folder, "an OWL-ViT")
    config = owl.config.text_config
    try:
        tokenizer = CLIPTokenizer.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError) as e:
        raise Refused(f"{folder}: no tokenizer of CLIP's: {str(e).splitlines()[0]}") from None
    numbers = tokenizer.get_vocab()
    if (len(numbers), numbers.get(START), numbers.get(END)) != (config.vocab_size, config.bos_token_id, config.eos_token_id):
        raise Refused(f"{folder}: its tokenizer has {len(numbers)} tokens, its text encoder {config.vocab_size}, or they number "
                      f"{START} and {END} differently: take vocab.json and merges.txt of the same model")
    export(owl, tokenizer, out)
