"""From limits to flags: conformal p-values against clean reference studies, and control of how many flags are false.

A *rule* follows from a standard or from arithmetic; it holds or it does not. A *measure* has a distribution over clean
studies, and a limit on it is a matter of experience. Where a reference of clean studies is at hand, a measure beyond
its default limit stays a flag only if the reference says that clean studies hardly ever are:

* among the measures of severity S >= 4, which gate the verdict, by Holm's procedure at 5 % in all;
* among the others, which inform, by Benjamini and Hochberg's at a false discovery rate of 5 %.

What is not rejected becomes a note. A reference can be too small for any p-value to pass: then a measure beyond every
one of its studies counts as rejected, since a site that has some references must not see less than one with none.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from audit_pipeline.checks.wording import shown
from audit_pipeline.evidence import Reference
from audit_pipeline.findings import Finding, Outcome
from audit_pipeline.records import Matrix

LEAST_STUDIES = 99
"""Fewer clean studies cannot give a conformal p-value of 1 %, and the default limits stand."""

ERROR_RATE = 0.05
"""Family-wise error rate of the gating measures, and false discovery rate of the others."""

ALPHA = 0.01
"""Of the quantile that is printed as the limit of a measure without a default one."""

GATING_SEVERITY = 4
RAISED = frozenset({Outcome.NOTE, Outcome.FLAG, Outcome.CRITICAL})


def decide(
    findings: Sequence[Finding], severities: Mapping[str, int], reference: Reference | None
) -> tuple[Finding, ...]:
    """Return the findings with conformal p-values, those that clean studies show as often lowered to notes.

    Parameters
    ----------
    severities : S by the name of the check

    References
    ----------
    J. Lei et al., 2018, doi:10.1080/01621459.2017.1307116 (split conformal); S. Holm, 1979, A simple sequentially
    rejective multiple test procedure; Y. Benjamini, Y. Hochberg, 1995, doi:10.1111/j.2517-6161.1995.tb02031.x.
    """
    weighed = [_weighed(one, reference) for one in findings]
    gating = [one for one in weighed if one.calibrated and severities[one.name] >= GATING_SEVERITY]
    informing = [one for one in weighed if one.calibrated and severities[one.name] < GATING_SEVERITY]
    rejected = {one.name for one, kept in zip(gating, holm(_p_values(gating)), strict=True) if kept}
    rejected |= {
        one.name for one, kept in zip(informing, benjamini_hochberg(_p_values(informing)), strict=True) if kept
    }
    rejected |= {one.name for one in weighed if one.calibrated and _is_beyond_all(one, reference)}
    return tuple(_concluded(one, is_rejected=one.name in rejected) for one in weighed)


def _weighed(finding: Finding, reference: Reference | None) -> Finding:
    """Return a measure with its p-value; one that has no default limit cannot be judged without a reference."""
    is_judged = finding.value is not None and finding.outcome not in {Outcome.ERROR, Outcome.NOT_EVALUABLE}
    if not finding.direction or finding.calibrated or finding.value is None or not is_judged:
        return finding
    clean = None if reference is None else reference.values.get(finding.name)
    if clean is None or clean.size < LEAST_STUDIES:
        if finding.provenance != "cal":
            return finding
        found = 0 if clean is None else int(clean.size)
        text = f"It measures {shown(finding.value)}, and {LEAST_STUDIES} clean reference studies are needed to judge it"
        return replace(finding, outcome=Outcome.NOT_EVALUABLE, message=f"{text}; there are {found}.")
    p_value = conformal_p(finding.value, clean, finding.direction)
    limit = quantile_limit(clean, finding.direction) if finding.provenance == "cal" else finding.limit
    return replace(finding, calibrated=True, p_value=p_value, limit=limit)


def conformal_p(value: float, clean: Matrix, direction: str) -> float:
    """Return ``(1 + #{clean at least as extreme}) / (n + 1)``.

    >>> conformal_p(3.0, np.asarray([1.0, 2.0, 3.0]), "above")
    0.5
    """
    extreme = clean >= value if direction == "above" else clean <= value
    return (1 + int(extreme.sum())) / (clean.size + 1)


def quantile_limit(clean: Matrix, direction: str, alpha: float = ALPHA) -> float:
    """Return the ``ceil((n + 1)(1 - alpha))``-th most moderate of the clean values."""
    ordered = np.sort(clean if direction == "above" else -clean)
    rank = min(clean.size, math.ceil((clean.size + 1) * (1 - alpha) - 1e-9))
    limit = float(ordered[rank - 1])
    return limit if direction == "above" else -limit


def holm(p_values: Sequence[float], rate: float = ERROR_RATE) -> list[bool]:
    """Return which hypotheses Holm's procedure rejects.

    >>> holm([0.01, 0.04, 0.03])
    [True, False, False]
    """
    order = np.argsort(p_values, kind="stable")
    rejected = [False] * len(p_values)
    for rank, place in enumerate(order):
        if p_values[place] > rate / (len(p_values) - rank):
            break
        rejected[place] = True
    return rejected


def benjamini_hochberg(p_values: Sequence[float], rate: float = ERROR_RATE) -> list[bool]:
    """Return which hypotheses Benjamini and Hochberg's procedure rejects.

    >>> benjamini_hochberg([0.01, 0.04, 0.03])
    [True, True, True]
    """
    order = np.argsort(p_values, kind="stable")
    passing = [rank for rank, place in enumerate(order, 1) if p_values[place] <= rate * rank / len(p_values)]
    last = max(passing, default=0)
    rejected = [False] * len(p_values)
    for place in order[:last]:
        rejected[place] = True
    return rejected


def _p_values(findings: Sequence[Finding]) -> list[float]:
    return [1.0 if one.p_value is None else one.p_value for one in findings]


def _is_beyond_all(finding: Finding, reference: Reference | None) -> bool:
    """Tell whether a measure with a default limit lies beyond that and beyond every clean study."""
    clean = None if reference is None else reference.values.get(finding.name)
    if clean is None or finding.value is None or finding.provenance == "cal":
        return False
    extreme = float(clean.max() if finding.direction == "above" else clean.min())
    return finding.value > extreme if finding.direction == "above" else finding.value < extreme


def _concluded(finding: Finding, *, is_rejected: bool) -> Finding:
    if not finding.calibrated or finding.p_value is None:
        return finding
    outcome = finding.outcome
    if finding.provenance == "cal" and outcome is Outcome.PASS:
        outcome = Outcome.FLAG if is_rejected else Outcome.PASS
    elif outcome in RAISED and not is_rejected:
        outcome = Outcome.NOTE
    seen = f" Clean reference studies reach this with p = {shown(finding.p_value)}."
    return replace(finding, outcome=outcome, message=finding.message + seen)
