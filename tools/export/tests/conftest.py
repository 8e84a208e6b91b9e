import pathlib
import sys

import pytest
import torch

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)
