"""What a map owes: the record of one identity that was checked."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Proof:
    """One identity that a map owes, checked for one study and class; see `explain.proof`.

    Attributes
    ----------
    kind : "completeness", "closed form" or "replay"
    residual : absolute difference of both sides, in units of the output
    relative : the residual as a share of the sum of absolute contributions
    tolerance : largest residual that rounding explains
    holds : whether the residual is within the tolerance; None where the identity is not owed
    sentence : for the report
    """

    kind: str
    residual: float
    relative: float
    tolerance: float
    holds: bool | None
    sentence: str
