"""tools/gpu/compare_sam.py on a CPU, with a tiny SAM."""

import pathlib
import sys

import pytest

import sam
from test_sam import tiny

sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "gpu"))
import compare_sam

ARGUMENTS = ["--device", "cpu", "--models", "vit_b", "--batches", "1", "3", "--runs", "1"]


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(sam, "build", lambda model: tiny(side=16))


def test_a_table_of_what_was_timed_and_agrees(capsys):
    compare_sam.main(ARGUMENTS)
    rows = [[cell.strip() for cell in line.strip("| ").split("|")] for line in capsys.readouterr().out.splitlines() if line.startswith("| vit_b")]
    assert [row[:3] for row in rows] == [["vit_b", p, n] for p in ("f32", "f16", "bf16") for n in ("1", "3")]
    for row in rows:
        assert min(map(float, row[3:6])) > 0 and 0 < float(row[6]) < compare_sam.TOLERANCE[row[1]]
    assert float(rows[2][6]) > 10 * float(rows[0][6]), "f16 was computed in f16"
    assert float(rows[4][6]) > 3 * float(rows[2][6]), "and bf16 was rounded to bf16"


def test_a_file_that_computes_something_else_is_refused(monkeypatch):
    """The f16 file of another SAM."""
    convert = compare_sam.half.convert

    def other(source, target, *type):
        sam.export(tiny(side=16), source.parent / "other")
        convert(source.parent / "other/sam_encoder.onnx", target, *type)

    monkeypatch.setattr(compare_sam.half, "convert", other)
    with pytest.raises(SystemExit, match="vit_b, f16: ONNX Runtime differs from PyTorch by more than 3.0e-02"):
        compare_sam.main(ARGUMENTS)
