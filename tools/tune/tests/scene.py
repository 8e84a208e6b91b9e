"""A labelled cloud of points drawn on boxes."""

import numpy as np


def points(random):
    """A board on four legs: positions, colours, parts and instances."""
    position, colour, part = [], [], []

    def block(low, high, tint, label, count=6000):
        low, high = np.array(low), np.array(high)
        face = low + random.random((count, 3)) * (high - low)
        axis = random.integers(3, size=len(face))
        side = random.random(len(face)) < 0.5
        face[np.arange(len(face)), axis] = np.where(side, low[axis], high[axis])
        position.append(face)
        colour.append(np.tile(tint, (len(face), 1)))
        part.append(np.full(len(face), label))

    block((-1, 0.5, -0.7), (1, 0.6, 0.7), (150, 90, 40), 1, 40000)
    for x in (-0.9, 0.7):
        for z in (-0.6, 0.4):
            block((x, -0.8, z), (x + 0.2, 0.5, z + 0.2), (60, 60, 160), 0)
    instance = np.repeat(np.arange(len(part)), [len(p) for p in part])
    return np.concatenate(position), np.concatenate(colour), np.concatenate(part), instance


def save_ply(path, position, colour, **properties):
    kinds = [("x", "<f4", "float"), ("y", "<f4", "float"), ("z", "<f4", "float"), ("red", "u1", "uchar"), ("green", "u1", "uchar"),
             ("blue", "u1", "uchar"), *((name, "<i4", "int") for name in properties)]
    record = np.zeros(len(position), [kind[:2] for kind in kinds])
    for i, values in enumerate([*position.T, *colour.T, *properties.values()]):
        record[kinds[i][0]] = values
    header = ["ply", "format binary_little_endian 1.0", f"element vertex {len(record)}", *(f"property {k} {n}" for n, _, k in kinds), "end_header"]
    path.write_bytes("\n".join([*header, ""]).encode() + record.tobytes())
