"""Few-shot checkpoints, the command line and large files."""

import json

import pytest
import torch
from safetensors import safe_open
from torch import nn

import graph
import manifest
import offset
from checkpoint import Refused, read
from export import main


@pytest.fixture
def base(tmp_path):
    """A base checkpoint as GLIP's repository writes it, and a folder that it was exported to."""
    state = {"rpn.head.bias0": torch.randn(1), "backbone.fpn.fpn_inner2.weight": torch.randn(4, 3)}
    torch.save({"model": {f"module.{name}": tensor for name, tensor in state.items()}, "iteration": 3}, tmp_path / "base.pth")
    manifest.update(tmp_path, "detector", {"kind": "atss", "text": {"separator": " . "}})
    return state


def few_shot(path, state):
    torch.save({"model": state}, path)
    return path


def call(tmp_path, checkpoint, *extra):
    return main(["offset", str(checkpoint), "--base", str(tmp_path / "base.pth"), "--parts", "arm, leg", "-o", str(tmp_path), *extra])


def test_an_offset_comes_back_with_its_caption(tmp_path, base):
    weight = torch.randn(1000, 8)
    assert call(tmp_path, few_shot(tmp_path / "Chair.pth", base | {offset.KEY: weight})) == 0
    with safe_open(tmp_path / "offset-Chair.safetensors", "pt") as file:
        assert file.metadata() == {"caption": "arm . leg . "}
        assert torch.equal(file.get_tensor("text_offset"), weight[:256])
    found = manifest.read(tmp_path)
    assert found["detector"]["text"] == {"separator": " . ", "offsets": {"arm . leg . ": "offset-Chair.safetensors"}}
    assert found["files"] == {"offset-Chair.safetensors": manifest.sha256(tmp_path / "offset-Chair.safetensors")}


def test_more_than_an_offset_is_refused(tmp_path, base, capsys):
    learned = base | {offset.KEY: torch.randn(1000, 8)}
    changed = learned["rpn.head.bias0"].clone().view(torch.int32) + 1
    cases = [
        (learned | {"rpn.head.bias0": changed.view(torch.float32)}, "rpn.head.bias0 differs from the base"),
        (learned | {"rpn.head.extra": torch.zeros(1)}, "rpn.head.extra is only in the few-shot checkpoint"),
        ({k: v for k, v in learned.items() if k != "rpn.head.bias0"}, "rpn.head.bias0 is only in the base checkpoint"),
        (base, "there is no learned offset"),
        (base | {offset.KEY: torch.zeros(1000, 8)}, "there is no learned offset"),
    ]
    for state, message in cases:
        assert call(tmp_path, few_shot(tmp_path / "Chair.pth", state)) == 1
        assert message in capsys.readouterr().err
    assert not (tmp_path / "offset-Chair.safetensors").exists()


def test_what_glip_says_of_offsets(tmp_path, base, capsys):
    arguments = ["--size", "glip-t", "--vocabulary", "vocab.txt", "-o", str(tmp_path)]
    assert main(["glip", str(few_shot(tmp_path / "Chair.pth", base | {offset.KEY: torch.randn(1000, 8)})), *arguments]) == 1
    assert "name the parts of the caption" in capsys.readouterr().err
    assert main(["glip", str(tmp_path / "base.pth"), *arguments, "--parts", "arm"]) == 1
    assert "this checkpoint has none (rpn.tunable_linear.weight)" in capsys.readouterr().err
    with pytest.raises(Refused, match="holds no detector; export the base there first"):
        offset.write(torch.zeros(256, 8), ["arm"], "Chair", tmp_path / "elsewhere")


def test_files_that_are_no_checkpoints(tmp_path):
    def message(name, content=None):
        if content is not None:
            (tmp_path / name).write_bytes(content)
        with pytest.raises(Refused) as refused:
            read(tmp_path / name)
        return str(refused.value)

    assert "there is no such file" in message("missing.pth")
    for name in ("text.pth", "text.safetensors"):
        assert f"{name}: not a file of tensors alone" in message(name, b"weights")
    torch.save({"model": {}}, tmp_path / "empty.pth")
    assert "holds no tensors" in message("empty.pth")


def test_large_models_keep_their_weights_beside(tmp_path, monkeypatch):
    def export():
        graph.export(nn.Linear(64, 64), tmp_path / "model.onnx", {"x": torch.randn(2, 64)}, {"y": (None, 64)}, {"x": {0: "N"}},
                     [{"x": torch.randn(1, 64)}], 1e-5)
        manifest.update(tmp_path, "segmenter", {"encoder": "model.onnx"})
        return json.loads((tmp_path / "manifest.json").read_text())["files"]

    monkeypatch.setattr(graph, "LARGEST_FILE", 1000)
    files = export()
    assert set(files) == {"model.onnx", "model.onnx.data"}
    assert (tmp_path / "model.onnx").stat().st_size < 64 * 64 * 4 <= (tmp_path / "model.onnx.data").stat().st_size
    monkeypatch.undo()
    assert set(export()) == {"model.onnx"}, "the file of another export would be loaded in its place"


def test_a_file_that_computes_something_else_is_refused(tmp_path):
    class Noise(nn.Module):
        def forward(self, x):
            return x if torch.compiler.is_compiling() else x + 1e-3

    with pytest.raises(RuntimeError, match="ONNX Runtime differs from PyTorch by 1.0e-03"):
        graph.export(Noise(), tmp_path / "model.onnx", {"x": torch.ones(2)}, {"y": (None,)}, {"x": {0: "N"}}, [], 1e-4)
