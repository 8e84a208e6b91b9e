"""What JSON can hold, in the words of Python and NumPy."""

import json
import math
from typing import Any


def dumps(value: Any) -> str:
    """JSON of dictionaries, lists, texts and finite numbers, NumPy's arrays and numbers among them."""
    return json.dumps(_plain(value))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(of_key) for key, of_key in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{value} is not a finite number")
    if value is None or isinstance(value, (str, bool, int, float)):
        return value
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    raise TypeError(f"{type(value).__name__} is no number, text, list or dictionary")
