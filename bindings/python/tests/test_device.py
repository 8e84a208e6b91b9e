"""A CUDA device: a GPU where there is one, else the emulated driver, which `PARTSTAD_EMULATED` names the folder of."""

import os
import subprocess
import sys

import numpy as np
import pytest
from conftest import BOXES, CLOUD, PARTS

import partstad

CHILD = f"""
import sys
import numpy as np
import partstad
points, colors = partstad.read({str(CLOUD)!r})
pipeline = partstad.Pipeline(device="cuda:0", model_options={{"provider": "cpu"}}, views={{"side": 200}})
assert pipeline.device == "cuda:0", pipeline
found = pipeline.segment(points, colors, {PARTS!r})
lifted = partstad.Pipeline(None, "cuda").lift(points[::2], colors[::2], {PARTS!r}, {str(BOXES)!r})
np.savez(sys.argv[1], labels=found.labels, scores=found.scores, box=found.boxes.box, images=found.views.images,
         masks=found.masks, lifted=lifted.labels, instances=lifted.instances, superpoints=lifted.superpoints)
"""


def test_a_device_gives_the_same_bits(cloud, tmp_path):
    emulated = os.environ.get("PARTSTAD_EMULATED")
    if not emulated:
        try:
            partstad.Pipeline(None, "cuda")
        except partstad.DeviceError as why:
            pytest.fail(f"neither a GPU nor the emulated driver, whose folder ./test names in PARTSTAD_EMULATED: {why}")
    environment = os.environ | ({"LD_LIBRARY_PATH": emulated} if emulated else {})
    done = subprocess.run(
        [sys.executable, "-c", CHILD, tmp_path / "out.npz"], env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    there = np.load(tmp_path / "out.npz")
    points, colors = cloud
    found = partstad.Pipeline(views={"side": 200}).segment(points, colors, PARTS)
    for name in ["labels", "scores", "masks"]:
        assert np.array_equal(there[name], getattr(found, name)), name
    assert np.array_equal(there["box"], found.boxes.box) and np.array_equal(there["images"], found.views.images)
    lifted = partstad.lift(points[::2], colors[::2], PARTS, BOXES)
    for name, array in [("lifted", lifted.labels), ("instances", lifted.instances), ("superpoints", lifted.superpoints)]:
        assert np.array_equal(there[name], array), name
