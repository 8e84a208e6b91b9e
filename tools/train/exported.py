"""The way back from export.py's ONNX files to the modules: the batch norms, which the files hold within their convolutions, become shifts."""

import onnx
import torch

from backbone import ConvNorm
from detector import trunk_of

# Products that lost their names, in the order in which the graphs use them. What answers points begins as what answers boxes.
FILES = {"text": ("text_encoder", ["qkv", "out", "up", "down", "project"]),
         "detector": ("grounding_detector", ["expand", "text", "visual", "box", "centerness"]),
         "encoder": ("sam_encoder", []), "decoder": ("sam_decoder", []), "points": ("sam_decoder", [])}


def shift(norm, bias, gain=1.0):
    """Makes a batch norm, in eval mode, x * gain + bias."""
    norm.running_mean.zero_()
    norm.running_var.fill_(1 - norm.eps)
    norm.weight.copy_(torch.as_tensor(gain).expand_as(norm.weight))
    norm.bias.copy_(bias)


def weights(path):
    """The numbers in a file by their names in the module."""
    stored = {t.name: torch.tensor(onnx.numpy_helper.to_array(t)) for t in onnx.load(path).graph.initializer}
    for name in [n.removesuffix("_i8") for n in stored if n.endswith("_i8")]:
        stored[name] = stored.pop(f"{name}_i8") * stored.pop(f"{name}_step")
    return {name.removesuffix("_f16"): tensor.float() for name, tensor in stored.items()}


def trunk(folder):
    """Which trunk a folder's detector has."""
    return trunk_of(weights(folder / "grounding_detector.onnx"))


@torch.no_grad()
def restore(model, folder):
    """Gives a module's parts called as in FILES the weights in `folder`. What is of use in training only stays as it is."""
    for part, (file, products) in FILES.items():
        if hasattr(model, part):
            module = getattr(model, part)
            stored = weights(folder / f"{file}.onnx")
            nameless = [stored.pop(name) for name in list(stored) if name.startswith("onnx::")]
            load(module, stored, nameless, products)


def load(module, stored, nameless, products):
    for name, child in module.named_modules():
        if isinstance(child, ConvNorm):
            shift(child.norm, stored.pop(f"{name}.conv.bias"))
    if hasattr(module, "tower"):
        # Five convolutions that differ by their levels' batch norms: a gain and a shift of each channel.
        levels, nameless = nameless[:2 * len(module.tower.norms)], nameless[2 * len(module.tower.norms):]
        first = levels[0].flatten(1)
        module.tower.conv.weight.copy_(levels[0])
        for norm, weight, bias in zip(module.tower.norms, levels[::2], levels[1::2]):
            shift(norm, bias, (weight.flatten(1) * first).sum(1) / first.square().sum(1))
    for name, weight in zip(products, nameless, strict=True):
        stored[f"{name}.weight"] = weight.T
    unknown = module.load_state_dict(stored, strict=False).unexpected_keys
    assert not unknown, unknown
