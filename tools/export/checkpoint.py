"""Checkpoint files: read, and given to a module only if every name and shape fits."""

import pathlib

import torch
from safetensors.torch import load_file
from torch import nn

State = dict[str, torch.Tensor]


class Refused(Exception):
    """A file that cannot be used; the message says which, why and what would do."""


def read(path: pathlib.Path) -> State:
    """The tensors of a .safetensors file or of a PyTorch checkpoint, which may keep them under "model"."""
    try:
        if path.suffix == ".safetensors":
            content = load_file(path)
        else:
            content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise Refused(f"{path}: there is no such file") from None
    except Exception as e:
        raise Refused(f"{path}: not a file of tensors alone ({type(e).__name__}); if it is a checkpoint that you trust, save "
                      "what torch.load(..., weights_only=False)['model'] gives under another name") from None
    for key in ("model", "state_dict"):
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    tensors = {k.removeprefix("module."): v for k, v in dict(content).items() if isinstance(v, torch.Tensor)}
    if not tensors:
        raise Refused(f"{path}: holds no tensors")
    return tensors


def load(module: nn.Module, state: State, what: str, ignore: tuple[str, ...] = ()) -> None:
    """Gives `state` to `module`. Names that start with one of `ignore` are left out on purpose.

    Raises `Refused` naming the first tensor, in the order of the module, that is missing or of another shape.
    """
    expected = module.state_dict()
    found = {name: tensor for name, tensor in state.items() if not name.startswith(ignore)}
    for name, tensor in expected.items():
        if name not in found:
            missing = len(expected.keys() - found.keys())
            raise Refused(f"the checkpoint is not {what}: {name} {list(tensor.shape)} is missing "
                          f"({missing} of {len(expected)} tensors are)")
        if found[name].shape != tensor.shape:
            raise Refused(f"the checkpoint is not {what}: {name} is {list(found[name].shape)}, not {list(tensor.shape)}")
    unknown = [name for name in found if name not in expected]
    if unknown:
        raise Refused(f"the checkpoint is not {what}: {unknown[0]} is not known ({len(unknown)} tensors are not)")
    # Taken, not copied: SAM ViT-H's weights are 2.6 GB.
    module.load_state_dict({name: found[name].to(tensor.dtype) for name, tensor in expected.items()}, assign=True)


def read_folder(architecture: type, folder: pathlib.Path, what: str) -> nn.Module:
    """The model of a folder as the hub keeps it, if it is one of transformers' class `architecture`."""
    try:
        model, info = architecture.from_pretrained(folder, local_files_only=True, output_loading_info=True)
    except (OSError, ValueError) as e:
        raise Refused(f"{folder}: not {what} of transformers: {str(e).splitlines()[0]}") from None
    for kind in ("missing_keys", "mismatched_keys"):
        if info[kind]:
            raise Refused(f"{folder}: not {what} of transformers: {sorted(map(str, info[kind]))[0]} is among its {kind}")
    return model


def check_vocabulary(path: pathlib.Path, tokens: int) -> None:
    """The vocabulary is no part of the checkpoint; that of another BERT would number the words differently."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as e:
        raise Refused(f"{path}: not a vocabulary: {e}") from None
    if len(lines) != tokens or not {"[CLS]", "[SEP]", "[UNK]"} <= set(lines):
        raise Refused(f"{path}: {len(lines)} lines; this model's vocabulary has {tokens}, among them [CLS], [SEP] and [UNK]: "
                      "take the vocab.txt of bert-base-uncased")
