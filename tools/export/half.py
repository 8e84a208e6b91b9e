"""A folder of models in half precision: all that sees images computes in f16, and takes images in f16, or in bf16; all else stays."""

import json
import pathlib
import shutil
import tempfile

import numpy
import onnx
import onnx_ir
import onnxruntime
from onnxruntime.transformers.float16 import DEFAULT_OP_BLOCK_LIST, convert_float_to_float16

import bf16
import manifest

TYPES = ("f16", "bf16", "bf16-imitated")

# The models that see images, by their places in a manifest.
LARGE = (("detector", "model"), ("segmenter", "encoder"), ("segmenter", "decoder"), ("segmenter", "points"), ("concepts", "vision_encoder"), ("concepts", "decoder"))

# A protobuf holds at most 2 GiB; what is larger keeps its weights in a second file beside it.
LARGEST_FILE = 1_800_000_000


def convert_folder(source: pathlib.Path, target: pathlib.Path, type: str = "f16") -> None:
    """Writes the folder `source` to `target`, its large models in one of `TYPES`."""
    rules = manifest.read(source)
    target.mkdir(parents=True, exist_ok=True)
    large = {rules[section][name] for section, name in LARGE if name in (rules.get(section) or {})}
    files = {}
    for file in rules["files"]:
        if file in large:
            convert(source / file, target / file, type)
        elif file.removesuffix(".data") not in large:
            shutil.copyfile(source / file, target / file)
        files |= {path.name: manifest.sha256(path) for path in (target / file, target / f"{file}.data") if path.exists()}
    precision = "f32" if type == "bf16-imitated" else type
    content = rules | {"name": target.resolve().name, "precision": precision, "files": files}
    (target / "manifest.json").write_text(json.dumps(content, indent=2) + "\n")


def convert(source: pathlib.Path, target: pathlib.Path, type: str = "f16") -> None:
    if type == "f16":
        to_f16(source, target)
        print(f"{target.name}: largest relative difference from f32 {difference(source, target):.1e}")
        return
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        other = pathlib.Path(folder) / target.name
        made, imitation = (target, other) if type == "bf16" else (other, target)
        model = load(source)
        bf16.convert(model)
        save(model, made)
        # What no CPU can load must at least be valid.
        onnx.checker.check_model(made, full_check=True)
        model = load(made)
        bf16.imitate(model)
        save(model, imitation)
        del model
        print(f"{target.name}: largest relative difference from f32, imitated on the CPU, {difference(source, imitation):.1e}")


def to_f16(source: pathlib.Path, target: pathlib.Path) -> None:
    model = onnx.load(source)
    size = sum(numpy.prod(weight.dims, dtype=int) * 4 for weight in model.graph.initializer)
    kept = [port.name for port in [*model.graph.input, *model.graph.output] if port.name != "image"]
    # Inference of shapes goes through one protobuf. CUDA samples grids in f32 alone.
    half = convert_float_to_float16(model, keep_io_types=kept, disable_shape_infer=bool(size > LARGEST_FILE),
                                    op_block_list=[*DEFAULT_OP_BLOCK_LIST, "GridSample"])
    data = target.with_name(target.name + ".data")
    data.unlink(missing_ok=True)
    onnx.save(half, target, save_as_external_data=bool(size / 2 > LARGEST_FILE), location=data.name)


def load(source: pathlib.Path) -> onnx_ir.Model:
    return onnx_ir.external_data.load_to_model(onnx_ir.load(source))


def save(model: onnx_ir.Model, target: pathlib.Path) -> None:
    size = sum(weight.const_value.nbytes for weight in model.graph.initializers.values())
    data = target.with_name(target.name + ".data")
    data.unlink(missing_ok=True)
    onnx_ir.save(model, target, external_data=data.name if size > LARGEST_FILE else None)


def difference(first: pathlib.Path, second: pathlib.Path) -> float:
    """Between the outputs of two files for made-up inputs, relative to each output's largest magnitude (at least 1)."""
    inputs = {}
    outputs = [run(path, inputs) for path in (first, second)]
    return max(float(numpy.abs(a - b).max() / max(numpy.abs(a).max(), 1)) for a, b in zip(*outputs, strict=True))


def run(path: pathlib.Path, inputs: dict[str, numpy.ndarray]) -> list[numpy.ndarray]:
    """A file's outputs, for inputs that are made up unless there are some. The session, which can take gigabytes, ends with it."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    ports = session.get_inputs()
    if not inputs:
        random = numpy.random.default_rng(1)
        # A second image would take as much again.
        count = 1 if any(port.name == "image" for port in ports) else 2
        for port in ports:
            shape = [size if isinstance(size, int) else 2 if axis else count for axis, size in enumerate(port.shape)]
            inputs[port.name] = numpy.ones(shape, numpy.int64) if "int64" in port.type else random.standard_normal(shape, numpy.float32)
            if port.name == "boxes":
                inputs[port.name] = numpy.array([[10, 10, 40, 50], [5, 20, 60, 60]], numpy.float32)
    halves = {port.name for port in ports if "float16" in port.type}
    return session.run(None, {name: value.astype(numpy.float16) if name in halves else value for name, value in inputs.items()})
