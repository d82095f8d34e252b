"""What checks of a study and of a cohort declare alike: where limits come from, and which settings they take."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from audit_pipeline.findings import FailureMode, Finding, Outcome

Setting = bool | int | float | str
PROVENANCES = frozenset({"std", "lit", "sim", "dom", "cal"})
JSON_TYPES: Mapping[type, str] = {bool: "boolean", int: "integer", float: "number", str: "string"}


@dataclass(frozen=True, slots=True)
class Judgement:
    """What every detector concludes, before its metadata is added.

    value, limit : in `unit`; None when they cannot be computed, and then the message says why
    """

    outcome: Outcome
    message: str
    value: float | None = None
    limit: float | None = None
    unit: str = ""


def finding_from(mode: FailureMode, said: Judgement, *, provenance: str = "", **more: Any) -> Finding:
    """Return what a detector said as a finding of its mode.

    provenance : of the limit, when it is not that of the mode; more : further fields of `Finding`
    """
    return Finding(
        code=mode.code,
        name=mode.name,
        family=mode.family,
        outcome=said.outcome,
        message=said.message,
        value=finite(said.value),
        limit=finite(said.limit),
        unit=said.unit,
        provenance=provenance or mode.provenance,
        advice=mode.advice,
        title=mode.title,
        direction=mode.direction,
        version=mode.version,
        **more,
    )


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
