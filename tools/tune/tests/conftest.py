import os
import pathlib
import sys

import numpy as np
import pytest
import torch

TOOLS = pathlib.Path(__file__).parents[2]
# After tools/export: its tests run in the same process, and tools/train has an export.py too.
sys.path += [str(TOOLS / name) for name in ("export", "export/tests", "train", "tune") if str(TOOLS / name) not in sys.path]


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def partstad():
    program = pathlib.Path(os.environ["PARTSTAD"])
    assert program.is_file(), f"{program}: build partstad first (cargo build), or name it in PARTSTAD"
    return str(program)


@pytest.fixture(scope="session")
def table(tmp_path_factory):
    """A data set in PartNet-Ensembled's layout: one table, its legs and its board."""
    data = tmp_path_factory.mktemp("clouds")
    import scene

    folder = data / "train/Table/1"
    folder.mkdir(parents=True)
    (data / "PartNetE_meta.json").write_text('{"Table": ["leg", "tabletop"]}')
    position, colour, part, instance = scene.points(np.random.default_rng(0))
    scene.save_ply(folder / "pc.ply", position, colour)
    np.save(folder / "label.npy", {"semantic_seg": part, "instance_seg": instance}, allow_pickle=True)
    return data
