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
class Curve:
    """How the logit of a class runs while the model input is taken away, or given back, in the order of a map.

    Attributes
    ----------
    kind : "deletion" (the strongest places go first), "insertion" (they come first) or "weakest" (the least go first)
    method, target : of the map that orders the places
    shares : share of the input that is gone (deletion, weakest) or kept (insertion), 0..1, rising
    logits : one per share
    null_low, null_middle, null_high : the same of shifted copies of the map, at the quantiles `null_range` and the
        median; empty where none were asked
    null_shifts : how many shifted copies
    """

    kind: str
    method: str
    target: int
    shares: tuple[float, ...]
    logits: tuple[float, ...]
    null_low: tuple[float, ...] = ()
    null_middle: tuple[float, ...] = ()
    null_high: tuple[float, ...] = ()
    null_range: tuple[float, float] = (0.0, 1.0)
    null_shifts: int = 0


STANDING_QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
"""Of the clean reference studies, in a `Standing`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Standing:
    """Where the value of a finding lies among those of clean reference studies.

    quantiles : of the reference at `STANDING_QUANTILES`; studies : how many there are
    p_value : share of studies at least as extreme, the study itself counted, ``(1 + #) / (studies + 1)``
    """

    quantiles: tuple[float, ...]
    studies: int
    p_value: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """The result of one check on one study.

    `value` and `limit` are in `unit`; a value that cannot be computed is None and the message says why. `slices` are
    indices along axis 0 of the source. `provenance` says where the limit comes from: ``std`` (a standard or physics),
    ``lit`` (published), ``sim`` (simulated null), ``dom`` (engineering judgement), ``cal`` (calibrated here).

    direction : on which side of `limit` the fault lies, ``above`` or ``below``; "" where there is no such side
    p_value : conformal, against the clean reference studies; None where `calibrated` is False
    version : of the detector; inputs : SHA-256 of everything the detector read, and of its settings
    curves : what the detector saw while places were removed; standing : among the reference studies, None without them
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
    curves: tuple[Curve, ...] = ()
    standing: Standing | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """Two separate verdicts, each with the code of the finding that decided it ("" when nothing stood against it)."""

    prediction: Outcome
    explanation: Outcome
    prediction_code: str = ""
    explanation_code: str = ""
