"""What a check says: the failure mode it looks for, its finding on one study, and the two verdicts drawn from them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Outcome(StrEnum):
    """How a check ended. ``not_evaluable`` and ``error`` are never a pass."""

    PASS = "pass"  # noqa: S105
    NOTE = "note"
    FLAG = "flag"
    CRITICAL = "critical"
    NOT_EVALUABLE = "not_evaluable"
    ERROR = "error"


@dataclass(frozen=True, kw_only=True, slots=True)
class FailureMode:
    """The metadata of one failure mode: the only place where its name, sentence and severity stand.

    severity : (S, O, D), each 1 to 5 with 5 worst: consequence, expected occurrence, invisibility without this tool
    cost : forward passes the detector needs beyond those already made
    provenance : where the default limit comes from, see `Finding`
    """

    code: str
    name: str
    title: str
    family: str
    sentence: str
    severity: tuple[int, int, int]
    provenance: str
    reference: str
    advice: str
    cost: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """The result of one check on one study.

    `value` and `limit` are in `unit`; a value that cannot be computed is None and the message says why. `slices` are
    indices along axis 0 of the source. `provenance` says where the limit comes from: ``std`` (a standard or physics),
    ``lit`` (published), ``sim`` (simulated null), ``dom`` (engineering judgement), ``cal`` (calibrated here).
    """

    code: str
    name: str
    family: str
    outcome: Outcome
    message: str
    value: float | None = None
    limit: float | None = None
    unit: str = ""
    provenance: str = ""
    advice: str = ""
    title: str = ""
    slices: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """Two separate verdicts, each with the code of the finding that decided it ("" when nothing stood against it)."""

    prediction: Outcome
    explanation: Outcome
    prediction_code: str = ""
    explanation_code: str = ""
