"""Segments coloured point clouds and meshes into named parts and their instances (PartSTAD, ECCV 2024).

    import partstad

    pipeline = partstad.Pipeline()
    found = pipeline.segment("chair.ply", parts=["arm", "back", "leg", "seat", "wheel"])
    found.labels  # the place of a part's name for every point, -1 = none

N points, K views, S superpoints, L parts, B boxes. Array shapes are written `[K, N]`. Image positions are in pixels, x to
the right and y down.
"""

from __future__ import annotations

import atexit as _atexit
from typing import Any, Callable, Optional

from . import _partstad
from ._errors import (
    DeviceError,
    Error,
    FileError,
    FormatError,
    InvalidError,
    ModelError,
    NotFoundError,
    OutOfMemoryError,
)
from ._partstad import Mesh, Pipeline, Segmentation, evaluate, read
from ._types import Boxes, Views
import numpy as np
from numpy.typing import NDArray

__version__: str = _partstad.VERSION

__all__ = [
    "Boxes",
    "DeviceError",
    "Error",
    "FileError",
    "FormatError",
    "InvalidError",
    "Mesh",
    "ModelError",
    "NotFoundError",
    "OutOfMemoryError",
    "Pipeline",
    "Segmentation",
    "Views",
    "evaluate",
    "lift",
    "read",
    "render",
    "superpoints",
]

_atexit.register(_partstad.finish)


def lift(
    points: Any,
    colors: Any = None,
    parts: Any = None,
    boxes: Any = None,
    masks: Any = None,
    *,
    device: str = "cpu",
    superpoints: Any = None,
    weights: Any = None,
    name: Optional[str] = None,
    observer: Optional[Callable[[str], object]] = None,
    **options: Any,
) -> Segmentation:
    """Lifts boxes and masks of any detector to parts of a cloud: `Pipeline.lift` of a pipeline without models.

    `superpoints` and `weights` are arrays as there, or dictionaries of options. Of many clouds, make the pipeline once.
    """
    given = {"superpoints": superpoints, "weights": weights}
    options |= {key: given.pop(key) for key in list(given) if isinstance(given[key], dict)}
    pipeline = Pipeline(None, device, **options)
    return pipeline.lift(points, colors, parts, boxes, masks, **given, name=name, observer=observer)


def render(points: Any, colors: Any = None, *, device: str = "cpu", **options: Any) -> Views:
    """The views of a cloud: `Pipeline.render` of a pipeline without models."""
    return Pipeline(None, device, **options).render(points, colors)


def superpoints(
    points: Any, colors: Any = None, *, device: str = "cpu", **options: Any
) -> NDArray[np.int32]:
    """The over-segmentation of a cloud, int32 `[N]`: `Pipeline.superpoints` of a pipeline without models.

    `superpoints(points, colors, superpoints={"lambda": 0.2})` makes fewer.
    """
    return Pipeline(None, device, **options).superpoints(points, colors)
