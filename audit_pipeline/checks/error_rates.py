"""What the planted-fault bench measured of every check: the error rates that `list checks` and the reports print."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

FILE = "error_rates.json"
FOUND_FROM = 3
"""Severities from this one on count as faults that must be found."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ErrorRates:
    """Of one check, in 2D and 3D together; each pair is (k, n).

    found : planted studies of severity 3 to 5 on which it did not pass; by_severity : the same for each severity
    quiet : clean studies without a flag, of those it could judge
    """

    found: tuple[int, int]
    by_severity: Mapping[int, tuple[int, int]]
    quiet: tuple[int, int]

    @property
    def sentence(self) -> str:
        """The rates in words."""
        parts = []
        if self.found[1]:
            parts.append(f"finds {self.found[0]} of {self.found[1]} planted faults of severity 3 to 5")
        if self.quiet[1]:
            parts.append(f"quiet on {self.quiet[0]} of {self.quiet[1]} clean studies")
        return "; ".join(parts) or "not measured"


@cache
def error_rates() -> Mapping[str, ErrorRates]:
    """Return the measured error rates by code; a code without a plant and without a clean study is absent."""
    place = files("audit_pipeline.checks").joinpath(FILE)
    if not place.is_file():
        return {}
    return rates_of(json.loads(place.read_text()))


def rates_of(result: Mapping[str, Any]) -> dict[str, ErrorRates]:
    """Return the rates in the result of a bench, schema ``audit-pipeline/bench/1``."""
    codes = sorted({one["code"] for one in (*result["sensitivity"], *result["specificity"])})
    return {code: _of(code, result["sensitivity"], result["specificity"]) for code in codes}


def _of(code: str, sensitivity: Sequence[Mapping[str, Any]], specificity: Sequence[Mapping[str, Any]]) -> ErrorRates:
    planted = [one for one in sensitivity if one["code"] == code]
    severities = sorted({one["severity"] for one in planted})
    return ErrorRates(
        found=_sum([one for one in planted if one["severity"] >= FOUND_FROM]),
        by_severity={grade: _sum([one for one in planted if one["severity"] == grade]) for grade in severities},
        quiet=_sum([one for one in specificity if one["code"] == code]),
    )


def _sum(rows: Sequence[Mapping[str, Any]]) -> tuple[int, int]:
    return sum(one["k"] for one in rows), sum(one["n"] for one in rows)
