"""What checks of a study and of a cohort declare alike: where limits come from, and which settings they take."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

Setting = bool | int | float | str
PROVENANCES = frozenset({"std", "lit", "sim", "dom", "cal"})
JSON_TYPES: Mapping[type, str] = {bool: "boolean", int: "integer", float: "number", str: "string"}


def finite(value: float | None) -> float | None:
    """Return `value` as a float, None where it is missing or not finite."""
    return float(value) if value is not None and math.isfinite(value) else None


def keyword_defaults(detector: Callable[..., Any]) -> Mapping[str, Setting]:
    """Return the keyword arguments of a detector with their defaults: its configuration schema."""
    parameters = inspect.signature(detector).parameters.values()
    return MappingProxyType({one.name: one.default for one in parameters if one.kind is one.KEYWORD_ONLY})


def fits(value: object, default: Setting) -> bool:
    """Return whether a setting has the type of its default and, as a number, is finite and not below 0."""
    if isinstance(default, bool | str):
        return type(value) is type(default)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return math.isfinite(value) and value >= 0 and (isinstance(default, float) or isinstance(value, int))
