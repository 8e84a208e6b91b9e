"""A module as an ONNX file that ONNX Runtime was seen to compute alike."""

import logging
import pathlib
import warnings

import onnxruntime
import torch
from torch import nn

Tensors = dict[str, torch.Tensor]

# DeformConv came with 19; the oldest ONNX Runtime that partstad takes, 1.22, knows 22.
OPSET = 20
# A protobuf holds at most 2 GiB; what is larger keeps its weights in a second file beside it.
LARGEST_FILE = 1_800_000_000


def export(module: nn.Module, path: pathlib.Path, inputs: Tensors, outputs: dict[str, tuple],
           axes: dict[str, dict[int, str]], others: list[Tensors], tolerance: float, longest: dict[str, int] | None = None) -> None:
    """Writes `module` to `path`.

    `inputs`: one example of each input by name; `outputs`: the shape of each by name, dynamic axes as None; `axes`: the
    dynamic axes of the inputs by symbol; `others`: more examples, of other lengths, on which ONNX Runtime must agree
    with the module too, within `tolerance` of the output's largest magnitude (at least 1); `longest`: the most that an
    axis may be, by symbol, where the module has a limit.
    """
    module = module.eval().requires_grad_(False)
    longest = longest or {}
    dims = {symbol: torch.export.Dim(symbol, min=1, max=longest.get(symbol, 4096))
            for axis in axes.values() for symbol in axis.values()}
    shapes = tuple({i: dims[symbol] for i, symbol in axes.get(name, {}).items()} for name in inputs)
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(module, tuple(inputs.values()), dynamo=True, opset_version=OPSET, verbose=False,
                                    input_names=list(inputs), output_names=list(outputs), dynamic_shapes=shapes)
    size = sum(weight.const_value.nbytes for weight in program.model.graph.initializers.values())
    data = path.with_name(path.name + ".data")
    data.unlink(missing_ok=True)
    program.save(path, external_data=size > LARGEST_FILE)
    del program
    worst = compare(module, path, [inputs, *others], outputs)
    print(f"{path.name}: {size / 1e6:.1f} MB of weights, largest relative difference from PyTorch {worst:.1e}")
    if not worst <= tolerance:
        raise RuntimeError(f"{path}: ONNX Runtime differs from PyTorch by {worst:.1e}, more than {tolerance:.1e}")


def compare(module: nn.Module, path: pathlib.Path, examples: list[Tensors], outputs: dict[str, tuple]) -> float:
    """The largest difference between module and file, relative to each output's largest magnitude (at least 1)."""
    # Before there is a session: PyTorch's memory for the computation and ONNX Runtime's weights are not needed at once.
    reference = [module(*inputs.values()) for inputs in examples]
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    worst = 0.0
    for inputs, expected in zip(examples, reference, strict=True):
        expected = expected if isinstance(expected, tuple) else (expected,)
        found = session.run(list(outputs), {name: tensor.numpy() for name, tensor in inputs.items()})
        for name, a, b in zip(outputs, found, expected, strict=True):
            shape = outputs[name]
            if a.shape != tuple(b.shape) or len(shape) != a.ndim or any(n not in (None, m) for n, m in zip(shape, a.shape)):
                raise RuntimeError(f"{path}: {name} is {list(a.shape)}, in PyTorch {list(b.shape)}, expected {list(shape)}")
            difference = float((torch.from_numpy(a) - b).abs().max() / b.abs().max().clamp(min=1))
            worst = max(worst, difference if difference == difference else float("inf"))
    return worst
