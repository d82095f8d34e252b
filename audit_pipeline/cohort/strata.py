"""Hidden strata: a kind of study, known to nobody, that the model gets wrong (E03)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from audit_pipeline.cohort.calibration import log_odds
from audit_pipeline.cohort.declare import Cell, CohortResult, NotEvaluable, Table, cohort_check
from audit_pipeline.cohort.proportions import FEWEST, proportion
from audit_pipeline.cohort.record import Cohort, Ints, Question
from audit_pipeline.cohort.wording import estimate_of, p_shown, share
from audit_pipeline.findings import Outcome
from audit_pipeline.multiplicity import benjamini_hochberg
from audit_pipeline.records import Mask
from audit_pipeline.wording import counted, shown

Vector = NDArray[np.float64]
MOST_KEYS = 12
KNOTS = (0.05, 0.275, 0.5, 0.725, 0.95)
"""Quantiles at which the curve of the features over the log-odds may bend."""

STUDIES_A_KNOT = 10
DROP = "share of the accuracy"


@dataclass(frozen=True, kw_only=True, slots=True)
class Stratum:
    """A cluster of studies of one true class: members (places in the cohort), errors, stability of the cluster."""

    question: str
    kind: str
    rows: Ints
    members: Mask
    wrong: Mask
    p_value: float
    drop: float
    stability: float | None = None

    @property
    def keys(self) -> Ints:
        """Places of the members in the cohort."""
        return self.rows[self.members]


@cohort_check(
    "E03",
    title="Hidden stratum",
    sentence="The model fails on a kind of study that no column of the data names.",
    severity=(5, 3, 5),
    provenance="lit",
    reference="Oakden-Rayner 2020 (doi:10.1145/3368555.3384468); Hennig 2007 (doi:10.1016/j.csda.2006.11.025), Jaccard",
    advice="Look at these studies together, name what they share, and test on more of them.",
    direction="above",
)
def hidden_stratum(
    cohort: Cohort, *, least: int = 20, drop: float = 0.2, stability: float = 0.6, most: int = 6, alpha: float = 0.05
) -> CohortResult:
    """Cluster the features of each true class and compare the error rate of every cluster with the rest of the class.

    The part of the features that a smooth curve over the log-odds explains is removed first: studies near the threshold
    are wrong more often by nature, and they are no kind of their own. Gaussian mixtures on the leading principal
    components, their number by BIC. A cluster is flagged when Fisher's exact test, adjusted by Benjamini and Hochberg,
    is below `alpha`, its accuracy is lower than that of the rest by the share `drop`, and it comes back in bootstrap
    samples with a mean Jaccard index of at least `stability`. That nothing is found proves little: the best published
    method found 36 % of planted strata.
    """
    if cohort.features is None:
        raise NotEvaluable("The features of the studies were not stored.")
    strata = [one for question in cohort.questions for one in _strata(cohort, question, least, most)]
    sizes = [int(kind.sum()) for question in cohort.questions for kind in (question.truth, ~question.truth)]
    if not sizes or max(sizes) < 2 * least:
        raise NotEvaluable(f"No class has {2 * least} labelled studies to look for clusters in.")
    if not strata:
        message = (
            f"The features of no class fall into clusters of at least {least} studies (largest class {max(sizes)})."
        )
        return CohortResult(Outcome.PASS, message, value=0.0, limit=drop, unit=DROP, n=max(sizes), p_value=1.0)
    adjusted = benjamini_hochberg([one.p_value for one in strata])
    order = np.argsort(adjusted, kind="stable")
    candidates = [place for place in order if adjusted[place] < alpha and strata[place].drop >= drop]
    found = [place for place in candidates if _is_stable(cohort, strata[place], most, stability)]
    worst = int(found[0] if found else order[0])
    one = strata[worst]
    inside, outside = (proportion(int(one.wrong[side].sum()), int(side.sum())) for side in (one.members, ~one.members))
    message = (
        f"Of {counted(len(strata), 'cluster')}, {len(found)} fail more often. {one.kind} of {one.question}: wrong in "
        f"{share(inside)} against {share(outside)} of the rest, adjusted {p_shown(float(adjusted[worst]))}."
    )
    return CohortResult(
        Outcome.FLAG if found else Outcome.PASS, message, value=one.drop, limit=drop, unit=DROP,
        n=int(one.members.size), p_value=float(adjusted[worst]), tables=(_table(cohort, strata, adjusted),),
    )  # fmt: skip


def _strata(cohort: Cohort, question: Question, least: int, most: int) -> Iterator[Stratum]:
    assert cohort.features is not None
    single = np.isin(question.rows, cohort.one_per_patient(question.rows))
    for kind, name in ((question.truth, "Positives"), (~question.truth, "Negatives")):
        chosen = kind & single
        if chosen.sum() < 2 * least:
            continue
        rows = question.rows[chosen]
        wrong = (question.called != question.truth)[chosen]
        parts = clusters_of(unexplained(cohort, question, chosen), most, cohort.seed)
        for part in range(int(parts.max()) + 1):
            members = parts == part
            if least <= members.sum() <= members.size - least:
                yield _stratum(question.name, name, rows, members, wrong)


def _stratum(question: str, kind: str, rows: Ints, members: Mask, wrong: Mask) -> Stratum:
    from scipy.stats import fisher_exact

    table = [[int(wrong[side].sum()), int((~wrong[side]).sum())] for side in (members, ~members)]
    accuracy, rest = (float(1 - wrong[side].mean()) for side in (members, ~members))
    drop = (rest - accuracy) / rest if rest > 0 else 0.0
    p_value = float(fisher_exact(table, alternative="greater").pvalue)
    return Stratum(question=question, kind=kind, rows=rows, members=members, wrong=wrong, p_value=p_value, drop=drop)


def unexplained(cohort: Cohort, question: Question, chosen: Mask) -> Vector:
    """Return the features of some studies less what a smooth curve over the log-odds explains, standardised.

    The curve is a restricted cubic spline through the studies of both classes that the model gets right. A kind of
    study that it gets wrong therefore does not bend the curve towards itself and disappear, and where it lies, at
    log-odds that speak for the other class, the curve is carried by studies of that class and not continued into the
    unknown.
    """
    assert cohort.features is not None
    odds = log_odds(question.scores)
    right = question.called == question.truth
    fitted = right if right.sum() >= FEWEST else np.ones_like(right)
    base = curve_base(odds, odds[fitted])
    values = cohort.features[question.rows].astype(np.float64)
    rest = (values - base @ np.linalg.lstsq(base[fitted], values[fitted], rcond=None)[0])[chosen]
    spread = rest.std(axis=0)
    return np.asarray(np.divide(rest, spread, out=np.zeros_like(rest), where=spread > 1e-9), dtype=np.float64)


def curve_base(values: Vector, known: Vector) -> Vector:
    """Return the columns of a restricted cubic spline, linear beyond its outermost knots: (n, 1 + knots - 1).

    The knots lie at the quantiles `KNOTS` of the known values; with fewer than `STUDIES_A_KNOT` of them for each knot,
    or where quantiles fall together, the curve is a straight line.

    References
    ----------
    F. E. Harrell, Regression Modeling Strategies, 2015, section 2.4.5, equation 2.25, doi:10.1007/978-3-319-19425-7.
    """
    columns = [np.ones_like(values), values]
    knots = np.quantile(known, KNOTS)
    if known.size >= STUDIES_A_KNOT * len(KNOTS) and np.diff(knots).min() > 1e-9:
        last, before = knots[-1], knots[-2]
        scale = (last - knots[0]) ** 2

        def cube(knot: float) -> Vector:
            return np.asarray(np.clip(values - knot, 0, None) ** 3 / scale, dtype=np.float64)

        columns += [
            cube(knot) - cube(before) * (last - knot) / (last - before) + cube(last) * (before - knot) / (last - before)
            for knot in knots[:-2]
        ]
    return np.column_stack(columns)


def clusters_of(values: Vector, most: int, seed: int) -> Ints:
    """Return the cluster of each row: Gaussian mixtures of 1 to `most` parts, the number by BIC."""
    reduced = _reduced(values)
    fits = [_mixture(reduced, parts, seed) for parts in range(1, most + 1) if reduced.shape[0] >= 10 * parts]
    best = min(fits, key=lambda fit: fit.bic(reduced))
    return np.asarray(best.predict(reduced), dtype=np.int64)


def _reduced(values: Vector) -> Vector:
    components = int(min(6, values.shape[1], max(1, values.shape[0] // 20)))
    left, scale, _ = np.linalg.svd(values - values.mean(axis=0), full_matrices=False)
    return np.asarray(left[:, :components] * scale[:components], dtype=np.float64)


def _mixture(values: Vector, parts: int, seed: int) -> Any:
    from sklearn.mixture import GaussianMixture

    mixture = GaussianMixture(parts, covariance_type="diag", random_state=seed % 2**31, reg_covar=1e-3)
    return mixture.fit(values)


def _is_stable(cohort: Cohort, one: Stratum, most: int, limit: float, draws: int = 20) -> bool:
    """Return whether the cluster comes back in bootstrap samples, by the mean of its best Jaccard index."""
    question = next(asked for asked in cohort.questions if asked.name == one.question)
    chosen = np.isin(question.rows, one.rows)
    values = unexplained(cohort, question, chosen)
    parts = int(clusters_of(values, most, cohort.seed).max()) + 1
    reduced = _reduced(values)
    draw = np.random.default_rng(cohort.seed)
    found = []
    for _ in range(draws):
        sample = draw.integers(values.shape[0], size=values.shape[0])
        labels = _mixture(reduced[sample], parts, cohort.seed).predict(reduced)
        found.append(max(_jaccard(one.members, labels == part) for part in range(parts)))
    return float(np.mean(found)) >= limit


def _jaccard(first: Mask, second: Mask) -> float:
    union = int((first | second).sum())
    return float((first & second).sum()) / union if union else 0.0


def _table(cohort: Cohort, strata: list[Stratum], adjusted: Vector) -> Table:
    rows: list[tuple[Cell, ...]] = [
        (
            one.question,
            one.kind,
            int(one.members.sum()),
            estimate_of(proportion(int(one.wrong[one.members].sum()), int(one.members.sum()))),
            estimate_of(proportion(int(one.wrong[~one.members].sum()), int((~one.members).sum()))),
            float(p_value),
            ", ".join(cohort.keys[place] for place in one.keys[:MOST_KEYS]),
        )
        for one, p_value in sorted(zip(strata, adjusted, strict=True), key=lambda pair: float(pair[1]))
    ]
    head = ("Class", "Kind", "Studies", "Wrong", "Wrong in the rest", "Adjusted p", "Examples")
    note = f"Up to {shown(MOST_KEYS)} examples of each cluster."
    return Table(title="Clusters of the features", head=head, rows=tuple(rows), note=note)
