"""The tiny models of the Rust tests in half precision."""

import json
import pathlib
import shutil

import onnx

import half

TINY = pathlib.Path(__file__).parents[3] / "tests/fixtures/models"


def test_images_go_in_as_f16_and_all_comes_out_as_f32(tmp_path, check):
    half.convert_folder(TINY, tmp_path)
    for file in ("grounding_detector.onnx", "sam_encoder.onnx", "sam_decoder.onnx"):
        graph = onnx.load(tmp_path / file).graph
        types = {port.name: port.type.tensor_type.elem_type for port in [*graph.input, *graph.output]}
        for name, element in types.items():
            integers = name in ("text_mask", "image_index")
            assert element == (onnx.TensorProto.FLOAT16 if name == "image" else onnx.TensorProto.INT64 if integers else onnx.TensorProto.FLOAT)
        assert any(weight.data_type == onnx.TensorProto.FLOAT16 for weight in graph.initializer)
        assert 0 < half.difference(TINY / file, tmp_path / file) < 2e-3
    assert (tmp_path / "text_encoder.onnx").read_bytes() == (TINY / "text_encoder.onnx").read_bytes()
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert manifest["stand_in"] and manifest["detector"] == json.loads((TINY / "manifest.json").read_text())["detector"]
    assert check(tmp_path)["problems"] == []


def test_a_folder_without_segmenter(tmp_path):
    source = tmp_path / "source"
    shutil.copytree(TINY, source)
    manifest = json.loads((source / "manifest.json").read_text())
    del manifest["segmenter"]
    manifest["files"] = {name: sum for name, sum in manifest["files"].items() if not name.startswith("sam")}
    (source / "manifest.json").write_text(json.dumps(manifest))
    half.convert_folder(source, tmp_path / "half")
    assert {path.name for path in (tmp_path / "half").iterdir()} == {*manifest["files"], "manifest.json"}
