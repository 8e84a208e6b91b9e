"""Which ONNX Runtime computes the models."""

import importlib.util
import os
from pathlib import Path


def prefer_installed() -> None:
    """Names the library of the installed package `onnxruntime`, or `onnxruntime-gpu`, in ORT_DYLIB_PATH.

    A library that is already named stays. Without the package partstad looks in its cache and the system, and at last
    fetches the library.
    """
    if os.environ.get("ORT_DYLIB_PATH"):
        return
    spec = importlib.util.find_spec("onnxruntime")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        libraries = [
            path
            for pattern in ("libonnxruntime.so*", "libonnxruntime.*.dylib", "onnxruntime.dll")
            for path in Path(folder, "capi").glob(pattern)
            if path.is_file()
        ]
        if libraries:
            os.environ["ORT_DYLIB_PATH"] = str(sorted(libraries)[0])
            return
