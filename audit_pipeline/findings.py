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
    level : the lowest level at which the check runs: ``screen``, ``standard`` or ``deep``
    direction : on which side of the limit the fault lies, ``above`` or ``below``; "" for a rule, which has no
    distribution over clean studies and is never calibrated
    variants : names of the changed inputs whose predictions the detector reads
    cost : forward passes of the detector's own, beyond those of the variants
    provenance : where the default limit comes from, see `Finding`
    version : of the detector; raised when the same input may give another value
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
    level: str = "screen"
    direction: str = ""
    variants: tuple[str, ...] = ()
    cost: int = 0
    version: int = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """The result of one check on one study.

    `value` and `limit` are in `unit`; a value that cannot be computed is None and the message says why. `slices` are
    indices along axis 0 of the source. `provenance` says where the limit comes from: ``std`` (a standard or physics),
    ``lit`` (published), ``sim`` (simulated null), ``dom`` (engineering judgement), ``cal`` (calibrated here).

    direction : on which side of `limit` the fault lies, ``above`` or ``below``; "" where there is no such side
    p_value : conformal, against the clean reference studies; None where `calibrated` is False
    version : of the detector; inputs : SHA-256 of everything the detector read, and of its settings
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
    direction: str = ""
    p_value: float | None = None
    calibrated: bool = False
    version: int = 1
    inputs: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """Two separate verdicts, each with the code of the finding that decided it ("" when nothing stood against it)."""

    prediction: Outcome
    explanation: Outcome
    prediction_code: str = ""
    explanation_code: str = ""
