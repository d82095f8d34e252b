"""The two verdicts of a study: may the prediction be trusted, and may the picture."""

from __future__ import annotations

from collections.abc import Sequence

from audit_pipeline.checks.families import catalogue
from audit_pipeline.findings import Finding, Outcome, Verdict

PREDICTION_FAMILIES = frozenset("ABC")
EXPLANATION_FAMILIES = frozenset("D")

ORDER = (Outcome.CRITICAL, Outcome.ERROR, Outcome.FLAG, Outcome.NOTE, Outcome.PASS, Outcome.NOT_EVALUABLE)
"""The first outcome in this order that any finding of the families has is the verdict."""


def verdict(findings: Sequence[Finding]) -> Verdict:
    """Return the verdict on the prediction (families A, B and C) and the one on the explanation (family D).

    The rule, in this order:

    1. a critical finding makes the verdict ``critical``;
    2. a check that crashed makes it ``error``: what it would have found is unknown;
    3. a flag makes it ``flag``, and 4. a note makes it ``note``;
    5. it is ``pass`` when at least one check passed and none of the above holds;
    6. it is ``not_evaluable`` when no check could be evaluated, also when there are none.

    Checks that could not be evaluated stay visible as findings; they add nothing to a pass and take nothing from it.
    The deciding code is that of the finding with the decisive outcome; among several the one with the highest
    severity S, then the largest product S*O*D, then the first code. A ``pass`` has no deciding code. Findings of
    checks outside the catalogue, such as those of the loader, count with the lowest severity.
    """
    prediction, prediction_code = _verdict_of(findings, PREDICTION_FAMILIES)
    explanation, explanation_code = _verdict_of(findings, EXPLANATION_FAMILIES)
    return Verdict(
        prediction=prediction,
        explanation=explanation,
        prediction_code=prediction_code,
        explanation_code=explanation_code,
    )


def _verdict_of(findings: Sequence[Finding], families: frozenset[str]) -> tuple[Outcome, str]:
    relevant = [one for one in findings if one.family in families]
    for outcome in ORDER:
        deciding = [one for one in relevant if one.outcome is outcome]
        if deciding:
            return outcome, "" if outcome is Outcome.PASS else min(deciding, key=_rank).code
    return Outcome.NOT_EVALUABLE, ""


def _rank(finding: Finding) -> tuple[int, int, str]:
    known = catalogue().get(finding.name)
    severity, occurrence, invisibility = known.mode.severity if known else (0, 0, 0)
    return -severity, -severity * occurrence * invisibility, finding.code
