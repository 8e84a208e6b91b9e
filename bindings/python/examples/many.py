"""Segments many clouds with Ray: python many.py OUT CLOUD... , or python many.py OUT shapes.parquet

The Parquet files have the columns id, points and colors: lists of numbers, a shape a row. What is in OUT already is left
out, so the same command goes on where it stopped.
"""

import sys
from pathlib import Path

import ray

import partstad.ray

PARTS = ["arm", "back", "leg", "seat", "wheel"]

out, *given = sys.argv[1:]
if all(path.endswith(".parquet") or Path(path).is_dir() for path in given):
    # A block is what an actor takes at once; few or small files would come as one.
    shapes = ray.data.read_parquet(given).repartition(64)
else:
    shapes = ray.data.from_items([{"id": path, "path": str(Path(path).resolve())} for path in given])
done = shapes.map_batches(
    partstad.ray.Segment,
    fn_constructor_kwargs={"parts": PARTS, "out": str(Path(out).resolve())},
    batch_format="pyarrow",
    batch_size=1,
    # Two actors leave a CPU of two for Ray's own reading and writing.
    num_cpus=0.5,
    compute=ray.data.ActorPoolStrategy(size=2),
)
print(done.select_columns(["id", "rows", "boxes", "seconds", "error"]).take_all())
print(ray.data.read_parquet(out).count(), "shapes in", out)
