"""What happens around a call: progress, Ctrl-C, threads, processes."""

import gc
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import textwrap
import threading
import time
import weakref

import numpy as np
import pytest
from conftest import BOXES, CLOUD, PARTS

import partstad


def test_an_observer_hears_of_every_stage(pipeline, cloud):
    told = []
    found = pipeline.segment(*cloud, PARTS, observer=told.append)
    assert told == list(found.seconds) and told[:4] == ["superpoints", "views", "boxes", "masks"]
    assert all(seconds >= 0 for seconds in found.seconds.values())


def test_an_observer_stops_a_call(lifter, cloud):
    class Enough(Exception):
        pass

    def observer(stage):
        if stage == "views":
            raise Enough

    with pytest.raises(Enough):
        lifter.lift(*cloud, PARTS, BOXES, observer=observer)
    # The next call is whole.
    assert len(lifter.lift(*cloud, PARTS, BOXES)) == len(cloud[0])
    with pytest.raises(TypeError):
        lifter.lift(*cloud, PARTS, BOXES, observer=5)


SEGMENTING = f"""
import signal
import numpy as np
import partstad
# Who runs the tests may ignore it.
signal.signal(signal.SIGINT, signal.default_int_handler)
points, colors = partstad.read({str(CLOUD)!r})
random = np.random.default_rng(1)
# A call of seconds, and with large discs the views alone.
points = np.concatenate([points + random.normal(scale=0.002, size=points.shape) for _ in range(60)])
colors = np.concatenate([colors] * 60)
pipeline = partstad.Pipeline(None, views={{"radius": 0.02}})
def observer(stage):
    print(stage, flush=True)
try:
    pipeline.lift(points, colors, {PARTS!r}, {str(BOXES)!r}, observer=observer)
    print("whole")
except KeyboardInterrupt:
    print("stopped", flush=True)
    raise
"""


@pytest.mark.parametrize("stage", ["superpoints", "views"])
def test_ctrl_c_stops_a_call(stage):
    child = subprocess.Popen(
        [sys.executable, "-c", SEGMENTING], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    for line in child.stdout:
        if line.strip() == stage:
            break
    time.sleep(0.1)
    child.send_signal(signal.SIGINT)
    out, error = child.communicate(timeout=300)
    # A busy machine may begin a further stage before the signal comes.
    assert "stopped" in out and "whole" not in out, (out, error)
    assert "KeyboardInterrupt" in error and "panicked" not in error
    assert child.returncode == -signal.SIGINT


def test_other_threads_run_meanwhile(lifter, cloud):
    ticks, done = [], threading.Event()

    def count():
        while not done.is_set():
            ticks.append(time.monotonic())
            time.sleep(0.001)

    thread = threading.Thread(target=count)
    thread.start()
    start = time.monotonic()
    lifter.lift(*cloud, PARTS, BOXES)
    end = time.monotonic()
    done.set()
    thread.join()
    during = [tick for tick in ticks if start < tick < end]
    assert len(during) > 10


def test_threads_share_a_pipeline_or_have_their_own(pipeline, cloud):
    usual = pipeline.segment(*cloud, PARTS)
    own = [partstad.Pipeline(views={"side": 400}, threads=1) for _ in range(2)]
    assert own[0].segment(*cloud, PARTS).summary()["parameters"]["threads"] == 1
    results = []

    def segment(pipeline):
        results.append(pipeline.segment(*cloud, PARTS))

    threads = [threading.Thread(target=segment, args=(p,)) for p in (pipeline, pipeline, *own)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 4
    for found in results:
        assert np.array_equal(found.labels, usual.labels) and np.array_equal(found.scores, usual.scores)


def test_input_may_change_while_it_is_segmented(lifter, cloud):
    points, colors = (array.copy() for array in cloud)
    usual = lifter.superpoints(*cloud)

    def observer(stage):
        points[:] = 0

    found = lifter.lift(points, colors, PARTS, BOXES, observer=observer)
    assert np.array_equal(found.superpoints, usual) and not points.any()


def test_a_pipeline_is_pickled_with_all_it_was_made_with(cloud, tmp_path, monkeypatch):
    made = partstad.Pipeline(
        "small", "cpu", model_options={"threads": 1}, threads=1, views={"side": 300}, boxes={"threshold": 0.4}
    )
    again = pickle.loads(pickle.dumps(made))
    assert again.options == made.options and again.models == made.models and again.device == "cpu"
    assert again.models["options"]["threads"] == 1
    assert np.array_equal(again.segment(*cloud, PARTS).labels, made.segment(*cloud, PARTS).labels)
    without = pickle.loads(pickle.dumps(partstad.Pipeline(None)))
    assert without.models is None
    error = pickle.loads(pickle.dumps(partstad.InvalidError("words")))
    assert str(error) == "words" and isinstance(error, ValueError)
    with pytest.raises(TypeError, match="pickle"):
        pickle.dumps(made.lift(*cloud, PARTS, []))
    boxes = pickle.loads(pickle.dumps(made.segment(*cloud, PARTS).boxes))
    assert isinstance(boxes, partstad.Boxes) and len(boxes.box) == len(boxes)


def segmented(cloud):
    return partstad.Pipeline(None).superpoints(*cloud)


def test_processes_are_spawned(cloud):
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        for found in pool.map(segmented, [cloud, cloud]):
            assert np.array_equal(found, segmented(cloud))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_fork_of_a_process_that_computed_says_so(pipeline, cloud):
    pipeline.superpoints(*cloud)
    gone = partstad.Pipeline(threads=1)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            del gone
            gc.collect()
            try:
                pipeline.superpoints(*cloud)
            except partstad.Error as error:
                os.write(writer, str(error).encode())
        finally:
            os._exit(0)
    os.close(writer)
    deadline = time.monotonic() + 30
    while os.waitpid(child, os.WNOHANG) == (0, 0):
        if time.monotonic() > deadline:
            os.kill(child, signal.SIGKILL)
            pytest.fail("the fork hangs")
        time.sleep(0.05)
    assert b"was forked" in os.read(reader, 4096)
    del gone


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_fork_before_the_first_call_computes():
    code = f"""
        import os, partstad
        points = [[0, 0, 0], [1, 0, 0], [0, 1, 0]]
        child = os.fork()
        found = partstad.superpoints(points, [[0.5] * 3] * 3)
        if child == 0:
            os._exit(0 if len(found) == 3 else 3)
        assert os.waitpid(child, 0)[1] == 0
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True, timeout=60)


def test_subinterpreters_are_refused():
    code = """
        try:
            import _interpreters
        except ImportError:
            import _xxsubinterpreters as _interpreters
        import partstad
        failed = None
        interpreter = _interpreters.create()
        try:
            failed = _interpreters.run_string(interpreter, "import partstad._partstad")
        except Exception as error:
            failed = error
        assert failed is not None
        print("refused", failed)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and "refused" in done.stdout, done.stderr


def test_nothing_leaks(lifter, small):
    points, colors = (array.copy() for array in small)
    ends = weakref.ref(points)
    found = lifter.lift(points, colors, ["a"], [])
    del points
    gc.collect()
    assert ends() is None
    labels = found.labels
    del found
    gc.collect()
    assert (labels == -1).all()


def test_calls_are_shown_by_their_words(pipeline, lifter, lifted):
    assert repr(lifter) == 'Pipeline(models=None, device="cpu")'
    assert repr(pipeline).startswith('Pipeline(models="')
    assert repr(lifted).startswith("Segmentation(8000 points, 151 boxes in 10 views")
    assert repr(lifted.boxes) == "Boxes(151 boxes)" and repr(lifted.views) == "Views(10 views of 800 x 800 pixels)"
    assert lifted.parts == PARTS
    assert "leg" in pipeline.models["known_parts"] and pipeline.models["stand_in"]
    assert partstad.__version__.count(".") == 2
    for public in partstad.__all__:
        assert getattr(partstad, public).__doc__, public
