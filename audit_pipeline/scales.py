"""Display scales in units of the map: of one map, of a study, of a class over the cohort; never a stretch of nothing.

A scale is a pair of limits that the colours of a map run between. It is computed once and travels with the picture, so
two pictures with the same scale can be compared by eye. Where the strongest value lies below the signal floor there is
no scale, only the reason, and nothing may be coloured.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from audit_pipeline.errors import ExplainError
from audit_pipeline.records import Floats

Sign = Literal["signed", "positive"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Scale:
    """What the colours of a map run between.

    Attributes
    ----------
    low, high : in `unit`; -high and high when signed, 0 and high when positive; None where nothing may be shown
    unit : of the map, "logit" unless the method says otherwise
    rule : how the limit was found, in words, for the legend
    reason : why nothing may be shown; "" where something may
    """

    low: float | None
    high: float | None
    unit: str
    rule: str
    reason: str = ""


def map_scale(
    values: Floats, signal_floor: float, *, sign: Sign = "signed", percentile: float | None = None, unit: str = "logit"
) -> Scale:
    """Return the scale of one map.

    Parameters
    ----------
    values : (*grid) raw and signed
    signal_floor : absolute value below which the map is numerically zero
    sign : "signed": symmetric about 0; "positive": from 0, evidence against the class is not coloured
    percentile : of the absolute (or positive) values above the floor that becomes the limit; None takes the largest

    Raises
    ------
    ExplainError
        The sign is unknown, or the percentile is not above 0 and up to 100.
    """
    return study_scale([values], [signal_floor], sign=sign, percentile=percentile, unit=unit, scope="this map")


def study_scale(
    maps: Sequence[Floats],
    signal_floors: Sequence[float],
    *,
    sign: Sign = "signed",
    percentile: float | None = None,
    unit: str = "logit",
    scope: str = "all maps of this method in the study",
) -> Scale:
    """Return one scale for all maps of a method, from their values pooled; settings and errors as for `map_scale`.

    Values below the signal floor of their map do not count: they lower no percentile, so no limit lies below a floor.
    """
    empty = Scale(low=None, high=None, unit=unit, rule=_rule(sign, percentile, scope))
    if any(not bool(np.isfinite(values).all()) for values in maps):
        return replace(empty, reason="a value is not finite")
    strengths = [np.ravel(np.abs(values) if sign == "signed" else np.maximum(values, 0)) for values in maps]
    present = [one[one > max(floor, 0.0)] for one, floor in zip(strengths, signal_floors, strict=True)]
    pooled = np.concatenate([np.zeros(0), *present])
    if pooled.size:
        return _limited(empty, pooled, sign, percentile)
    highest = max((float(one.max()) for one in strengths if one.size), default=0.0)
    evidence = "value" if sign == "signed" else "evidence for the class"
    floor = max((float(one) for one in signal_floors), default=0.0)
    return replace(
        empty, reason=f"the strongest {evidence} is {highest:.3g} {unit}, not above the floor of {floor:.3g}"
    )


def largest(low: float, high: float, sign: Sign) -> float:
    """Return the limit of a map between `low` and `high`: its largest absolute, or positive, value.

    >>> largest(-3.0, 2.0, "signed"), largest(-3.0, 2.0, "positive"), largest(-3.0, -2.0, "positive")
    (3.0, 2.0, 0.0)
    """
    return max(abs(low), abs(high)) if sign == "signed" else max(high, 0.0)


def cohort_scale(
    limits: Sequence[float],
    signal_floors: Sequence[float],
    *,
    sign: Sign = "signed",
    percentile: float | None = None,
    unit: str = "logit",
    class_name: str = "",
) -> Scale:
    """Return one scale for a class over the cohort, from one number a map: its own limit.

    Parameters
    ----------
    limits : `high` of each map's own scale, or its largest absolute (or positive) value
    signal_floors : of the same maps; a map whose limit is not above its floor does not count
    percentile : of the limits; None takes the largest. Other settings and errors as for `map_scale`
    """
    count = f"{len(limits)} {'map' if len(limits) == 1 else 'maps'}"
    scope = f"{count} {f'of {class_name} ' if class_name else ''}over the cohort"
    empty = Scale(low=None, high=None, unit=unit, rule=_rule(sign, percentile, scope))
    given = np.asarray(limits, dtype=np.float64)
    if not bool(np.isfinite(given).all()):
        return replace(empty, reason="a limit is not finite")
    present = given[given > np.maximum(np.asarray(signal_floors, dtype=np.float64), 0.0)]
    if not present.size:
        return replace(empty, reason="no map rises above its signal floor")
    return _limited(empty, present, sign, percentile)


def _rule(sign: Sign, percentile: float | None, scope: str) -> str:
    if sign not in {"signed", "positive"}:
        raise ExplainError(f"the sign of a scale must be signed or positive, found {sign!r}")
    if percentile is not None and not 0 < percentile <= 100:
        raise ExplainError(f"the percentile of a scale must be above 0 and up to 100, found {percentile}")
    values = "absolute value" if sign == "signed" else "positive value"
    found = f"largest {values}" if percentile is None else f"percentile {percentile:g} of the {values}s above the floor"
    return f"{found} of {scope}"


def _limited(empty: Scale, strengths: NDArray[np.floating], sign: Sign, percentile: float | None) -> Scale:
    high = float(np.percentile(strengths, 100.0 if percentile is None else percentile))
    return replace(empty, low=-high if sign == "signed" else 0.0, high=high)
