import json
import os
import pathlib
import subprocess
import sys

import pytest
import torch

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


@pytest.fixture
def check():
    """What `partstad models check` says of a folder."""
    program = pathlib.Path(os.environ["PARTSTAD"])
    assert program.is_file(), f"{program}: build partstad first (cargo build), or name it in PARTSTAD"

    def run(folder: pathlib.Path) -> dict:
        done = subprocess.run([program, "models", "check", folder, "--parts", "word5,word6", "--json"], capture_output=True, text=True)
        assert done.stdout, done.stderr
        return json.loads(done.stdout)

    return run
