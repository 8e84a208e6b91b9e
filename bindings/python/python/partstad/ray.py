"""Many clouds on many machines: a class for `map_batches` of Ray Data that writes each shape once.

    import partstad.ray, ray

    shapes = ray.data.from_items([{"id": path.stem, "path": str(path)} for path in paths])
    done = shapes.map_batches(
        partstad.ray.Segment,
        fn_constructor_kwargs={"parts": ["leg", "seat"], "out": "results"},
        batch_format="pyarrow", batch_size=1, num_cpus=0.5, compute=ray.data.ActorPoolStrategy(size=2),
    )
    print(done.to_pandas())  # what was done now; the same again goes on where it stopped
    ray.data.read_parquet("results")

It needs pyarrow. Ray itself is asked only for what it gave an actor.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
import uuid
from collections.abc import Callable, Sequence
from typing import Any, Optional, Union

import numpy as np
import pyarrow as pa
import pyarrow.fs
import pyarrow.parquet
from numpy.typing import NDArray

from . import InvalidError, Pipeline, __version__, _partstad

__all__ = ["Segment", "retry"]

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

    With `out`, a folder that all machines see or an address that pyarrow knows (`s3://bucket/results`), such a row becomes a
    Parquet file of its own, whose name its id alone decides and that comes whole or not at all. Shapes whose files are there
    are left out. What is returned lacks the lists then, and has the shapes that were done now. A folder holds the results of
    one choice of parts, options, models and learned weights; another one is refused. Clouds are told by their ids alone.

    `parts` and `options` are those of `Pipeline`. `device`: None takes the GPU that Ray gave the actor, if it did, else the
    CPU. `threads`: 0 takes as many as the CPUs that Ray gave it.
    """

    def __init__(
        self,
        parts: Union[str, Sequence[str]],
        models: Any = "small",
        device: Optional[str] = None,
        *,
        out: Any = None,
        superpoints: bool = False,
        threads: int = 0,
        **options: Any,
    ) -> None:
        cpus, gpus = _assigned()
        self.parts = _partstad.part_names(parts)
        self.out = None if out is None else _place(out)
        self.arrays = ["labels", "instances", *(["superpoints"] if superpoints else [])]
        self.pipeline = Pipeline(
            models, device or ("cuda" if gpus else "cpu"), threads=threads or cpus, **options
        )
        if self.out is not None:
            made_from = {"version": __version__, "parts": self.parts, "arrays": self.arrays, **self.pipeline._made_from}
            _claim(self.out, made_from)

    def __call__(self, batch: Batch) -> pa.Table:
        if "id" not in _columns(batch):
            raise InvalidError(f"a batch has the columns {', '.join(_columns(batch))}; give id, which names each shape")
        ids = batch["id"] if isinstance(batch["id"], pa.ChunkedArray) else pa.chunked_array([pa.array(batch["id"])])
        names = ids.to_pylist()
        done = [
            self._row(ids.slice(i, 1), points, colors)
            for i, (points, colors) in enumerate(_shapes(batch))
            if self.out is None or names[i] is None or not _is_there(self.out, names[i])
        ]
        return pa.concat_tables(done) if done else self._table(ids.slice(0, 0), [])

    def _row(self, id: pa.ChunkedArray, points: Any, colors: Any) -> pa.Table:
        start = time.perf_counter()
        row: dict[str, Any] = {"warnings": []}
        name = id[0].as_py()
        try:
            if name is None:
                raise InvalidError("id: null; a shape without a name has no result")
            found = self.pipeline.segment(points(), colors and colors(), self.parts)
            row.update({name: getattr(found, name) for name in self.arrays})
            row.update(rows=len(found), boxes=len(found.boxes), warnings=found.warnings)
        except Exception as error:
            # One shape that fails stops no other.
            row["error"] = str(error) or repr(error)
        row["seconds"] = time.perf_counter() - start
        table = self._table(id, [row])
        if self.out is None:
            return table
        if name is not None:
            _put(self.out, name, table)
        return table.drop_columns(self.arrays)

    def _table(self, ids: pa.ChunkedArray, rows: list[dict[str, Any]]) -> pa.Table:
        types = {name: pa.list_(pa.int32()) for name in self.arrays} | {
            "rows": pa.int64(),
            "boxes": pa.int64(),
            "seconds": pa.float64(),
            "warnings": pa.list_(pa.string()),
            "error": pa.string(),
        }
        columns = {name: pa.array([row.get(name) for row in rows], kind) for name, kind in types.items()}
        table = pa.table({"id": ids} | columns)
        return table if rows or self.out is None else table.drop_columns(self.arrays)


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


def _columns(batch: Batch) -> list[str]:
    return list(batch.column_names if isinstance(batch, pa.Table) else batch)


def _shapes(batch: Batch) -> Any:
    """What makes the points, and the colours, of each row of a batch; it is called where its error counts for the row."""
    names = _columns(batch)
    if "path" not in names and "points" not in names:
        raise InvalidError(f"a batch has the columns {', '.join(names)}; give path, or points")
    count = len(batch["id"])
    if "path" in names:
        paths = batch["path"]
        return [(lambda i=i: _path(paths[i]), None) for i in range(count)]
    points = batch["points"]
    colors = batch["colors"] if "colors" in names else None
    return [
        (lambda i=i: _triples(points[i]), colors is not None and (lambda i=i: _triples(colors[i])))
        for i in range(count)
    ]


def _path(value: Any) -> str:
    """A path of an entry of a column."""
    path = value.as_py() if isinstance(value, pa.Scalar) else value
    if path is None:
        raise InvalidError("path: null; give a cloud or a mesh")
    return str(path)


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
    # 7 and "7" are two.
    digest = hashlib.sha256(json.dumps(id, default=str).encode()).hexdigest()
    return f"{digest[:2]}/{digest[:40]}.parquet"


def _place(folder: Any) -> tuple[Any, str]:
    """A file system, and the path of a folder in it."""
    if "://" in str(folder):
        system, root = pa.fs.FileSystem.from_uri(str(folder))
        return system, root
    return pa.fs.LocalFileSystem(), os.path.abspath(folder)


def _claim(out: tuple[Any, str], made_from: dict[str, Any]) -> None:
    """Refuses a folder of results that were made from something else."""
    system, root = out
    path = f"{root}/.made-from.json"
    if system.get_file_info(path).type == pa.fs.FileType.NotFound:
        system.create_dir(root, recursive=True)
        _write(system, path, lambda to: _write_text(system, to, json.dumps(made_from)))
    with system.open_input_stream(path) as file:
        text = file.read()
    try:
        known = json.loads(text)
    except ValueError:
        known = None
    others = [key for key in made_from if not isinstance(known, dict) or known.get(key) != made_from[key]]
    if others:
        raise InvalidError(f"{root} holds results of other {', '.join(others)}; give another folder, or remove it")


def _write_text(system: Any, path: str, text: str) -> None:
    with system.open_output_stream(path) as file:
        file.write(text.encode())


def _is_there(out: tuple[Any, str], id: Any) -> bool:
    system, root = out
    info = system.get_file_info(f"{root}/{_name(id)}")
    # A machine that goes down may leave a file without bytes.
    return bool(info.type == pa.fs.FileType.File and info.size != 0)


def _put(out: tuple[Any, str], id: Any, row: pa.Table) -> None:
    system, root = out
    path = f"{root}/{_name(id)}"
    system.create_dir(path.rsplit("/", 1)[0], recursive=True)
    _write(system, path, lambda to: pyarrow.parquet.write_table(row, to, filesystem=system, compression="zstd"))


def _write(system: Any, path: str, write: Callable[[str], None]) -> None:
    # An object of a store comes whole or not at all; a file is moved when it is whole. Readers of Parquet pass over names
    # with a dot in front.
    is_local = isinstance(system, pa.fs.LocalFileSystem)
    fresh = f"{path.rsplit('/', 1)[0]}/.{uuid.uuid4().hex}" if is_local else path
    write(fresh)
    if is_local:
        with open(fresh, "r+b") as file:
            os.fsync(file.fileno())
        system.move(fresh, path)


def retry(out: Any) -> int:
    """Removes the files of the shapes that failed, so that they are tried again; returns how many."""
    system, root = _place(out)
    selector = pa.fs.FileSelector(root, recursive=True, allow_not_found=True)
    removed = 0
    for info in system.get_file_info(selector):
        if info.type != pa.fs.FileType.File or not info.path.endswith(".parquet"):
            continue
        failed = info.size == 0
        if not failed:
            errors = pyarrow.parquet.read_table(info.path, columns=["error"], filesystem=system)["error"]
            failed = errors.null_count < len(errors)
        if failed:
            system.delete_file(info.path)
            removed += 1
    return removed
