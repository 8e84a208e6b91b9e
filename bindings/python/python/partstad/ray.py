"""Many clouds on many machines: a class for `map_batches` of Ray Data, and a writer that takes each shape once.

    import partstad.ray, ray

    shapes = ray.data.from_items([{"id": path.stem, "path": str(path)} for path in paths])
    left = partstad.ray.remaining(shapes, "out")
    found = left.map_batches(
        partstad.ray.Segment,
        fn_constructor_kwargs={"parts": ["leg", "seat"]},
        batch_format="pyarrow", batch_size=1, num_cpus=1, compute=ray.data.ActorPoolStrategy(size=2),
    )
    partstad.ray.write(found, "out")
    ray.data.read_parquet("out")

Only `remaining` and `write` need Ray itself; `Segment` needs pyarrow alone.
"""

from __future__ import annotations

import hashlib
import os
import time
import uuid
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Optional, Union

import numpy as np
import pyarrow as pa
import pyarrow.fs
import pyarrow.parquet
from numpy.typing import NDArray

from . import Pipeline

if TYPE_CHECKING:
    from ray.data import Dataset

__all__ = ["Segment", "remaining", "retry", "write"]

Batch = Union[pa.Table, dict[str, Any]]


class Segment:
    """Segments the shapes of a batch. An actor makes it once, with its models.

    A batch, in the format `pyarrow` (the fastest) or `numpy`, has these columns:

    - `id`: what names a shape, text or an integer; each once.
    - `path`: a cloud or a mesh, which the actor reads. Or instead:
    - `points`, `colors`: lists of numbers a shape, x y z and red green blue of its N points one after the other, `[3 N]`,
      or lists of three, `[N, 3]`. Units as in `Pipeline.segment`.

    What it returns is a `pyarrow.Table` with a row a shape:

    - `id`: as it came.
    - `labels`, `instances`: list of int32 `[N]`, -1 = none; null after an error.
    - `superpoints`: the same, if `superpoints=True`.
    - `rows`: N, int64. `boxes`: how many were found, int64. `seconds`: of the call, float64.
    - `warnings`: list of strings. `error`: why there is no result, else null.

    `parts` and `options` are those of `Pipeline`. `device`: None takes the GPU that Ray gave the actor, if it did, else the
    CPU. `threads`: 0 takes as many as the CPUs that Ray gave it.
    """

    def __init__(
        self,
        parts: Union[str, Sequence[str]],
        models: Any = "small",
        device: Optional[str] = None,
        *,
        superpoints: bool = False,
        threads: int = 0,
        **options: Any,
    ) -> None:
        cpus, gpus = _assigned()
        self.parts = parts
        self.arrays = ("labels", "instances", *(["superpoints"] if superpoints else []))
        self.pipeline = Pipeline(
            models, device or ("cuda" if gpus else "cpu"), threads=threads or cpus, **options
        )

    def __call__(self, batch: Batch) -> pa.Table:
        ids = batch["id"]
        shapes = _shapes(batch)
        rows: dict[str, list[Any]] = {
            name: [] for name in (*self.arrays, "rows", "boxes", "seconds", "warnings", "error")
        }
        for points, colors in shapes:
            for name, value in self._row(points, colors).items():
                rows[name].append(value)
        lists = pa.list_(pa.int32())
        types = {"rows": pa.int64(), "boxes": pa.int64(), "seconds": pa.float64(), "error": pa.string()}
        columns = {"id": ids if isinstance(ids, pa.ChunkedArray) else pa.array(ids)}
        for name, values in rows.items():
            kind = pa.list_(pa.string()) if name == "warnings" else types.get(name, lists)
            columns[name] = pa.array(values, kind)
        return pa.table(columns)

    def _row(self, points: Any, colors: Any) -> dict[str, Any]:
        start = time.perf_counter()
        row: dict[str, Any] = dict.fromkeys((*self.arrays, "rows", "boxes", "error"))
        row["warnings"] = []
        try:
            found = self.pipeline.segment(points(), colors and colors(), self.parts)
            row.update({name: getattr(found, name) for name in self.arrays})
            row.update(rows=len(found), boxes=len(found.boxes), warnings=found.warnings)
        except Exception as error:
            # One shape that fails stops no other.
            row["error"] = str(error) or repr(error)
        row["seconds"] = time.perf_counter() - start
        return row


def _assigned() -> tuple[int, float]:
    """The CPUs and GPUs that Ray gave this actor; outside of Ray all cores and none."""
    try:
        import ray
    except ImportError:
        return 0, 0
    if not ray.is_initialized():
        return 0, 0
    context: Any = ray.get_runtime_context()
    assigned = context.get_assigned_resources()
    return max(1, int(assigned.get("CPU", 1))), assigned.get("GPU", 0)


def _shapes(batch: Batch) -> Any:
    """What makes the points, and the colours, of each row of a batch; it is called where its error counts for the row."""
    names = batch.column_names if isinstance(batch, pa.Table) else list(batch)
    count = len(batch["id"])
    if "path" in names:
        paths = batch["path"]
        return [(lambda i=i: str(paths[i]), None) for i in range(count)]
    points = batch["points"]
    colors = batch["colors"] if "colors" in names else None
    return [
        (lambda i=i: _triples(points[i]), colors is not None and (lambda i=i: _triples(colors[i])))
        for i in range(count)
    ]


def _triples(value: Any) -> NDArray[Any]:
    """Numbers of three, `[N, 3]`, of an entry of a column."""
    if isinstance(value, pa.Scalar):
        if isinstance(value, pa.ExtensionScalar):
            value = value.as_py()
        else:
            values = value.values
            while values is not None and not pa.types.is_primitive(values.type):
                values = values.flatten()
            value = np.empty(0) if values is None else values.to_numpy(zero_copy_only=False)
    array = np.asarray(value)
    if array.dtype == object:
        array = np.stack([np.asarray(row) for row in array]) if len(array) else np.empty((0, 3))
    if array.ndim == 1 and len(array) % 3 == 0:
        return array.reshape(-1, 3)
    return array


def _name(id: Any) -> str:
    """The file of a shape within a folder of results, which its id alone decides."""
    digest = hashlib.sha256(str(id).encode("utf-8", "surrogatepass")).hexdigest()
    return f"{digest[:2]}/{digest[:40]}.parquet"


def _place(folder: Any) -> tuple[Any, str]:
    """A file system, and the path of a folder in it."""
    if "://" in str(folder):
        system, root = pa.fs.FileSystem.from_uri(str(folder))
        return system, root
    return pa.fs.LocalFileSystem(), os.path.abspath(folder)


def _written(folder: Any) -> set[str]:
    system, root = _place(folder)
    selector = pa.fs.FileSelector(root, recursive=True, allow_not_found=True)
    found = [info.path for info in system.get_file_info(selector) if info.type == pa.fs.FileType.File]
    return {"/".join(path.split("/")[-2:]) for path in found if path.endswith(".parquet")}


def remaining(shapes: Dataset, folder: Any, *, rows: int = 4) -> Dataset:
    """The shapes whose results `write` has not put into a folder yet, told by their ids.

    Shapes that failed count as done; see `retry`. `rows`: shapes of a block, at most. A block is what one actor takes, and
    what is lost if it dies; Ray's own blocks may hold all shapes there are.
    """
    done = _written(folder)

    def is_left(batch: pa.Table) -> pa.Table:
        return batch.filter(pa.array([_name(id) not in done for id in batch["id"].to_pylist()], pa.bool_()))

    left: Any = shapes.map_batches(is_left, batch_format="pyarrow")
    blocks: Dataset = left.repartition(target_num_rows_per_block=rows)
    return blocks


def write(found: Dataset, folder: Any) -> dict[str, int]:
    """Computes and writes: a Parquet file a shape, whose name its id decides. Returns how many came and failed.

    Ray runs again what a dead worker had begun, so a shape may be computed twice. It is written to the same file, and a file
    comes whole or not at all. So each shape is there once, also if the whole job is begun again.

    `folder`: a path that all machines see, or an address that pyarrow knows, such as `s3://bucket/out`.
    """
    place = str(folder)
    system, root = _place(place)
    system.create_dir(root, recursive=True)
    place = place if "://" in place else root

    def put(batch: pa.Table) -> pa.Table:
        system, root = _place(place)
        for i in range(len(batch)):
            row = batch.slice(i, 1)
            path = f"{root}/{_name(row['id'][0].as_py())}"
            _put(system, path, row)
        return pa.table({"failed": pa.array([error is not None for error in batch["error"].to_pylist()], pa.bool_())})

    counts = {"shapes": 0, "failed": 0}
    batches: Any = found.map_batches(put, batch_format="pyarrow", batch_size=None)
    for batch in batches.iter_batches(batch_format="pyarrow", batch_size=None):
        counts["shapes"] += len(batch)
        counts["failed"] += sum(batch["failed"].to_pylist())
    return counts


def _put(system: Any, path: str, row: pa.Table) -> None:
    folder = path.rsplit("/", 1)[0]
    system.create_dir(folder, recursive=True)
    if isinstance(system, pa.fs.LocalFileSystem):
        # Readers of Parquet pass over names with a dot in front.
        fresh = f"{folder}/.{uuid.uuid4().hex}"
        pyarrow.parquet.write_table(row, fresh, filesystem=system, compression="zstd")
        system.move(fresh, path)
    else:
        # An object comes whole or not at all.
        pyarrow.parquet.write_table(row, path, filesystem=system, compression="zstd")


def retry(folder: Any) -> int:
    """Removes the results of the shapes that failed, so that `remaining` has them again; returns how many."""
    system, root = _place(folder)
    removed = 0
    for name in _written(folder):
        path = f"{root}/{name}"
        table = pyarrow.parquet.read_table(path, columns=["error"], filesystem=system)
        if table["error"].null_count < len(table):
            system.delete_file(path)
            removed += 1
    return removed
