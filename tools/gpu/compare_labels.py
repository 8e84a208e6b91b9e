"""Which share of the points has the same label and instance in two folders of results.

usage: compare_labels.py ONE OTHER LEAST     fails if the share is below LEAST
"""

import pathlib
import struct
import sys


def read(path: pathlib.Path) -> tuple[int, ...]:
    """An array of i32 in NumPy's format, which not every machine has."""
    data = path.read_bytes()
    (header,) = struct.unpack_from("<H", data, 8)
    if b"'<i4'" not in data[:10 + header]:
        sys.exit(f"error: {path} is no array of i32")
    return struct.unpack_from(f"<{(len(data) - 10 - header) // 4}i", data, 10 + header)


one, other = map(pathlib.Path, sys.argv[1:3])
least = 1.0
for name in ("labels", "instances"):
    a, b = (read(folder / f"{name}.npy") for folder in (one, other))
    if len(a) != len(b):
        sys.exit(f"error: {len(a)} and {len(b)} {name}")
    same = sum(x == y for x, y in zip(a, b))
    print(f"result: {same} of {len(a)} {name} are the same")
    if name == "labels":
        least = same / len(a)
sys.exit(least < float(sys.argv[3]))
