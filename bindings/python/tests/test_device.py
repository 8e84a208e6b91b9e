"""A CUDA device: a GPU where there is one, else the emulated driver, which `PARTSTAD_EMULATED` names the folder of."""

import os
import subprocess
import sys

import numpy as np
import pytest
from conftest import CLOUD, PARTS

import partstad

BOXES = [{"image_id": view, "category_id": 1, "bbox": [20, 10, 60, 50]} for view in range(10)]
CHILD = f"""
import ctypes
import sys
import numpy as np
import partstad
points, colors = (array[::8] for array in partstad.read({str(CLOUD)!r}))
pipeline = partstad.Pipeline(device="cuda:0", model_options={{"provider": "cpu"}}, views={{"side": 100}})
assert pipeline.device == "cuda:0", pipeline
found = pipeline.segment(points, colors, {PARTS!r})
lifter = partstad.Pipeline(None, "cuda", views={{"side": 100}})
lifted = lifter.lift(points, colors, {PARTS!r}, {BOXES})
lifter.trim()

cuda = ctypes.CDLL("libcuda.so.1")
def call(name, *arguments):
    assert getattr(cuda, name)(*arguments) == 0, name
context = ctypes.c_void_p()
call("cuDevicePrimaryCtxRetain", ctypes.byref(context), 0)
call("cuCtxSetCurrent", context)
class OnDevice:  # As those who know nothing but the interface have arrays on a device.
    def __init__(self, array):
        self.at = ctypes.c_uint64()
        call("cuMemAlloc_v2", ctypes.byref(self.at), ctypes.c_size_t(array.nbytes))
        call("cuMemcpyHtoD_v2", self.at, ctypes.c_void_p(array.ctypes.data), ctypes.c_size_t(array.nbytes))
        self.__cuda_array_interface__ = {{
            "shape": array.shape, "typestr": array.dtype.str, "data": (self.at.value, False), "version": 3, "strides": None
        }}
there = OnDevice(points.astype(np.float32)), OnDevice(np.rint(colors * 255).astype(np.uint8))
masks = OnDevice(np.ones((1, 100, 100), np.uint8))
superpoints = lifter.superpoints(*there)
one = lifter.lift(*there, ["a"], partstad.Boxes([0], [0], [[0, 0, 99, 99]]), masks)
assert one.masks.all()
try:
    partstad.superpoints(*there)
except partstad.InvalidError as why:
    assert "the pipeline computes on cpu" in str(why), why
there[0].__cuda_array_interface__["strides"] = (4, 4, 4)
try:
    lifter.superpoints(*there)
except partstad.InvalidError as why:
    assert "not contiguous" in str(why), why
for array in (*there, masks):
    call("cuMemFree_v2", array.at)
np.savez(sys.argv[1], there=superpoints, labels=found.labels, scores=found.scores, box=found.boxes.box, images=found.views.images,
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
    points, colors = (array[::8] for array in cloud)
    found = partstad.Pipeline(views={"side": 100}).segment(points, colors, PARTS)
    for name in ["labels", "scores", "masks"]:
        assert np.array_equal(there[name], getattr(found, name)), name
    assert np.array_equal(there["box"], found.boxes.box) and np.array_equal(there["images"], found.views.images)
    whole = partstad.superpoints(points.astype(np.float32), np.rint(colors * 255).astype(np.uint8))
    assert np.array_equal(there["there"], whole)
    lifted = partstad.lift(points, colors, PARTS, BOXES, views={"side": 100})
    assert (lifted.labels >= 0).any()
    for name, array in [("lifted", lifted.labels), ("instances", lifted.instances), ("superpoints", lifted.superpoints)]:
        assert np.array_equal(there[name], array), name
