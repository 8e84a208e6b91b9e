"""The tiny models of the Rust tests in half precision."""

import json
import pathlib
import shutil

import ml_dtypes
import numpy
import onnx
import onnx_ir
import onnxruntime
import pytest
from onnx import TensorProto, helper

import bf16
import half

TINY = pathlib.Path(__file__).parents[3] / "tests/fixtures/models"
LARGE = ("grounding_detector.onnx", "sam_encoder.onnx", "sam_decoder.onnx")
BF16 = TensorProto.BFLOAT16


def types(model):
    """The type of every tensor by name."""
    inferred = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True).graph
    ports = {port.name: port.type.tensor_type.elem_type for port in [*inferred.input, *inferred.output, *inferred.value_info]}
    return ports | {weight.name: weight.data_type for weight in inferred.initializer}


def in_bf16(model):
    """The kinds of nodes whose result is bf16, and of those whose result is f32."""
    kinds = types(model)
    return [{node.op_type for node in model.graph.node if kinds[node.output[0]] == kind} for kind in (TensorProto.BFLOAT16, TensorProto.FLOAT)]


def small(nodes, inputs, weights, output, opset=20):
    ports = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs.items()]
    graph = helper.make_graph(nodes, "small", ports, [helper.make_tensor_value_info("y", TensorProto.FLOAT, output)],
                              [onnx.numpy_helper.from_array(value, name) for name, value in weights.items()])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)


def convert(model):
    """A model in bf16, and its imitation."""
    model = onnx_ir.from_proto(model)
    bf16.convert(model)
    made = onnx_ir.to_proto(model)
    onnx.checker.check_model(made, full_check=True)
    bf16.imitate(model)
    imitation = onnx_ir.to_proto(model)
    onnx.checker.check_model(imitation, full_check=True)
    return made, imitation


def rounded(values):
    return numpy.asarray(values, numpy.float32).astype(ml_dtypes.bfloat16).astype(numpy.float32)


def run(model, **inputs):
    return onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"]).run(None, inputs)[0]


def check_rest(folder):
    assert (folder / "text_encoder.onnx").read_bytes() == (TINY / "text_encoder.onnx").read_bytes()
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["stand_in"] and manifest["detector"] == json.loads((TINY / "manifest.json").read_text())["detector"]


def test_images_go_in_as_f16_and_all_comes_out_as_f32(tmp_path, check):
    half.convert_folder(TINY, tmp_path)
    for file in LARGE:
        graph = onnx.load(tmp_path / file).graph
        for port in [*graph.input, *graph.output]:
            integers = port.name in ("text_mask", "image_index")
            element = TensorProto.FLOAT16 if port.name == "image" else TensorProto.INT64 if integers else TensorProto.FLOAT
            assert port.type.tensor_type.elem_type == element
        assert any(weight.data_type == TensorProto.FLOAT16 for weight in graph.initializer)
        assert 0 < half.difference(TINY / file, tmp_path / file) < 2e-3
    check_rest(tmp_path)
    assert check(tmp_path)["problems"] == []


def test_models_compute_in_bf16_and_their_imitation_on_a_cpu(tmp_path, check):
    half.convert_folder(TINY, tmp_path / "made", "bf16")
    half.convert_folder(TINY, tmp_path / "imitation", "bf16-imitated")
    for file in LARGE:
        original, made, imitation = (onnx.load(folder / file) for folder in (TINY, tmp_path / "made", tmp_path / "imitation"))
        onnx.checker.check_model(made, full_check=True)
        for other in (made, imitation):
            assert [*other.graph.input] == [*original.graph.input] and [*other.graph.output] == [*original.graph.output]
        # Rounding to 8 bits changes a value by up to 2e-3 of it; to f16's 11, by 2.4e-4.
        assert 5e-4 < half.difference(TINY / file, tmp_path / "imitation" / file) < 1e-2
    detector, encoder, decoder = (in_bf16(onnx.load(tmp_path / "made" / file)) for file in LARGE)
    assert {"MatMul", "AveragePool", "Add", "Reshape"} <= detector[0] and detector[1] <= {"Cast", "Unsqueeze"}
    assert {"Conv", "AveragePool"} <= encoder[0] and encoder[1] == {"Cast"}
    # Boxes stay f32, as does ReduceMean, which has no kernel.
    assert {"Gather", "Add"} <= decoder[0] and {"Sub", "Min", "ReduceMean"} <= decoder[1]
    for folder in ("made", "imitation"):
        check_rest(tmp_path / folder)
    assert check(tmp_path / "imitation")["problems"] == []
    # The types please ONNX Runtime too; kernels are all that it misses.
    problems = check(tmp_path / "made")["problems"]
    assert len(problems) == 3 and all("Could not find an implementation" in problem for problem in problems)


def test_the_imitation_rounds_after_every_node():
    """ONNX Runtime could take a pair of casts for nothing: 1 + 2^-8 - 1 would then be 2^-8."""
    made, imitation = convert(small([helper.make_node("Add", ["x", "one"], ["sum"]), helper.make_node("Sub", ["sum", "one"], ["y"])],
                                    {"x": ["n"]}, {"one": numpy.float32([1])}, ["n"]))
    assert in_bf16(made) == [{"Add", "Sub", "Cast"}, {"Cast"}]
    assert BF16 not in {kind for name, kind in types(imitation).items() if not name.endswith("_bf16")}
    x = rounded([2**-8, 2**-8 + 2**-14, 3 * 2**-8, 0.3, -7, 1e30])
    found = run(imitation, x=x)
    numpy.testing.assert_array_equal(found, rounded(rounded(x + 1) - 1))
    numpy.testing.assert_array_equal(found[:3], [0, 2**-7, 2**-6])
    # The input is rounded too.
    numpy.testing.assert_array_equal(run(imitation, x=numpy.float32([1 + 2**-9])), [1])


def test_weights_are_rounded_to_the_nearest_and_stay_finite():
    weight = numpy.float32([[1 + 2**-8, 1 + 3 * 2**-8, 1 + 2**-9, -3.4028235e38, -numpy.inf]])
    f16 = numpy.float16([[0.1, 0, 0, 0, 0]])
    nodes = [helper.make_node("Cast", ["f16"], ["f32"], to=TensorProto.FLOAT), helper.make_node("Add", ["x", "f32"], ["sum"]),
             helper.make_node("Max", ["sum", "weight"], ["y"])]
    made, imitation = convert(small(nodes, {"x": [1, 5]}, {"weight": weight, "f16": f16}, [1, 5], opset=18))
    weights = {w.name: onnx.numpy_helper.to_array(w).astype(numpy.float32) for w in made.graph.initializer}
    assert {w.data_type for w in made.graph.initializer} == {BF16}
    largest = float(ml_dtypes.finfo(ml_dtypes.bfloat16).max)
    numpy.testing.assert_array_equal(weights["weight_bf16"], [[1, 1 + 2**-6, 1, -largest, -numpy.inf]])
    numpy.testing.assert_array_equal(weights["f32_bf16"], rounded(f16))
    for w in imitation.graph.initializer:
        numpy.testing.assert_array_equal(onnx.numpy_helper.to_array(w), weights[w.name])


def test_what_has_no_kernel_and_what_comes_of_boxes_computes_in_f32():
    nodes = [helper.make_node("Mul", ["boxes", "scale"], ["corners"]), helper.make_node("MatMul", ["corners", "wave"], ["phase"]),
             helper.make_node("Sin", ["phase"], ["position"]), helper.make_node("Floor", ["image_embeddings"], ["floor"]),
             helper.make_node("Conv", ["floor", "kernel"], ["conv"]), helper.make_node("Shape", ["conv"], ["shape"]),
             helper.make_node("Cast", ["shape"], ["size"], to=TensorProto.FLOAT), helper.make_node("ReduceMax", ["size"], ["side"], keepdims=0),
             helper.make_node("Div", ["position", "side"], ["place"]), helper.make_node("Add", ["conv", "place"], ["y"])]
    random = numpy.random.default_rng(1)
    weights = {name: random.standard_normal(shape, numpy.float32) for name, shape in {"scale": [1], "wave": [4, 5], "kernel": [3, 2, 1, 1]}.items()}
    made, imitation = convert(small(nodes, {"boxes": ["b", 4], "image_embeddings": [1, 2, "h", 5]}, weights, [1, 3, "h", 5]))
    kinds = types(made)
    expected = {TensorProto.FLOAT: "boxes corners phase position floor size side place y", BF16: "conv y_bf16 kernel_bf16 place_bf16 floor_bf16"}
    assert {name: kinds[name] for names in expected.values() for name in names.split()} == \
        {name: kind for kind, names in expected.items() for name in names.split()}
    boxes, embeddings = numpy.float32([[801, 3, 799, 405]]) / 1024, 3 * random.standard_normal([1, 2, 1, 5], numpy.float32)
    conv = rounded(numpy.einsum("oi,bihw->bohw", rounded(weights["kernel"][..., 0, 0]), numpy.floor(rounded(embeddings))))
    place = rounded(numpy.sin(boxes * weights["scale"] @ weights["wave"]) / 5)
    numpy.testing.assert_allclose(run(imitation, boxes=boxes, image_embeddings=embeddings), rounded(conv + place), rtol=2**-8)


def test_what_has_no_kernel_in_this_opset_is_written_out():
    nodes = [helper.make_node("InstanceNormalization", ["boxes", "scale", "bias"], ["normal"], epsilon=0.1),
             helper.make_node("Elu", ["normal"], ["y"], alpha=0.7)]
    random = numpy.random.default_rng(1)
    original = small(nodes, {"boxes": ["n", 3, "h", 5]}, {name: random.standard_normal(3, numpy.float32) for name in ("scale", "bias")}, ["n", 3, "h", 5])
    made, _ = convert(original)
    assert not {"InstanceNormalization", "Elu"} & {node.op_type for node in made.graph.node} and BF16 not in types(made).values()
    boxes = 3 + random.standard_normal([2, 3, 4, 5], numpy.float32)
    numpy.testing.assert_allclose(run(made, boxes=boxes), run(original, boxes=boxes), atol=1e-6)


def test_large_weights_lie_beside_the_model(tmp_path, monkeypatch):
    source = tmp_path / "model.onnx"
    weights = {"weight": numpy.random.default_rng(1).standard_normal([64, 64], numpy.float32), "scale": numpy.full([64], 0.1, numpy.float32)}
    nodes = [helper.make_node("MatMul", ["image", "weight"], ["p"]), helper.make_node("Floor", ["scale"], ["zero"]),
             helper.make_node("Add", ["p", "zero"], ["y"])]
    onnx.save(small(nodes, {"image": [1, 64]}, weights, [1, 64]), source, save_as_external_data=True, location="model.onnx.data", size_threshold=0)
    for limit, files in ((0, {"model.onnx", "model.onnx.data"}), (half.LARGEST_FILE, {"model.onnx"})):
        monkeypatch.setattr(half, "LARGEST_FILE", limit)
        for type in half.TYPES:
            folder = tmp_path / f"{type}{limit}"
            folder.mkdir()
            half.convert(source, folder / "model.onnx", type)
            assert {path.name for path in folder.iterdir()} == files
            onnx.checker.check_model(folder / "model.onnx", full_check=True)


@pytest.mark.parametrize("type", half.TYPES)
def test_a_folder_without_segmenter(tmp_path, type):
    source = tmp_path / "source"
    shutil.copytree(TINY, source)
    manifest = json.loads((source / "manifest.json").read_text())
    del manifest["segmenter"]
    manifest["files"] = {name: sum for name, sum in manifest["files"].items() if not name.startswith("sam")}
    (source / "manifest.json").write_text(json.dumps(manifest))
    half.convert_folder(source, tmp_path / "half", type)
    assert {path.name for path in (tmp_path / "half").iterdir()} == {*manifest["files"], "manifest.json"}
    precision = json.loads((tmp_path / "half" / "manifest.json").read_text())["precision"]
    assert precision == {"bf16-imitated": "f32"}.get(type, type)
