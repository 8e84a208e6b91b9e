"""Detectors whose weights stay as they are. What an offset of the text cannot change is computed once and kept."""

import pathlib
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import onnxruntime
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn
from torch.utils._pytree import tree_map

import manifest
from checkpoint import Refused
from vocabulary import Tokenizer


@dataclass(frozen=True)
class Prompt:
    """A caption, `[CLS] name . name . [SEP]` in L tokens."""
    ids: list[int]
    spans: list[tuple[int, int]]
    """The tokens of each name, from the first to the one after the last."""
    hidden: Tensor
    """What the text encoder makes of it, `[L, D]`."""

    @property
    def tokens(self) -> Tensor:
        """1 where a token belongs to a name, `[P, L]`."""
        rows = torch.zeros(len(self.spans), len(self.ids))
        for row, (first, end) in zip(rows, self.spans):
            row[first:end] = 1
        return rows


@dataclass
class Frozen:
    """A detector in PyTorch, and the folder of ONNX files that it was exported to."""
    folder: pathlib.Path
    text: nn.Module
    """`[1, L]` numbers and mask to `[1, L, D]`."""
    features: Callable
    """`[1, 3, H, W]` to what the image alone decides."""
    head: Callable
    """That, the text `[1, L, D]` and its mask `[1, L]` to the outputs."""
    device: str = "cpu"
    idle: int = 0
    """Channels of the text, the last ones, that are no feature and get no offset."""
    kept: dict = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.rules = manifest.read(self.folder).get("detector")
        if self.rules is None:
            raise Refused(f"{self.folder}: holds no detector; export it there first (`partstad models export`)")
        text = self.rules["text"]
        self.tokenizer = Tokenizer((self.folder / text["vocab"]).read_text(encoding="utf-8").splitlines())

    @property
    def side(self) -> int:
        return self.rules["image"]["size"][0]

    def padded(self, size: tuple[int, int]) -> tuple[int, int]:
        """Height and width of what the model sees of an image of `size`."""
        divisor = self.rules["image"]["divisor"]
        return tuple(n + -n % divisor for n in size)

    @torch.no_grad()
    def prompt(self, names: list[str]) -> Prompt:
        """The caption of `names`; refused if the folder's text encoder makes something else of it."""
        ids, spans = self.tokenizer.caption(names)
        if len(ids) > self.rules["text"]["max_tokens"]:
            raise Refused(f"the caption of {', '.join(names)} has {len(ids)} tokens; at most {self.rules['text']['max_tokens']} are read")
        numbers = torch.tensor([ids])
        hidden = self.text(numbers, torch.ones_like(numbers))[0]
        session = onnxruntime.InferenceSession(self.folder / self.rules["text_encoder"], providers=["CPUExecutionProvider"])
        theirs, = session.run(["text_hidden"], {"input_ids": np.array([ids]), "attention_mask": np.ones((1, len(ids)), np.int64)})
        theirs = torch.from_numpy(theirs[0]).to(hidden.device)
        if theirs.shape != hidden.shape or (theirs - hidden).abs().max() > 1e-2 * hidden.abs().max():
            raise Refused(f"{self.folder}: its text encoder is not this checkpoint's; export this checkpoint to a folder of its own")
        return Prompt(ids, spans, hidden)

    @torch.no_grad()
    def look(self, key, image: np.ndarray, side: int, flip: bool = False) -> tuple[object, tuple[int, int]]:
        """What the image alone decides, and its height and width when its shorter side is `side` pixels."""
        if (key, side, flip) not in self.kept:
            picture = Image.fromarray(image)
            factor = side / min(picture.size)
            width, height = (round(n * factor) for n in picture.size)
            # Antialiased where it shrinks, as GLIP's loader does it.
            picture = np.asarray(picture.resize((width, height), Image.Resampling.BILINEAR), np.float32)
            spec = self.rules["image"]
            x = picture[:, ::-1] if flip else picture
            x = x[..., ::-1] if spec["order"] == "bgr" else x
            x = (x * np.float32(spec["scale"] / 255) - np.float32(spec["mean"])) / np.float32(spec["std"])
            x = torch.from_numpy(np.ascontiguousarray(x.transpose(2, 0, 1)))[None].to(self.device)
            (below, right) = (m - n for m, n in zip(self.padded((height, width)), (height, width)))
            self.kept[key, side, flip] = tree_map(half, self.features(F.pad(x, (0, right, 0, below)))), (height, width)
        seen, size = self.kept[key, side, flip]
        return tree_map(single, seen), size

    def outputs(self, seen, prompt: Prompt, offset: Tensor | None = None) -> list[Tensor]:
        """The outputs for one image, with the `offset` `[L, D - idle]` added to the text."""
        hidden = prompt.hidden if offset is None else prompt.hidden + self.whole(offset)
        return [x[0] for x in self.head(seen, hidden[None], torch.ones(1, len(hidden), dtype=torch.int64))]

    def counted(self, prompt: Prompt) -> Tensor:
        """The tokens whose logits the loss looks at, `[L]`: all."""
        return torch.ones(len(prompt.ids), dtype=torch.bool)

    def whole(self, offset: Tensor) -> Tensor:
        return F.pad(offset, (0, self.idle))


def half(x):
    return x.half() if isinstance(x, Tensor) and x.is_floating_point() else x


def single(x):
    return x.float() if isinstance(x, Tensor) and x.is_floating_point() else x
