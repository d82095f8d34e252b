"""Whether the model knows such studies, from its features and logits: B01, B02, their disagreement B06, and B07."""

from __future__ import annotations

import math

import numpy as np

from audit_pipeline.checks.decide import standing_of
from audit_pipeline.checks.declare import Result, check, not_evaluable
from audit_pipeline.checks.novelty import (
    LOGIT_SCORES,
    Novelty,
    groups_of,
    logit_scores,
    neighbour_distance,
    relative_mahalanobis,
    strongest,
)
from audit_pipeline.checks.shift_image import thumbnail_novelty
from audit_pipeline.checks.wording import sentence, sureness
from audit_pipeline.evidence import Evidence, Reference, Unanswered
from audit_pipeline.findings import Outcome
from audit_pipeline.records import Matrix, Prediction, Task
from audit_pipeline.wording import counted, shown

MOMENTS = ("mean", "standard deviation", "minimum", "maximum")


@check(
    "B01",
    title="Features unlike the reference",
    family="B",
    sentence="Inside the model this study looks unlike every study it was characterised on.",
    severity=(5, 3, 5),
    provenance="cal",
    reference="Sun 2022 (arXiv:2204.06507), neighbours; Ren 2021 (arXiv:2106.09022), relative Mahalanobis",
    advice="Treat the probability as void.",
)
def unfamiliar_features(evidence: Evidence, *, neighbours: int = 10, least: int = 20) -> Result:
    """Compare the features with those of the clean reference studies.

    Two distances: to the `neighbours`-th nearest reference study, and the relative Mahalanobis distance, where the
    classes are the labels of the reference or, without labels, what the model said. The one that stands out more
    counts, in units of the way from the median to the 95 % quantile of the clean studies.
    """
    found = feature_novelty(evidence, neighbours=neighbours, least=least)
    return found.result(f"The features stand out by {shown(found.value)} clean spreads", "clean spreads")


def feature_novelty(evidence: Evidence, *, neighbours: int = 10, least: int = 20) -> Novelty:
    """Return how unusual the features of the study are.

    Raises
    ------
    Unanswered
        There is no reference, or its features are others.
    """
    reference, features = evidence.reference, np.asarray(evidence.prediction.features, dtype=np.float64)
    layer = evidence.explanations[0].layer if evidence.explanations else ""
    reason = _missing(reference, features, layer, max(least, neighbours + 2))
    if reference is None or reason:
        raise Unanswered(reason)
    nearest, between = neighbour_distance(reference.features, features, neighbours)
    own, clean, words = [nearest], [between], [f"the {neighbours}th nearest lies {shown(nearest)} away"]
    groups = groups_of(reference.labels, reference.logits, evidence.prediction.task)
    relative = None if groups is None else relative_mahalanobis(reference.features, features, groups)
    if relative is None:
        words.append("classes of the reference are not known, so there is no relative Mahalanobis distance")
    else:
        own.append(relative[0])
        clean.append(relative[1])
        words.append(f"the relative Mahalanobis distance is {shown(relative[0])}")
    value, null, _ = strongest(np.asarray(own), np.stack(clean, axis=1))
    return Novelty(value, null, f" {sentence(*words)}")


@check(
    "B02",
    title="Logits unlike the reference",
    family="B",
    sentence="The model answers in a way it does not answer to any study it was characterised on.",
    severity=(4, 3, 5),
    provenance="cal",
    reference="Liu 2020 (arXiv:2010.03759), energy; Hendrycks 2017 (arXiv:1610.02136), confidence",
    advice="Treat the probability as void.",
)
def unfamiliar_logits(evidence: Evidence, *, least: int = 20) -> Result:
    """Compare energy, largest logit, confidence and entropy with those of the clean reference studies.

    Energy counts on both sides, as an answer may also be stronger than any clean study gives; the other three count
    where the model is less sure. The one that stands out most counts, see `strongest`.
    """
    found = logit_novelty(evidence, least=least)
    return found.result(f"The logits stand out by {shown(found.value)} clean spreads", "clean spreads")


def logit_novelty(evidence: Evidence, *, least: int = 20) -> Novelty:
    """Return how unusual the logits of the study are.

    Raises
    ------
    Unanswered
        The reference holds no logits, or of other classes.
    """
    reference, task = evidence.reference, evidence.prediction.task
    if reference is None or reference.logits is None:
        raise Unanswered("There are no logits of reference studies to compare with.")
    logits = np.asarray(evidence.prediction.logits, dtype=np.float64)[None]
    if len(reference.logits) < least or reference.logits.shape[1] != logits.shape[1]:
        studies, classes = reference.logits.shape
        raise Unanswered(
            f"The reference holds {studies} rows of {classes} logits; {least} of {logits.size} are needed."
        )
    if not (np.isfinite(logits).all() and np.isfinite(reference.logits).all()):
        raise Unanswered("A logit of the study or of the reference is not finite.")
    own, clean = logit_scores(logits, task), logit_scores(reference.logits, task)
    middle = float(np.median(clean[:, 0]))
    own[:, 0], clean[:, 0] = np.abs(own[:, 0] - middle), np.abs(clean[:, 0] - middle)
    value, null, which = strongest(own[0], clean)
    return Novelty(value, null, f" What stands out most is the {LOGIT_SCORES[which]}.")


@check(
    "B06",
    title="Novelty measures disagree",
    family="B",
    sentence="One measure finds this study unusual and the others find it ordinary: it may be near what is known.",
    severity=(2, 3, 5),
    provenance="dom",
    reference="Engineering judgement",
    advice="Read B01, B02 and B03 together.",
)
def novelty_disagrees(evidence: Evidence, *, unusual: float = 0.01, ordinary: float = 0.5) -> Result:
    """Note when one of the p-values of B01, B02 and B03 is at most `unusual` and all others exceed `ordinary`."""
    p_values: dict[str, float] = {}
    reasons = []
    for code, measure in (("B01", feature_novelty), ("B02", logit_novelty), ("B03", thumbnail_novelty)):
        try:
            p_values[code] = measure(evidence).p_value
        except Unanswered as missing:
            reasons.append(f"{code}: {missing}")
    if len(p_values) < 2:
        return not_evaluable(f"Two of B01, B02 and B03 are needed. {' '.join(reasons)}")
    low, *others = sorted(p_values, key=lambda code: p_values[code])
    is_split = p_values[low] <= unusual and all(p_values[code] > ordinary for code in others)
    listed = ", ".join(f"{code} {shown(value)}" for code, value in sorted(p_values.items()))
    text = f"Conformal p-values: {listed} (a note where one is at most {shown(unusual)} and the others exceed "
    text += f"{shown(ordinary)})."
    allowed = unusual if is_split or p_values[low] > unusual else None  # low passes where another p-value is low too
    return Result(Outcome.NOTE if is_split else Outcome.PASS, text, p_values[low], allowed, "p-value")


@check(
    "B07",
    title="Confident outlier",
    family="B",
    sentence="The model is sure about an image unlike any it was characterised on.",
    severity=(5, 2, 5),
    provenance="cal",
    reference="Sun 2022 (arXiv:2204.06507), neighbours; Lei 2018 (doi:10.1080/01621459.2017.1307116), conformal",
    advice="Treat the probability as void and do not use this prediction.",
)
def confident_outlier(
    evidence: Evidence, *, neighbours: int = 10, alpha: float = 0.01, confidence: float = 0.95, least: int = 20
) -> Result:
    """Compare the features of the study with those of the reference studies.

    The distance is the Euclidean one to the `neighbours`-th nearest reference study, each feature divided by its
    standard deviation in the reference. The limit is the ``ceil((R + 1)(1 - alpha))``-th smallest of the R distances
    of the reference studies to the others; with fewer than ``1 / alpha - 1`` of them the largest distance is taken
    and the message says so. Outside is flagged, and critical when the model's confidence exceeds `confidence`; with
    enough studies the p-value is weighed beside those of the other gating measures, unless the distance lies far beyond
    all clean ones (`novelty.Novelty.remote`). At least `least` reference studies are needed.
    """
    reference, features = evidence.reference, np.asarray(evidence.prediction.features, dtype=np.float64)
    layer = evidence.explanations[0].layer if evidence.explanations else ""
    reason = _missing(reference, features, layer, max(least, neighbours + 2))
    if reference is None or reason:
        return not_evaluable(reason)
    distance, null = neighbour_distance(reference.features, features, neighbours)
    studies = null.size
    rank = math.ceil((studies + 1) * (1 - alpha) - 1e-9)
    limit = float(np.sort(null)[min(rank, studies) - 1])
    p_value = (1 + int((null >= distance).sum())) / (studies + 1)
    sure = confidence_of(evidence.prediction)
    text = (
        f"The features lie {shown(distance)} standard deviations from the {neighbours}th nearest of "
        f"{counted(studies, 'reference study', 'reference studies')} (limit {shown(limit)}, conformal "
        f"p = {shown(p_value)}), and the confidence is {sureness(sure)}{_intensities(evidence, reference)}."
    )
    if rank > studies:
        text += f" With so few studies the limit is their largest distance, p = {shown(1 / (studies + 1))}."
    outcome = Outcome.PASS
    if distance > limit:
        outcome = Outcome.CRITICAL if sure > confidence else Outcome.FLAG
    is_weighed = rank <= studies and distance <= Novelty(distance, null).remote
    return Result(
        outcome, text, value=distance, limit=limit, unit="standard deviations", standing=standing_of(distance, null),
        p_value=p_value if is_weighed else None,
    )  # fmt: skip


def _missing(reference: Reference | None, features: Matrix, layer: str, least: int) -> str:
    if reference is None:
        return "There are no reference studies to compare with."
    studies, channels = reference.features.shape
    if studies < least:
        return f"There are {studies} reference studies, and the comparison needs {least}."
    if features.size != channels:
        return f"The study has {features.size} features and the reference {channels}; they are of different layers."
    if reference.layer and layer and reference.layer != layer:
        return f"The features are those of layer {layer}, the reference holds those of {reference.layer}."
    if not (np.isfinite(features).all() and np.isfinite(reference.features).all()):
        return "A feature of the study or of the reference is not finite."
    return ""


def confidence_of(prediction: Prediction) -> float:
    """Return the largest probability; for one sigmoid the larger of p and 1 - p, as both ends are confident."""
    if prediction.task is Task.BINARY:
        return max(max(p, 1 - p) for p in prediction.probabilities)
    return max(prediction.probabilities)


def _intensities(evidence: Evidence, reference: Reference) -> str:
    """Return the furthest of four moments of the model input from the reference, as the end of a sentence."""
    values = evidence.prepared.values.astype(np.float64)
    own = np.asarray([values.mean(), values.std(), values.min(), values.max()])
    spread = reference.intensities.std(axis=0, dtype=np.float64)
    usable = spread > 1e-6
    if not usable.any() or not np.isfinite(own).all():
        return ""
    distances = np.zeros(4)
    distances[usable] = ((own - reference.intensities.mean(axis=0, dtype=np.float64)) / np.where(usable, spread, 1))[
        usable
    ]
    furthest = int(np.abs(distances).argmax())
    return f"; the {MOMENTS[furthest]} of the input lies {shown(float(distances[furthest]))} standard deviations off"
