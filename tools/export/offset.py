"""PartSLIP's few-shot checkpoints: GLIP as it was, and an offset of the text learned for one caption.

Liu et al., PartSLIP, CVPR 2023. The offset is added to the text encoder's output by token position, so it is of use for
exactly the caption that it was learned with.
"""

import pathlib

import torch
from safetensors.torch import save
from torch import Tensor

import manifest
from checkpoint import Refused, State

KEY = "rpn.tunable_linear.weight"
SEPARATOR = " . "
MAX_TOKENS = 256


def learned(state: State) -> Tensor | None:
    """The offset `[L, D]` of a few-shot checkpoint; None if there is none, or all of it is 0."""
    offset = state.get(KEY)
    return offset[:MAX_TOKENS].float().contiguous() if offset is not None and offset.any() else None


def check_base(state: State, base: State) -> None:
    """Refuses a few-shot checkpoint in which anything but the offset differs from its base by a single bit."""
    for name in sorted((state.keys() | base.keys()) - {KEY}):
        if name not in state or name not in base:
            raise Refused(f"{name} is only in the {'few-shot' if name in state else 'base'} checkpoint; name the base that it was "
                          "learned on, or export it as a model of its own")
        if state[name].shape != base[name].shape or not torch.equal(state[name], base[name]):
            raise Refused(f"{name} differs from the base: more than an offset was learned, so this checkpoint needs an export of "
                          "its own: `glip` with --parts, into another folder")


def write(offset: Tensor, parts: list[str], name: str, out: pathlib.Path) -> None:
    """Writes the offset of the caption of `parts` to `out`/offset-`name`.safetensors and enters it into the manifest."""
    detector = check_free(parts, name, out)
    caption, file = caption_of(parts), file_of(name)
    (out / file).write_bytes(save({"text_offset": offset.contiguous()}, {"caption": caption}))
    detector["text"].setdefault("offsets", {})[caption] = file
    # The models stay what they were, stand-ins too.
    manifest.write(out, manifest.read(out) | {"detector": detector})
    print(f"{file}: {int(offset.ne(0).any(1).sum())} tokens of the caption {caption!r} alone")


def check_free(parts: list[str], name: str, out: pathlib.Path) -> dict:
    """The detector's part of the manifest in `out`; refused if there is none, or if it has another offset for this caption."""
    detector = manifest.read(out).get("detector")
    if detector is None:
        raise Refused(f"{out}: holds no detector; export the base there first")
    other = detector["text"].get("offsets", {}).get(caption_of(parts), file_of(name))
    if other != file_of(name):
        raise Refused(f"{out}: {other} is there for the same caption, {caption_of(parts)!r}; use another folder, or remove it from the "
                      "manifest")
    return detector


def caption_of(parts: list[str]) -> str:
    return "".join(part + SEPARATOR for part in parts)


def file_of(name: str) -> str:
    return f"offset-{name}.safetensors"
