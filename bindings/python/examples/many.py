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
    shapes = ray.data.read_parquet(given)
else:
    shapes = ray.data.from_items([{"id": path, "path": str(Path(path).resolve())} for path in given])
found = partstad.ray.remaining(shapes, out).map_batches(
    partstad.ray.Segment,
    fn_constructor_kwargs={"parts": PARTS},
    batch_format="pyarrow",
    batch_size=1,
    num_cpus=1,
    compute=ray.data.ActorPoolStrategy(size=2),
)
print(partstad.ray.write(found, out))
for row in ray.data.read_parquet(out).select_columns(["id", "rows", "boxes", "seconds", "error"]).take(5):
    print(row)
