"""What a reviewer says about a study: a word of a fixed vocabulary, kept in the run beside the records."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from audit_pipeline.findings import FailureMode, Outcome
from audit_pipeline.study_record import StudyRecord

GATING_SEVERITY = 4
"""Severity of a failure mode from which on a flag needs the word of a reviewer before the report is approved."""

NEEDS_A_WORD = (Outcome.CRITICAL, Outcome.ERROR, Outcome.FLAG)


Z_95 = 1.959963984540054


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


@dataclass(frozen=True, kw_only=True, slots=True)
class Kappa:
    """Cohen's kappa with its 95 % interval, -1 to 1."""

    value: float
    low: float
    high: float


def agreement(pairs: Sequence[tuple[ReviewVerdict, ReviewVerdict]]) -> Kappa | None:
    """Return Cohen's kappa of two readings of the same studies; None without pairs, or where chance explains all.

    ``(observed - expected) / (1 - expected)``, both the shares of equal words, the second from the words of each
    reading alone; the interval from the large-sample variance.

    References
    ----------
    J. Cohen, A coefficient of agreement for nominal scales, 1960, doi:10.1177/001316446002000104; J. L. Fleiss,
    J. Cohen, B. S. Everitt, Large sample standard errors of kappa and weighted kappa, 1969, doi:10.1037/h0028106.

    Examples
    --------
    >>> agree, differ = ReviewVerdict.AGREE, ReviewVerdict.DISAGREE
    >>> agreement([(agree, agree), (agree, differ), (differ, differ), (differ, differ)]).value
    0.5
    >>> agreement([(agree, agree)]) is None
    True
    """
    if not pairs:
        return None
    words = list(ReviewVerdict)
    table = np.zeros((len(words), len(words)))
    for first, second in pairs:
        table[words.index(first), words.index(second)] += 1 / len(pairs)
    rows, columns = table.sum(axis=1), table.sum(axis=0)
    observed, expected = float(np.trace(table)), float(rows @ columns)
    if expected > 1 - 1e-12:
        return None
    value = (observed - expected) / (1 - expected)
    # variance by Fleiss, Cohen and Everitt, eq. 13
    reach = (rows[None, :] + columns[:, None]) * (1 - value)
    own = np.diagonal(table) * (1 - np.diagonal(reach)) ** 2
    others = (table * reach**2).sum() - (np.diagonal(table) * np.diagonal(reach) ** 2).sum()
    spread = float(own.sum() + others) - (value - expected * (1 - value)) ** 2
    error = Z_95 * math.sqrt(max(0.0, spread / len(pairs))) / (1 - expected)
    return Kappa(value=value, low=max(-1.0, value - error), high=min(1.0, value + error))
