"""A folder of models in half precision: the detector and the segmenter compute in f16 and take images in f16; all else stays."""

import json
import pathlib
import shutil

import numpy
import onnx
import onnxruntime
from onnxruntime.transformers.float16 import convert_float_to_float16

import manifest

# A protobuf holds at most 2 GiB; what is larger keeps its weights in a second file beside it.
LARGEST_FILE = 1_800_000_000


def convert_folder(source: pathlib.Path, target: pathlib.Path) -> None:
    """Writes the folder `source` to `target`, its large models in f16."""
    rules = manifest.read(source)
    target.mkdir(parents=True, exist_ok=True)
    segmenter = rules.get("segmenter") or {}
    large = {rules["detector"]["model"], *(segmenter[name] for name in ("encoder", "decoder") if segmenter)}
    files = {}
    for file in rules["files"]:
        if file in large:
            convert(source / file, target / file)
        elif file.removesuffix(".data") not in large:
            shutil.copyfile(source / file, target / file)
        files |= {path.name: manifest.sha256(path) for path in (target / file, target / f"{file}.data") if path.exists()}
    content = rules | {"name": target.resolve().name, "files": files}
    (target / "manifest.json").write_text(json.dumps(content, indent=2) + "\n")


def convert(source: pathlib.Path, target: pathlib.Path) -> None:
    model = onnx.load(source)
    size = sum(numpy.prod(weight.dims, dtype=int) * 4 for weight in model.graph.initializer)
    kept = [port.name for port in [*model.graph.input, *model.graph.output] if port.name != "image"]
    # Inference of shapes goes through one protobuf.
    half = convert_float_to_float16(model, keep_io_types=kept, disable_shape_infer=bool(size > LARGEST_FILE))
    data = target.with_name(target.name + ".data")
    data.unlink(missing_ok=True)
    onnx.save(half, target, save_as_external_data=bool(size / 2 > LARGEST_FILE), location=data.name)
    print(f"{target.name}: largest relative difference from f32 {difference(source, target):.1e}")


def difference(first: pathlib.Path, second: pathlib.Path) -> float:
    """Between the outputs of two files for made-up inputs, relative to each output's largest magnitude (at least 1)."""
    random = numpy.random.default_rng(1)
    sessions = [onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"]) for path in (first, second)]
    inputs = {}
    for port in sessions[0].get_inputs():
        shape = [size if isinstance(size, int) else 2 for size in port.shape]
        inputs[port.name] = numpy.ones(shape, numpy.int64) if "int64" in port.type else random.standard_normal(shape, numpy.float32)
        if port.name == "boxes":
            inputs[port.name] = numpy.array([[10, 10, 40, 50], [5, 20, 60, 60]], numpy.float32)
    outputs = []
    for session in sessions:
        halves = {port.name for port in session.get_inputs() if "float16" in port.type}
        given = {name: value.astype(numpy.float16) if name in halves else value for name, value in inputs.items()}
        outputs.append(session.run(None, given))
    return max(float(numpy.abs(a - b).max() / max(numpy.abs(a).max(), 1)) for a, b in zip(*outputs, strict=True))
