"""ROC and precision-recall curves of one class: the counts at every threshold, and the bands they leave."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, log, sqrt

import numpy as np
from numpy.typing import NDArray

from audit_pipeline.cohort.declare import Estimate
from audit_pipeline.cohort.proportions import FEWEST, Z_95, effective, wilson_share
from audit_pipeline.records import Mask, Matrix

Ints = NDArray[np.int64]
MOST_POINTS = 200
"""Of a stored curve; one with fewer different scores is stored whole."""

ALONG = 120
"""Points spread evenly along the ROC curve; the others lie where few studies are called, which rules precision."""

Z_JOINT = 2.241402727604947
"""Standard normal quantile of 0.9875: two intervals of 97.5 % hold together with at least 95 %."""

BAND_DECIMALS = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class Curve:
    """What is called at or above each threshold, from the highest score down; before the first nothing is called.

    distinct : different scores; where there are more than points, the points are spread over them
    true_positives, false_positives : calls at or above the threshold, of `positives` and `negatives`
    sensitivity, fallout : (low, high) at every point, Wilson intervals of 97.5 % each, so that the point of the
        population at this threshold lies in both with at least 95 %; pointwise, not for all thresholds at once
    precision : (low, high) at every point, Wilson interval of 95 %
    average_precision : step-wise area under the precision-recall curve
    """

    positives: int
    negatives: int
    distinct: int
    thresholds: tuple[float, ...]
    true_positives: tuple[int, ...]
    false_positives: tuple[int, ...]
    sensitivity: tuple[tuple[float, float], ...]
    fallout: tuple[tuple[float, float], ...]
    precision: tuple[tuple[float, float], ...]
    average_precision: Estimate


def curve(scores: Matrix, truth: Mask, clusters: Ints, *, keep: Sequence[float] = ()) -> Curve | None:
    """Return the curve of one class against the rest; None with fewer than 10 cases of a kind.

    Parameters
    ----------
    scores : (n,) higher means positive; truth : (n,) bool; clusters : (n,) number of the patient of each case
    keep : thresholds whose point is stored in any case
    """
    positives, negatives = int(truth.sum()), int((~truth).sum())
    if min(positives, negatives) < FEWEST:
        return None
    thresholds, hits, false = counts(scores, truth)
    forced = [int((thresholds >= one).sum()) - 1 for one in keep]
    places = kept(hits, false, [place for place in forced if place >= 0])
    bands = [_bands(scores >= thresholds[place], truth, clusters) for place in places]
    return Curve(
        positives=positives,
        negatives=negatives,
        distinct=thresholds.size,
        thresholds=tuple(thresholds[places].tolist()),
        true_positives=tuple(hits[places].tolist()),
        false_positives=tuple(false[places].tolist()),
        sensitivity=tuple(one[0] for one in bands),
        fallout=tuple(one[1] for one in bands),
        precision=tuple(one[2] for one in bands),
        average_precision=average_precision(hits, false, np.unique(clusters[truth]).size),
    )


def counts(scores: Matrix, truth: Mask) -> tuple[Matrix, Ints, Ints]:
    """Return the different scores from the highest down, and the true and false calls at or above each.

    Examples
    --------
    >>> counts(np.asarray([0.9, 0.2, 0.9, 0.4]), np.asarray([True, False, False, True]))[1].tolist()
    [1, 2, 2]
    """
    order = np.argsort(-scores, kind="stable")
    ordered = scores[order]
    last = np.append(np.flatnonzero(np.diff(ordered)), scores.size - 1)
    hits = np.cumsum(truth[order])[last].astype(np.int64)
    return ordered[last], hits, (last + 1 - hits).astype(np.int64)


def kept(hits: Ints, false: Ints, forced: Sequence[int] = (), most: int = MOST_POINTS) -> Ints:
    """Return which points of a curve are stored: all of at most `most`, else spread along it and over few calls."""
    if hits.size <= most:
        return np.arange(hits.size)
    travelled = hits / hits[-1] + false / false[-1]
    along = np.searchsorted(travelled, np.linspace(0, travelled[-1], ALONG))
    called = np.log(hits + false)
    few = np.searchsorted(called, np.linspace(called[0], called[-1], most - ALONG - len(forced) - 1))
    chosen = np.concatenate([along, few, [hits.size - 1], np.asarray(forced, dtype=np.int64)])
    return np.unique(np.clip(chosen, 0, hits.size - 1)).astype(np.int64)


Range = tuple[float, float]


def _bands(called: Mask, truth: Mask, clusters: Ints) -> tuple[Range, Range, Range]:
    """Return the intervals of sensitivity, of the false-positive rate and of precision at one threshold."""
    return (
        _interval(called[truth], clusters[truth], Z_JOINT),
        _interval(called[~truth], clusters[~truth], Z_JOINT),
        _interval(truth[called], clusters[called], Z_95),
    )


def _interval(hits: Mask, clusters: Ints, z: float) -> Range:
    _, reduced = effective(hits, clusters)
    low, high = wilson_share(float(hits.mean()), reduced, z)
    return round(low, BAND_DECIMALS), round(high, BAND_DECIMALS)


def average_precision(hits: Ints, false: Ints, patients: int) -> Estimate:
    """Return the average precision with its 95 % interval on the logit scale.

    ``AP = sum (R_i - R_(i-1)) P_i`` over all different scores, ``logit(AP) +- z / sqrt(n AP (1 - AP))`` with n the
    number of positive patients; at an area of 1, which has no logit, Wilson's interval of 1 with the same n.

    References
    ----------
    K. Boyd, K. H. Eng, C. D. Page, Area under the precision-recall curve: point estimates and confidence intervals,
    2013, doi:10.1007/978-3-642-40994-3_29.
    """
    recall = np.concatenate([[0.0], hits / hits[-1]])
    area = float((np.diff(recall) * hits / (hits + false)).sum())
    if 0 < area < 1:
        centre, reach = log(area / (1 - area)), Z_95 / sqrt(patients * area * (1 - area))
        low, high = (1 / (1 + exp(-max(-700.0, min(700.0, centre + sign * reach)))) for sign in (-1, 1))
    else:
        low, high = wilson_share(min(area, 1.0), patients)
    return Estimate(value=min(area, 1.0), low=low, high=high, n=int(hits[-1] + false[-1]))
