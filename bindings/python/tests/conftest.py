"""What the tests share: the fixtures of the repository, and its program."""

import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

import partstad

ROOT = Path(__file__).resolve().parents[3]
FOLDER = ROOT / "tests" / "fixtures" / "syn8k_d"
CLOUD = FOLDER / "pc.ply"
BOXES = FOLDER / "pred.json"
PARTS = ["arm", "back", "leg", "seat", "wheel"]
PROGRAM = Path(os.environ.get("PARTSTAD", ROOT / "target" / "debug" / "partstad"))


def program(*arguments):
    """What the program says with --json."""
    done = subprocess.run(
        [PROGRAM, *map(str, arguments), "--json"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="session")
def cloud():
    """Points, float64 [8000, 3], and colours, float32 [8000, 3]."""
    points, colors = partstad.read(CLOUD)
    for array in (points, colors):
        array.flags.writeable = False
    return points, colors


@pytest.fixture(scope="session")
def pipeline():
    """With the stand-in models and small views."""
    return partstad.Pipeline(views={"side": 400})


@pytest.fixture(scope="session")
def lifter():
    """Without models."""
    return partstad.Pipeline(None)


@pytest.fixture(scope="session")
def lifted(lifter, cloud):
    return lifter.lift(*cloud, PARTS, BOXES)


@pytest.fixture(scope="session")
def small():
    """A hundred points on a ball, as lists."""
    random = np.random.default_rng(1)
    points = random.normal(size=(100, 3))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    return points, random.uniform(size=(100, 3)).astype(np.float32)
