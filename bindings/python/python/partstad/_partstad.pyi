from os import PathLike
from typing import Any, Callable, Literal, Optional, Sequence, Union, final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ._types import Boxes, Views

VERSION: str

_Path = Union[str, PathLike[str]]
# Arrays of any library: NumPy's, what has `__dlpack__` or `__cuda_array_interface__`, lists.
_Array = Any
_Parts = Union[str, Sequence[str]]
_Observer = Callable[[str], object]

@final
class Pipeline:
    def __new__(
        cls,
        models: Optional[_Path] = "small",
        device: str = "cpu",
        *,
        network: Optional[_Path] = None,
        model_options: Optional[dict[str, Any]] = None,
        threads: int = 0,
        **options: Any,
    ) -> Pipeline: ...
    def segment(
        self,
        points: _Array,
        colors: Optional[_Array] = None,
        parts: Optional[_Parts] = None,
        *,
        name: Optional[str] = None,
        observer: Optional[_Observer] = None,
    ) -> Segmentation: ...
    def segment_unnamed(
        self,
        points: _Array,
        colors: Optional[_Array] = None,
        *,
        name: Optional[str] = None,
        observer: Optional[_Observer] = None,
    ) -> Segmentation: ...
    def lift(
        self,
        points: _Array,
        colors: Optional[_Array] = None,
        parts: Optional[_Parts] = None,
        boxes: Union[Boxes, Sequence[dict[str, Any]], _Path, None] = None,
        masks: Optional[_Array] = None,
        *,
        superpoints: Optional[_Array] = None,
        weights: Optional[_Array] = None,
        name: Optional[str] = None,
        observer: Optional[_Observer] = None,
    ) -> Segmentation: ...
    def render(self, points: _Array, colors: Optional[_Array] = None) -> Views: ...
    def superpoints(self, points: _Array, colors: Optional[_Array] = None) -> NDArray[np.int32]: ...
    def trim(self) -> None: ...
    @property
    def options(self) -> dict[str, Any]: ...
    @property
    def device(self) -> str: ...
    @property
    def models(self) -> Optional[dict[str, Any]]: ...
    @property
    def _made_from(self) -> dict[str, Any]: ...
    def __getnewargs_ex__(self) -> tuple[tuple[Optional[str], str], dict[str, Any]]: ...

@final
class Segmentation:
    @property
    def parts(self) -> list[str]: ...
    @property
    def labels(self) -> NDArray[np.int32]: ...
    @property
    def instances(self) -> NDArray[np.int32]: ...
    @property
    def superpoints(self) -> NDArray[np.int32]: ...
    @property
    def scores(self) -> NDArray[np.float32]: ...
    @property
    def views(self) -> Views: ...
    @property
    def boxes(self) -> Boxes: ...
    @property
    def masks(self) -> NDArray[np.bool_]: ...
    @property
    def warnings(self) -> list[str]: ...
    @property
    def seconds(self) -> dict[str, float]: ...
    def summary(self) -> dict[str, Any]: ...
    def faces(self, mesh: Optional[Mesh] = None) -> tuple[NDArray[np.int32], NDArray[np.int32]]: ...
    def report(self, path: _Path) -> None: ...
    def write(self, folder: _Path) -> None: ...
    def _repr_html_(self) -> str: ...
    def __len__(self) -> int: ...

@final
class Mesh:
    @staticmethod
    def read(path: _Path) -> Mesh: ...
    def sample(
        self, points: Optional[int] = None, seed: int = 0, hidden: bool = False
    ) -> tuple[NDArray[np.float64], NDArray[np.float32]]: ...
    @property
    def vertices(self) -> NDArray[np.float64]: ...
    @property
    def triangles(self) -> NDArray[np.int32]: ...
    @property
    def face_of(self) -> NDArray[np.int32]: ...
    @property
    def warnings(self) -> list[str]: ...
    def __len__(self) -> int: ...

def read(path: _Path) -> tuple[NDArray[np.float64], Optional[NDArray[np.float32]]]: ...
def evaluate(
    data: _Path,
    *,
    categories: Sequence[str] = ...,
    splits: Sequence[str] = ...,
    methods: Sequence[str] = ...,
    network: Sequence[_Path] = ...,
    compare: bool = False,
    models: _Path = ...,
    device: str = "cpu",
    model_options: Optional[dict[str, Any]] = None,
    predictions: Optional[_Path] = None,
    prepared: Optional[_Path] = None,
    out: Optional[_Path] = None,
    **options: Any,
) -> dict[str, Any]: ...
def part_names(given: _Parts) -> list[str]: ...
def finish() -> None: ...
