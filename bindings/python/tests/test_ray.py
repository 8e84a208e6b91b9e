"""Ray Data on a cluster of this machine."""

import json
import os
import signal
import threading
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
from conftest import CLOUD, PARTS

import partstad
import partstad.ray

ray = pytest.importorskip("ray")
OPTIONS = {"parts": PARTS, "views": {"side": 100}}


@pytest.fixture(scope="module")
def cluster():
    """Of this machine; its workers find this file."""
    os.environ["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    # Ray kills workers where others have filled the memory.
    os.environ["RAY_memory_monitor_refresh_ms"] = "0"
    # No other cluster, if the environment names one.
    ray.init("local", num_cpus=2, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


@pytest.fixture(scope="module")
def shapes(cloud):
    """Three shapes of different lengths, by id."""
    points, colors = cloud
    return {f"shape-{i}": (points[i::8], colors[i::8]) for i in range(2)} | {"short": (points[::16], colors[::16])}


@pytest.fixture(scope="module")
def usual(shapes):
    pipeline = partstad.Pipeline(views={"side": 100})
    return {id: pipeline.segment(*shape, PARTS) for id, shape in shapes.items()}


def table(shapes, nested=False):
    def column(arrays):
        if nested:
            return pa.array([array.tolist() for array in arrays], pa.list_(pa.list_(pa.float64(), 3)))
        return pa.array([array.ravel() for array in arrays])

    points, colors = zip(*shapes.values())
    return pa.table({"id": list(shapes), "points": column(points), "colors": column(colors)})


def check(found, usual):
    assert found["error"].null_count == len(found) == len(usual)
    assert found.schema.field("labels").type == pa.list_(pa.int32())
    for row in found.to_pylist():
        whole = usual[row["id"]]
        assert row["labels"] == whole.labels.tolist() and row["instances"] == whole.instances.tolist()
        assert row["rows"] == len(whole) and row["boxes"] == len(whole.boxes) and row["seconds"] > 0


def test_batches_of_every_form(shapes, usual):
    points, colors = (list(arrays) for arrays in zip(*shapes.values()))
    ragged = {"id": np.array(list(shapes)), "points": np.empty(3, object), "colors": np.empty(3, object)}
    ragged["points"][:], ragged["colors"][:] = points, colors
    lists = {"id": ragged["id"], "points": np.empty(3, object), "colors": np.empty(3, object)}
    for name, arrays in [("points", points), ("colors", colors)]:
        for i, array in enumerate(arrays):
            lists[name][i] = np.empty(len(array), object)
            lists[name][i][:] = list(array)
    sliced = pa.concat_tables([table(shapes), table(shapes)]).slice(3, 3)
    for batch in [table(shapes), table(shapes, nested=True), sliced, ragged, lists]:
        taken = [(points(), colors()) for points, colors in partstad.ray._shapes(batch)]
        for (points_in, colors_in), (points_of, colors_of) in zip(taken, shapes.values(), strict=True):
            assert np.array_equal(points_in, points_of) and np.array_equal(colors_in, colors_of)
    even = {"id": ["a", "b"], "points": np.stack([points[0]] * 2), "colors": np.stack([colors[0]] * 2)}
    assert np.array_equal(partstad.ray._shapes(even)[1][0](), points[0])
    segment = partstad.ray.Segment(**OPTIONS, superpoints=True)
    found = segment(table(shapes))
    check(found, usual)
    assert found["superpoints"][0].as_py() == usual["shape-0"].superpoints.tolist()
    check(segment(ragged | {"id": ["shape-0", "shape-1", "short"]}), usual)


def test_errors_are_a_column(shapes, tmp_path):
    segment = partstad.ray.Segment(**OPTIONS)
    paths = {"id": [1, 2], "path": [str(CLOUD), str(tmp_path / "none.ply")]}
    found = segment(pa.table(paths))
    assert found["error"].to_pylist()[0] is None and "none.ply" in found["error"][1].as_py()
    assert found["labels"].null_count == 1 and found["rows"].to_pylist() == [8000, None]
    broken = pa.table(
        {
            "id": ["empty", "odd", "none", "nan"],
            "points": pa.array([[], [1.0, 2.0], None, [float("nan")] * 3]),
            "colors": pa.array([[], [0.5] * 3, None, [0.5] * 3]),
        }
    )
    found = segment(broken)
    assert found["error"].null_count == 0 and found["labels"].null_count == 4
    assert "no points" in found["error"][0].as_py() and "shape [2]" in found["error"][1].as_py()
    assert "finite" in found["error"][3].as_py()
    nameless = pa.table({"id": [None, "a"], "path": [str(CLOUD), None]}, pa.schema([("id", pa.string()), ("path", pa.string())]))
    out = tmp_path / "out"
    found = partstad.ray.Segment(**OPTIONS, out=out)(nameless)
    assert [error.split(";")[0] for error in found["error"].to_pylist()] == ["id: null", "path: null"]
    assert len(list(out.rglob("*.parquet"))) == 1


def test_a_file_without_bytes_is_no_result(tmp_path):
    segment = partstad.ray.Segment(**OPTIONS, out=tmp_path)
    batch = pa.table({"id": ["a"], "path": [str(CLOUD)]})
    assert len(segment(batch)) == 1 and len(segment(batch)) == 0
    [file] = tmp_path.rglob("*.parquet")
    file.write_bytes(b"")
    assert partstad.ray.retry(tmp_path) == 1 and len(segment(batch)) == 1
    file.write_bytes(b"")
    assert len(segment(batch)) == 1 and file.stat().st_size > 0


def test_a_folder_holds_results_of_one_choice(tmp_path):
    partstad.ray.Segment(out=tmp_path / "out", **OPTIONS)
    partstad.ray.Segment(out=tmp_path / "out", **OPTIONS)
    for same in ({"parts": ",".join(PARTS).upper()}, {"memory": 10**12}, {"boxes": {"batch": 1}}):
        partstad.ray.Segment(out=tmp_path / "out", **(OPTIONS | same))
    others = {
        "parts": {"parts": PARTS[:2]},
        "options": {"views": {"side": 101}},
        "arrays": {"superpoints": True},
        "models": {"models": None},
    }
    for what, other in others.items():
        with pytest.raises(partstad.InvalidError, match=f"holds results of other {what};"):
            partstad.ray.Segment(out=tmp_path / "out", **(OPTIONS | other))
    for parts in ([], ["leg", "Leg"], ["leg", 3], 5):
        with pytest.raises(partstad.InvalidError):
            partstad.ray.Segment(parts=parts, out=tmp_path / "none")
    assert not (tmp_path / "none").exists()


def write_weights(path, null):
    """Learned weights of features of one channel, all 0 but null."""
    channels = 148
    shapes = {"weight_in": [channels] * 2, "bias_in": [channels], "weight_out": [channels], "bias_out": [1], "null_weight": [1]}
    note = {"weights": 2, "basis": "constant", "parts": PARTS, "epoch": 1, "val_miou": 0.0}
    header, end = {"__metadata__": {"partstad": json.dumps(note)}}, 0
    for name, shape in shapes.items():
        begin, end = end, end + 4 * int(np.prod(shape))
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    values = np.append(np.zeros(end // 4 - 1, np.float32), np.float32(null))
    path.write_bytes(len(text).to_bytes(8, "little") + text + values.tobytes())


def test_other_weights_in_the_same_file_are_others(tmp_path):
    network = tmp_path / "weights.safetensors"
    options = OPTIONS | {"models": None, "network": network, "out": tmp_path / "out"}
    write_weights(network, 5)
    partstad.ray.Segment(**options)
    partstad.ray.Segment(**(options | {"network": os.path.relpath(network)}))
    write_weights(network, 6)
    with pytest.raises(partstad.InvalidError, match="other network;"):
        partstad.ray.Segment(**options)


def test_batches_without_what_is_needed(tmp_path):
    segment = partstad.ray.Segment(**OPTIONS)
    for batch, message in (({"path": ["a"]}, "give id"), ({"id": ["a"]}, "give path, or points")):
        with pytest.raises(partstad.InvalidError, match=message):
            segment(pa.table(batch))


def noted(log):
    return [json.loads(line) for line in log.read_text().splitlines()]


class Watched(partstad.ray.Segment):
    """Writes down which process works on which shape."""

    def __init__(self, log, **options):
        super().__init__(**options)
        self.log = Path(log)
        self.patience = time.monotonic() + 120

    def __call__(self, batch):
        with self.log.open("a") as file:
            file.write(json.dumps({"process": os.getpid(), "ids": batch["id"].to_pylist()}) + "\n")
        # So that one does not do all before the other has started.
        while time.monotonic() < self.patience and len({line["process"] for line in noted(self.log)}) < 2:
            time.sleep(0.05)
        time.sleep(0.3)
        return super().__call__(batch)


def test_a_worker_that_is_killed_loses_and_doubles_nothing(cluster, shapes, usual, tmp_path):
    log, out, killed = tmp_path / "log", tmp_path / "out", []
    ids = [f"{name}-{i}" for i in range(4) for name in shapes]
    whole = pa.table(
        {
            "id": ids,
            "points": pa.array([shapes[id.rsplit("-", 1)[0]][0].ravel() for id in ids]),
            "colors": pa.array([shapes[id.rsplit("-", 1)[0]][1].ravel() for id in ids]),
        }
    )
    (tmp_path / "in").mkdir()
    for i in range(0, len(ids), 3):
        parquet.write_table(whole.slice(i, 3), tmp_path / "in" / f"{i}.parquet")

    def kill():
        while not killed:
            time.sleep(0.05)
            lines = noted(log) if log.exists() else []
            processes = [line["process"] for line in lines]
            if len(set(processes)) >= 2 and len(lines) >= 5:
                os.kill(processes[-1], signal.SIGKILL)
                killed.append(processes[-1])

    killer = threading.Thread(target=kill, daemon=True)
    killer.start()
    found = ray.data.read_parquet(str(tmp_path / "in")).repartition(6).map_batches(
        Watched,
        fn_constructor_kwargs={"log": str(log), "out": str(out), **OPTIONS},
        batch_format="pyarrow",
        batch_size=1,
        num_cpus=0.5,
        compute=ray.data.ActorPoolStrategy(size=2),
    )
    told = found.take_all()
    killer.join(timeout=1)
    lines = noted(log)
    begun = [line["ids"][0] for line in lines]
    assert killed and len({line["process"] for line in lines}) >= 2
    # What the dead worker had begun was begun again.
    assert len(begun) > len(set(begun)) == len(ids)
    written = ray.data.read_parquet(str(out)).take_all()
    assert sorted(row["id"] for row in written) == sorted(ids)
    assert {row["id"] for row in told} <= set(ids) and all(row["error"] is None for row in told + written)
    for row in written:
        assert list(row["labels"]) == usual[row["id"].rsplit("-", 1)[0]].labels.tolist()


def test_a_job_goes_on_where_it_stopped(cluster, tmp_path):
    out = tmp_path / "out"
    missing = tmp_path / "b.ply"
    items = [{"id": 1, "path": str(CLOUD)}, {"id": 2, "path": str(missing)}, {"id": 3, "path": str(CLOUD)}]

    def job(items):
        done = ray.data.from_items(items).map_batches(
            partstad.ray.Segment,
            fn_constructor_kwargs={"out": str(out), **OPTIONS},
            batch_format="pyarrow",
            num_cpus=0.5,
            compute=ray.data.ActorPoolStrategy(size=1),
        )
        return {row["id"]: row["error"] for row in done.take_all()}

    missing_error = job(items[:2])
    assert missing_error.pop(1) is None and "b.ply" in missing_error.pop(2) and not missing_error
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*.parquet")}
    assert job(items) == {3: None}
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert job(items) == {}
    assert partstad.ray.retry(out) == 1
    missing.write_bytes(CLOUD.read_bytes())
    # What a killed writer leaves is no result.
    next(path for path in out.iterdir() if path.is_dir()).joinpath(".leftover").write_bytes(b"half")
    assert job(items) == {2: None}
    rows = ray.data.read_parquet(str(out)).take_all()
    assert sorted(row["id"] for row in rows) == [1, 2, 3] and all(row["error"] is None for row in rows)
