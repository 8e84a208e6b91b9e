"""Plain records of arrays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Optional

import numpy as np
from numpy.typing import NDArray


class Boxes:
    """B boxes in the views. Those that a call returns are NumPy arrays; anything array-like may be given.

    - `view`: the view that each was found in, from 0, int32 `[B]`.
    - `part`: the part that it shows, from 0, int32 `[B]`.
    - `box`: x, y of the upper left corner, width, height, in pixels, float32 `[B, 4]`.
    - `score`: the detector's confidence in [0, 1], float32 `[B]`; None counts as 1.
    - `features`: the detector's features, float32 `[B, F]`, which learned weights read; or None.
    """

    __slots__ = ("view", "part", "box", "score", "features")
    view: NDArray[np.int32]
    part: NDArray[np.int32]
    box: NDArray[np.float32]
    score: NDArray[np.float32]
    features: Optional[NDArray[np.float32]]

    def __init__(self, view: Any, part: Any, box: Any, score: Any = None, features: Any = None) -> None:
        self.view, self.part, self.box, self.score, self.features = view, part, box, score, features

    def __len__(self) -> int:
        return len(self.view)

    def __repr__(self) -> str:
        return f"Boxes({len(self)} boxes)"


@dataclass(frozen=True, eq=False, repr=False)
class Views:
    """A cloud of N points seen from K directions.

    - `images`: red, green, blue, uint8 `[K, side, side, 3]`, row 0 on top; the background is 254.
    - `pixel_to_point`: the point that each pixel shows, int32 `[K, side, side]`, -1 = background.
    - `screen`: where every point falls, hidden ones too, in pixels, x to the right and y down, float32 `[K, N, 2]`.
    - `cameras`: a dictionary a view: `pose` (degrees, cloud radii) and matrices.
    """

    images: NDArray[np.uint8]
    pixel_to_point: NDArray[np.int32]
    screen: NDArray[np.float32]
    cameras: list[dict[str, Any]]

    def __len__(self) -> int:
        return len(self.images)

    def __repr__(self) -> str:
        return f"Views({len(self)} views of {self.images.shape[1]} x {self.images.shape[2]} pixels)"
