"""What a reviewer says about a study: a word of a fixed vocabulary, kept in the run beside the records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from audit_pipeline.findings import FailureMode, Outcome
from audit_pipeline.study_record import StudyRecord

GATING_SEVERITY = 4
"""Severity of a failure mode from which on a flag needs the word of a reviewer before the report is approved."""

NEEDS_A_WORD = (Outcome.CRITICAL, Outcome.ERROR, Outcome.FLAG)


class ReviewVerdict(StrEnum):
    """The vocabulary, fixed before any case is seen: what a reviewer says about the prediction of a study."""

    AGREE = "agree"
    NO_EVIDENCE = "agree, but the map is no evidence"
    DISAGREE = "disagree"
    CANNOT_JUDGE = "cannot judge"


@dataclass(frozen=True, kw_only=True, slots=True)
class Review:
    """One line of ``reviews.csv`` with a verdict; a study that was read twice has two, by different reviewers.

    reviewer : who read it, "" where nobody wrote a name; note : free words
    """

    study: str
    verdict: ReviewVerdict
    reviewer: str = ""
    note: str = ""


def gating_codes(record: StudyRecord, modes: Mapping[str, FailureMode]) -> tuple[str, ...]:
    """Return the codes of a study that a reviewer has to speak about: raised, and of a severity of 4 or 5.

    A study without a prediction, and a code without metadata, asks for no verdict.
    """
    if record.prediction is None:
        return ()
    raised = [one.code for one in record.findings if one.outcome in NEEDS_A_WORD]
    return tuple(code for code in dict.fromkeys(raised) if code in modes and modes[code].severity[0] >= GATING_SEVERITY)


def agreement(pairs: Sequence[tuple[ReviewVerdict, ReviewVerdict]]) -> float | None:
    """Return Cohen's kappa of two readings of the same studies; None without pairs, or where chance explains all.

    ``(observed - expected) / (1 - expected)``, both the shares of equal words, the second from the words of each
    reading alone.

    References
    ----------
    J. Cohen, A coefficient of agreement for nominal scales, 1960, doi:10.1177/001316446002000104.

    Examples
    --------
    >>> agree, differ = ReviewVerdict.AGREE, ReviewVerdict.DISAGREE
    >>> agreement([(agree, agree), (agree, differ), (differ, differ), (differ, differ)])
    0.5
    >>> agreement([(agree, agree)]) is None
    True
    """
    if not pairs:
        return None
    count = len(pairs)
    observed = sum(first == second for first, second in pairs) / count
    expected = sum(
        sum(first == word for first, _ in pairs) * sum(second == word for _, second in pairs) for word in ReviewVerdict
    ) / (count * count)
    return None if expected == 1 else (observed - expected) / (1 - expected)
