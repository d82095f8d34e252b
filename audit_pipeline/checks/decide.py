"""From limits to flags: conformal p-values against clean reference studies, and control of how many flags are false.

A *rule* follows from a standard or from arithmetic; it holds or it does not. A *measure* has a distribution over clean
studies, and a limit on it is a matter of experience. Where a reference of clean studies is at hand, a measure beyond
its default limit stays a flag only if the reference says that clean studies hardly ever are:

* among the measures of severity S >= 4, which gate the verdict, by Holm's procedure at 5 % in all;
* among the others, which inform, by Benjamini and Hochberg's at a false discovery rate of 5 %.

What is not rejected becomes a note. A reference of a hundred studies cannot give a conformal p-value that passes among
thirty measures. So of a measure that lies beyond its default limit and beyond every clean study the p-value is that of
an exponential tail through the most extreme of them: far beyond it is rejected, just beyond it is not.

A reference of fewer than 99 studies leaves the default limits as they are. In a larger one a measure that can be taken
on some studies only may have fewer values: 19 are enough for the tail, while a measure without a default limit takes
99, since it has nothing but its conformal p-value.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from audit_pipeline.evidence import Reference
from audit_pipeline.findings import STANDING_QUANTILES, Finding, Outcome, Standing
from audit_pipeline.multiplicity import benjamini_hochberg, holm
from audit_pipeline.records import Matrix
from audit_pipeline.wording import shown

LEAST_STUDIES = 99
"""Fewer clean studies cannot give a conformal p-value of 1 %, and the default limits stand."""

FEW_STUDIES = 19
"""Of them have a measure with a default limit at least; fewer cannot give a conformal p-value of 5 %."""

ERROR_RATE = 0.05
"""Family-wise error rate of the gating measures, and false discovery rate of the others."""

ALPHA = 0.01
"""Of the quantile that is printed as the limit of a measure without a default one."""

TAIL_SHARE, TAIL_STUDIES = 0.10, 5
"""Share of the clean studies through which the tail of a measure is drawn, and the fewest."""

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
    J. Lei et al., 2018, doi:10.1080/01621459.2017.1307116 (split conformal); J. Pickands, 1975,
    doi:10.1214/aos/1176343003 (peaks over a threshold).
    """
    weighed = [_weighed(_placed(one, reference), reference) for one in findings]
    gating = [one for one in weighed if one.calibrated and severities[one.name] >= GATING_SEVERITY]
    informing = [one for one in weighed if one.calibrated and severities[one.name] < GATING_SEVERITY]
    rejected: set[str] = set()
    for group, procedure in ((gating, holm), (informing, benjamini_hochberg)):
        adjusted = procedure([chance(one, reference) for one in group])
        rejected |= {one.name for one, p_value in zip(group, adjusted, strict=True) if p_value <= ERROR_RATE}
    return tuple(_concluded(one, is_rejected=one.name in rejected) for one in weighed)


def _weighed(finding: Finding, reference: Reference | None) -> Finding:
    """Return a measure with its p-value; one that has no default limit cannot be judged without a reference."""
    is_judged = finding.value is not None and finding.outcome not in {Outcome.ERROR, Outcome.NOT_EVALUABLE}
    if not finding.direction or finding.calibrated or finding.value is None or not is_judged:
        return finding
    clean = None if reference is None else reference.values.get(finding.name)
    has_limit = finding.provenance != "cal"
    if reference is None or clean is None or not _is_enough(reference, clean, has_limit=has_limit):
        if has_limit:
            return finding
        found = 0 if clean is None else int(clean.size)
        text = f"It measures {shown(finding.value)}, and {LEAST_STUDIES} clean reference studies are needed to judge it"
        return replace(finding, outcome=Outcome.NOT_EVALUABLE, message=f"{text}; there are {found}.")
    p_value = conformal_p(finding.value, clean, finding.direction)
    limit = finding.limit if has_limit else quantile_limit(clean, finding.direction)
    return replace(finding, calibrated=True, p_value=p_value, limit=limit)


def _is_enough(reference: Reference, clean: Matrix, *, has_limit: bool) -> bool:
    """Tell whether the values of a measure on clean studies may judge it."""
    least = FEW_STUDIES if has_limit else LEAST_STUDIES
    return len(reference.features) >= LEAST_STUDIES and clean.size >= least


def _placed(finding: Finding, reference: Reference | None) -> Finding:
    """Return a measure with its place among what it measured on the reference studies, however few they are."""
    if reference is None or not finding.direction or finding.value is None or finding.standing is not None:
        return finding
    clean = reference.values.get(finding.name)
    return finding if clean is None else replace(finding, standing=standing_of(finding.value, clean, finding.direction))


def standing_of(value: float, clean: Matrix, direction: str = "above") -> Standing | None:
    """Return where a value lies among those (n,) of clean studies; None where there are none, or not finite ones.

    >>> standing_of(3.0, np.asarray([1.0, 2.0, 3.0])).quantiles[3]
    2.0
    """
    if not clean.size or not np.isfinite(clean).all() or not math.isfinite(value):
        return None
    quantiles = tuple(float(one) for one in np.quantile(np.asarray(clean, dtype=np.float64), STANDING_QUANTILES))
    return Standing(quantiles=quantiles, studies=int(clean.size), p_value=conformal_p(value, clean, direction))


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


def chance(finding: Finding, reference: Reference | None) -> float:
    """Return the p-value that a calibrated measure is decided by: conformal, or `tail_p` beyond all clean studies."""
    if finding.p_value is None:
        return 1.0
    clean = None if reference is None else reference.values.get(finding.name)
    if clean is None or finding.value is None or finding.provenance == "cal":
        return finding.p_value
    return min(finding.p_value, tail_p(finding.value, clean, finding.direction))


def tail_p(value: float, clean: Matrix, direction: str) -> float:
    """Return the chance of a value beyond every clean study, by an exponential tail through the most extreme of them.

    1 where the value is not beyond all; 0 where the extreme ones are all alike, as of a measure that is always 0.

    >>> round(tail_p(2.0, np.linspace(0, 1, 100), "above"), 6)
    0.0
    """
    ordered = np.sort(clean if direction == "above" else -clean)[::-1]
    beyond = value if direction == "above" else -value
    if beyond <= ordered[0]:
        return 1.0
    count = max(TAIL_STUDIES, round(TAIL_SHARE * ordered.size))
    start = ordered[min(count, ordered.size - 1)]
    mean_excess = float(np.mean(ordered[:count] - start))
    return count / ordered.size * math.exp(-(beyond - start) / mean_excess) if mean_excess > 0 else 0.0


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
