"""Shortcuts: metadata that predict the label (E04), the model using them (E05), and what features know (E07)."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from audit_pipeline.cohort.association import EFFECT, EFFECT_NOTE, Association, Field, association, fields_of
from audit_pipeline.cohort.calibration import log_odds
from audit_pipeline.cohort.comparison import clustered_variance, influence, stratified_area
from audit_pipeline.cohort.declare import Cell, CohortResult, Estimate, NotEvaluable, Table, cohort_check
from audit_pipeline.cohort.discrimination import Discrimination, discrimination
from audit_pipeline.cohort.proportions import FEWEST
from audit_pipeline.cohort.record import Cohort, Ints, Question
from audit_pipeline.cohort.wording import p_shown, with_interval
from audit_pipeline.findings import Outcome
from audit_pipeline.multiplicity import benjamini_hochberg, holm
from audit_pipeline.terms import within
from audit_pipeline.wording import listed, shown

Vector = NDArray[np.float64]
FOLDS = 5


@cohort_check(
    "E04",
    title="Metadata predict the label",
    sentence="The site or the scanner alone tells who is ill, so a model can score well without looking.",
    severity=(5, 4, 5),
    provenance="dom",
    reference="Zech 2018 (doi:10.1371/journal.pmed.1002683): the hospital alone reached an AUROC of 0.861",
    advice="Balance the sites, and state the performance within each of them.",
    direction="above",
)
def metadata_predict(cohort: Cohort, *, limit: float = 0.6, margin: float = 0.05) -> CohortResult:
    """Fit a model to the metadata alone, and state its AUROC on patients it has not seen.

    A penalised logistic regression on the fields of the acquisition and the site, in five folds by patient; age, sex
    and other facts of the person are left out. Flagged when the lower end of the 95 % interval exceeds `limit`,
    critical when the area also comes within `margin` of the model's own.
    """
    fields = [field for field in fields_of(cohort) if not field.is_of_the_patient]
    if not fields:
        raise NotEvaluable("No field of the metadata differs between the studies.")
    rows: list[tuple[Cell, ...]] = []
    found: list[tuple[float, Discrimination, Discrimination, str]] = []
    for question in cohort.questions:
        scores = out_of_fold(design(fields, question.rows), question.truth, cohort.clusters[question.rows], cohort.seed)
        if scores is None:
            continue
        clusters = cohort.clusters[question.rows]
        alone, image = (discrimination(one, question.truth, clusters) for one in (scores, question.scores))
        if alone.auroc is not None and alone.low is not None and image.auroc is not None:
            found.append((exceeds(scores, question.truth, clusters, limit), alone, image, question.name))
            rows.append((question.name, area(alone), area(image)))
    if not found:
        raise NotEvaluable(f"No class has {FEWEST} labelled positives and negatives of different patients.")
    adjusted = holm([one[0] for one in found])
    worst = int(np.argmin(adjusted))
    _, alone, image, name = found[worst]
    assert alone.auroc is not None
    assert alone.low is not None
    assert alone.high is not None
    assert image.auroc is not None
    raised = float(adjusted[worst]) < 0.025
    outcome = Outcome.PASS
    if raised:
        outcome = Outcome.CRITICAL if alone.auroc >= image.auroc - margin else Outcome.FLAG
    message = (
        f"Metadata alone ({listed([within(field.name) for field in fields])}) "
        f"{'predict' if alone.auroc > 0.5 else 'do not predict'} {name}: AUROC "
        f"{with_interval(alone.auroc, alone.low, alone.high)} (n = {alone.n}); the model reaches {shown(image.auroc)}."
    )
    table = Table(title="Label from metadata alone", head=("Class", "Metadata", "Model"), rows=tuple(rows))
    return CohortResult(
        outcome, message, value=alone.auroc, limit=limit, unit="AUROC", n=alone.n, low=alone.low, high=alone.high,
        p_value=float(adjusted[worst]), tables=(table,),
    )  # fmt: skip


def area(found: Discrimination) -> Estimate:
    """Return an AUROC as a cell of a table."""
    return Estimate(value=found.auroc, low=found.low, high=found.high, n=found.n, reason=found.reason)


def exceeds(scores: Vector, truth: NDArray[np.bool_], clusters: Ints, limit: float) -> float:
    """Return the one-sided p-value of the hypothesis that the AUROC is at most `limit`, normal approximation."""
    from scipy.stats import norm

    value, moves = influence(scores, truth)
    error = sqrt(max(clustered_variance(moves, truth, clusters), 1e-12))
    return float(norm.sf((value - limit) / error))


def design(fields: list[Field], rows: Ints) -> Vector:
    """Return the metadata as numbers: one column per value of a text, numbers standardised, missing ones 0."""
    columns: list[Vector] = []
    for field in fields:
        taken = field.taken(rows)
        if taken.numbers is not None:
            known = np.isfinite(taken.numbers)
            spread = float(np.std(taken.numbers[known])) if known.any() else 0.0
            centre = float(np.mean(taken.numbers[known])) if known.any() else 0.0
            columns.append(np.where(known, (taken.numbers - centre) / (spread or 1.0), 0.0))
            if not known.all():
                columns.append((~known).astype(np.float64))
        else:
            texts = np.asarray(taken.texts)
            columns += [(texts == level).astype(np.float64) for level in np.unique(texts)]
    return np.column_stack(columns) if columns else np.zeros((rows.size, 0))


def out_of_fold(
    values: Vector, truth: NDArray[np.bool_], clusters: Ints, seed: int, *, components: int = 0
) -> Vector | None:
    """Return log-odds of a penalised logistic regression for patients it was not fitted to; None with too few cases.

    components : principal components that the values are reduced to within each fold, 0 for none
    """
    if min(np.unique(clusters[truth]).size, np.unique(clusters[~truth]).size) < FEWEST:
        return None
    from sklearn.model_selection import StratifiedGroupKFold

    folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed % 2**31)
    scores = np.zeros(truth.size)
    for known, asked in folds.split(values, truth, clusters):
        model = _regression(components)
        model.fit(values[known], truth[known])
        scores[asked] = model.decision_function(values[asked])
    return scores


def _regression(components: int):  # type: ignore[no-untyped-def] # noqa: ANN202 - a pipeline of an untyped library
    from sklearn.decomposition import PCA
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    reduced = [StandardScaler(), PCA(components, svd_solver="full")] if components else []
    return make_pipeline(*reduced, LogisticRegression(C=0.5, max_iter=500))


@dataclass(frozen=True, kw_only=True, slots=True)
class Use:
    """How the probability of one class goes with one field within the labels."""

    question: Question
    field: Field
    found: Association
    adjusted: float = 1.0


@cohort_check(
    "E05",
    title="Shortcut in use",
    sentence="Among studies with the same label, the probability follows a fact of the acquisition.",
    severity=(5, 4, 5),
    provenance="dom",
    reference="DeGrave 2021 (doi:10.1038/s42256-021-00338-7); Kruskal and Wallis 1952; Benjamini and Hochberg 1995",
    advice="Test on studies where this fact and the label are balanced against each other.",
    direction="above",
)
def shortcut_in_use(
    cohort: Cohort, *, alpha: float = 0.05, effect: float = 0.1, drop: float = 0.05, draws: int = 300
) -> CohortResult:
    """Test, within each label, whether the log-odds of a class go with a field of the metadata.

    The p-values of all classes and fields are adjusted by Benjamini and Hochberg. A field is flagged when it is
    significant and moves the rank of a study by at least `effect` (as a chance around one half); critical when,
    besides, the AUROC within the values of the field is lower by at least `drop`, with a bootstrap interval by patient
    above 0. Facts of the person are shown and not flagged. The first study of every patient is read.
    """
    uses = _uses(cohort)
    if not uses:
        raise NotEvaluable("No field of the metadata differs between labelled studies often enough.")
    significant = [one for one in uses if one.adjusted < alpha and one.found.effect >= effect]
    raised = [one for one in significant if not one.field.is_of_the_patient]
    drops = {(one.question.name, one.field.name): area_drop(cohort, one, draws) for one in raised}
    is_critical = any(
        found.value is not None and found.low is not None and found.value >= drop and found.low > 0
        for found in drops.values()
    )
    judged = [one for one in uses if not one.field.is_of_the_patient] or uses
    worst = raised[0] if raised else judged[0]
    named = [
        f"{within(one.field.name)} ({one.question.name}, {one.found.sentence}, {p_shown(one.adjusted)})"
        for one in raised
    ]
    message = f"Within the labels the probability follows {listed(named)}." if raised else (
        f"Within the labels no fact of the acquisition is shown to move the probability; smallest p: "
        f"{within(worst.field.name)}, "
        f"{worst.found.sentence}, adjusted {p_shown(worst.adjusted)} (n = {worst.found.n})."
    )  # fmt: skip
    outcome = (
        Outcome.CRITICAL if is_critical else Outcome.FLAG if raised else Outcome.NOTE if significant else Outcome.PASS
    )
    rows: list[tuple[Cell, ...]] = [
        (one.question.name, one.field.name, one.found.n, one.found.estimate, one.adjusted,
         drops.get((one.question.name, one.field.name)))
        for one in uses
    ]  # fmt: skip
    table = Table(
        title="Probability against metadata, within the labels", rows=tuple(rows),
        head=("Class", "Field", "Studies", "Effect", "Adjusted p", "AUROC lost within values"),
        note=EFFECT_NOTE,
    )  # fmt: skip
    return CohortResult(
        outcome,
        message,
        value=worst.found.effect,
        limit=effect,
        unit=EFFECT,
        n=worst.found.n,
        low=worst.found.low,
        high=worst.found.high,
        p_value=worst.adjusted,
        tables=(table,),
    )


def _uses(cohort: Cohort) -> list[Use]:
    found: list[Use] = []
    for question in cohort.questions:
        single = np.isin(question.rows, cohort.one_per_patient(question.rows))
        rows = question.rows[single]
        labels = ["positive" if one else "negative" for one in question.truth[single]]
        odds = log_odds(question.scores[single])
        for field in fields_of(cohort):
            one = association(odds, field.taken(rows), labels)
            if one is not None:
                found.append(Use(question=question, field=field, found=one))
    adjusted = benjamini_hochberg([one.found.p_value for one in found])
    known = [Use(question=one.question, field=one.field, found=one.found, adjusted=float(p))
             for one, p in zip(found, adjusted, strict=True)]  # fmt: skip
    return sorted(known, key=lambda one: (one.adjusted, one.found.p_value, -one.found.effect))


def area_drop(cohort: Cohort, use: Use, draws: int) -> Estimate:
    """Return the AUROC lost when only studies with the same value of a field are compared, bootstrap by patient."""
    question, field = use.question, use.field.taken(use.question.rows)
    if field.texts is not None:
        strata = np.asarray(field.texts)
    else:
        assert field.numbers is not None
        strata = np.asarray(np.digitize(field.numbers, np.nanquantile(field.numbers, [0.25, 0.5, 0.75])), dtype=np.str_)

    def loss(chosen: Ints) -> float | None:
        scores, truth = question.scores[chosen], question.truth[chosen]
        if truth.all() or not truth.any():
            return None
        within = stratified_area(scores, truth, strata[chosen])
        return None if within is None else influence(scores, truth)[0] - within

    everything = np.arange(question.rows.size)
    value = loss(everything)
    members = [
        np.flatnonzero(cohort.clusters[question.rows] == one) for one in np.unique(cohort.clusters[question.rows])
    ]
    draw = np.random.default_rng(cohort.seed)
    losses = [
        one
        for _ in range(draws)
        if (one := loss(np.concatenate([members[place] for place in draw.integers(len(members), size=len(members))])))
        is not None
    ]
    if value is None or len(losses) < draws / 2:
        reason = "no value of the field has both labels"
        return Estimate(value=None, low=None, high=None, n=question.rows.size, reason=reason)
    low, high = (float(np.quantile(losses, share)) for share in (0.025, 0.975))
    return Estimate(value=value, low=low, high=high, n=int(question.rows.size))


@cohort_check(
    "E07",
    title="Features encode the site",
    sentence="The site can be read from the features of the model; whether it is used, E05 tells.",
    severity=(2, 5, 5),
    provenance="dom",
    reference="Linear probes, Alain and Bengio 2016 (arXiv:1610.01644); Glocker 2023 (doi:10.1016/j.ebiom.2023.104467)",
    advice="Look at E05: encoding is not use.",
    direction="above",
)
def features_encode_site(cohort: Cohort, *, above_chance: float = 0.2, components: int = 10) -> CohortResult:
    """Predict the site from the features, on patients that the probe has not seen.

    One probe per site against the rest, in five folds; the value is the mean of sensitivity and specificity of the
    best probe at the prevalence of the site. Noted when the lower end of its interval exceeds 0.5 + `above_chance`.
    """
    if cohort.features is None:
        raise NotEvaluable("The features of the studies were not stored.")
    sites = np.asarray(cohort.sites)
    known = np.flatnonzero(sites != "")
    values = cohort.features[known].astype(np.float64)
    clusters = cohort.clusters[known]
    found: list[tuple[str, Estimate]] = []
    for site in np.unique(sites[known]):
        truth = sites[known] == site
        scores = out_of_fold(values, truth, clusters, cohort.seed, components=min(components, values.shape[1]))
        if scores is not None:
            found.append((str(site), _balanced(scores, truth)))
    if len(found) < 2:
        raise NotEvaluable(f"Two sites with {FEWEST} patients each are needed.")
    name, best = max(found, key=lambda pair: pair[1].low or 0.0)
    assert best.value is not None
    assert best.low is not None
    assert best.high is not None
    limit = 0.5 + above_chance
    message = (
        f"From the features, site {name.removeprefix('site ')} is told from the others with a balanced accuracy of "
        f"{with_interval(best.value, best.low, best.high)} (n = {best.n}, chance 0.5)."
    )
    rows = tuple((site, estimate) for site, estimate in found)
    return CohortResult(
        Outcome.NOTE if best.low > limit else Outcome.PASS, message, value=best.value, limit=limit,
        unit="balanced accuracy", n=best.n, low=best.low, high=best.high,
        tables=(Table(title="Sites read from the features", head=("Site", "Balanced accuracy"), rows=rows),),
    )  # fmt: skip


def _balanced(scores: Vector, truth: NDArray[np.bool_]) -> Estimate:
    """Return balanced accuracy at the cut that calls as many positives as there are; interval by the delta method."""
    cut = np.sort(scores)[::-1][int(truth.sum()) - 1]
    called = scores >= cut
    sensitivity, specificity = float(called[truth].mean()), float((~called[~truth]).mean())
    variance = sum(p * (1 - p) / n for p, n in ((sensitivity, truth.sum()), (specificity, (~truth).sum()))) / 4
    value, reach = (sensitivity + specificity) / 2, 1.96 * sqrt(variance)
    return Estimate(value=value, low=value - reach, high=min(1.0, value + reach), n=truth.size)
