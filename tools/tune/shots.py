"""Labelled clouds as images with boxes.

The rule for boxes, written once: an instance's box in a view is the smallest that holds the dense pixels which show its points,
holes between splats closed (`boxes_of` in tools/train/dataset.py). It is left out, and detections of it count neither way, if
fewer than 20 pixels show the instance, if a side is one pixel, or where that function finds it too small or too scattered.
"""

import pathlib
import pickle
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

import clouds
from checkpoint import Refused
from dataset import IGNORED, KEPT, boxes_of
from manifest import read_object

PIXELS = 20
SEMANTIC = ("semantic_seg", "semantic", "label", "labels", "part", "segment")
INSTANCE = ("instance_seg", "instance", "instances")


@dataclass(frozen=True)
class View:
    image: np.ndarray
    """u8 `[H, W, 3]`, red first."""
    boxes: np.ndarray
    """Rows of `boxes_of`: inclusive corners, the part's place, the instance, KEPT or IGNORED."""

    @property
    def kept(self) -> np.ndarray:
        return self.boxes[self.boxes[:, 6] == KEPT]


@dataclass(frozen=True)
class Shape:
    name: str
    cloud: pathlib.Path
    labels: pathlib.Path
    parts: int
    instances: pathlib.Path | None = None
    first: int = 0
    none: int | None = None


def find(data: pathlib.Path, split: str, category: str) -> tuple[list[str], list[Shape]]:
    """The part names of a category, and its shapes in a split, by name."""
    index, meta = data / "dataset.json", data / "PartNetE_meta.json"
    content = next((read_object(file) for file in (index, meta) if file.is_file()), None)
    if content is None:
        raise Refused(f"{data}: neither dataset.json (`partstad dataset init` writes it) nor PartNetE_meta.json is there")
    try:
        names = content["categories"] if index.is_file() else content
        if category not in names:
            raise Refused(f"{data}: no category {category!r}; there are {', '.join(sorted(names))}")
        parts = len(names[category])
        if index.is_file():
            shapes = [Shape(e["id"], data / e["cloud"], data / e.get("labels", e["cloud"]), parts,
                            data / e["instances"] if e.get("instances") else None, content.get("first_label", 0), content.get("no_label"))
                      for e in content["objects"] if (e["split"], e["category"]) == (split, category)]
        else:
            shapes = [Shape(f.name, f / "pc.ply", f / "label.npy", parts) for f in (data / split / category).glob("*") if f.is_dir()]
    except (KeyError, TypeError, AttributeError) as e:
        raise Refused(f"{index}: not as `partstad dataset init` writes it: {e!r}") from None
    if not shapes:
        raise Refused(f"{data}: {category} has no shapes in the split {split}")
    return names[category], sorted(shapes, key=lambda shape: shape.name)


def views(shape: Shape, partstad: str, options: tuple[str, ...] = ()) -> Iterator[View]:
    """The ten views of `partstad render` with the boxes of what they show."""
    semantic, instance = truth(shape)
    code, labels = clouds.instances_of(semantic, instance)
    try:
        images, owners = clouds.render(partstad, shape.cloud, options=options)
    except (OSError, subprocess.CalledProcessError) as e:
        raise Refused(f"{shape.cloud}: could not be rendered: {e}; --partstad names the program") from None
    if code.shape[0] <= owners.max():
        raise Refused(f"{shape.labels}: {len(code)} labels; {shape.cloud} has more points")
    for image, owner in zip(images, owners):
        shown = clouds.map_of(owner, code)
        rows = boxes_of(shown, labels)
        few = np.bincount(shown.ravel(), minlength=256)[rows[:, 5] + 1] < PIXELS
        rows[few | (rows[:, 2] <= rows[:, 0]) | (rows[:, 3] <= rows[:, 1]), 6] = IGNORED
        yield View(image, rows)


def truth(shape: Shape) -> tuple[np.ndarray, np.ndarray]:
    """The part and the instance of every point, -1 for none."""
    semantic, instance = columns(shape.labels)
    if shape.instances is not None:
        plain, named = columns(shape.instances)
        instance = plain if named is None else named
    for values, what in ((semantic, "labels"), (instance, "instances")):
        if values is None:
            raise Refused(f"{shape.labels}: holds no {what}; boxes need both labels and instances")
    semantic = np.where(semantic == shape.none, -1, semantic - shape.first) if shape.none is not None else semantic - shape.first
    if len(semantic) != len(instance):
        raise Refused(f"{shape.labels}: {len(semantic)} labels, but {len(instance)} instances")
    if semantic.max(initial=-1) >= shape.parts:
        raise Refused(f"{shape.labels}: label {semantic.max() + shape.first} is no part's; there are {shape.parts} from {shape.first} on")
    return np.maximum(semantic, -1), instance


def columns(path: pathlib.Path) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Labels and instances, as far as a file has them."""
    try:
        match path.suffix.lower():
            case ".ply":
                held = vertices(path)
            case ".npz":
                held = dict(np.load(path))
            case _:
                # PartNet-Ensembled's dictionary is a pickle: read only labels that you trust.
                content = np.load(path, allow_pickle=True)
                held = content.item() if content.dtype == object else {"label": content}
        return whole(held, SEMANTIC), whole(held, INSTANCE)
    except (OSError, ValueError, KeyError, TypeError, pickle.UnpicklingError) as e:
        raise Refused(f"{path}: not labels: {e}") from None


def whole(held: dict, names: tuple[str, ...]) -> np.ndarray | None:
    """The first column of these names, if there is one; its numbers must be whole."""
    found = next((np.asarray(held[name]).ravel() for name in names if name in held), None)
    if found is None:
        return None
    numbers = found.astype(np.int64)
    if not np.array_equal(numbers, found):
        raise ValueError("labels must be whole numbers")
    return numbers


def vertices(path: pathlib.Path) -> dict[str, np.ndarray]:
    """The properties of the vertices in a binary little-endian PLY file."""
    content = path.read_bytes()
    end = content.index(b"end_header\n") + len(b"end_header\n")
    lines = [line.split() for line in content[:end].decode("ascii", "replace").splitlines()]
    elements = [i for i, line in enumerate(lines) if line[:1] == ["element"]]
    if ["format", "binary_little_endian", "1.0"] not in lines or not elements or lines[elements[0]][1] != "vertex":
        raise ValueError("a binary little-endian PLY file is needed whose first element is vertex")
    own = lines[elements[0] + 1:(elements + [len(lines)])[1]]
    kinds = {"char": "i1", "uchar": "u1", "short": "i2", "ushort": "u2", "int": "i4", "uint": "u4", "float": "f4", "double": "f8",
             "int8": "i1", "uint8": "u1", "int16": "i2", "uint16": "u2", "int32": "i4", "uint32": "u4", "float32": "f4", "float64": "f8"}
    record = np.dtype([(line[-1], "<" + kinds[line[1]]) for line in own if line[0] == "property"])
    return {name: np.frombuffer(content, record, int(lines[elements[0]][2]), end)[name] for name in record.names}
