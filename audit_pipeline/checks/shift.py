"""Whether the model knows such images: distance to the reference studies (B07)."""

from __future__ import annotations

import math

import numpy as np
from scipy.spatial.distance import cdist

from audit_pipeline.checks.declare import Result, check, not_evaluable
from audit_pipeline.checks.wording import counted, percent, shown
from audit_pipeline.evidence import Evidence, Reference
from audit_pipeline.findings import Outcome
from audit_pipeline.records import Matrix, Prediction, Task

MOMENTS = ("mean", "standard deviation", "minimum", "maximum")


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
    and the message says so. Outside is flagged, and critical when the model's confidence exceeds `confidence`.
    At least `least` reference studies are needed.
    """
    reference, features = evidence.reference, np.asarray(evidence.prediction.features, dtype=np.float64)
    layer = evidence.explanations[0].layer if evidence.explanations else ""
    reason = _missing(reference, features, layer, max(least, neighbours + 2))
    if reference is None or reason:
        return not_evaluable(reason)
    distance, null = _distances(reference.features.astype(np.float64), features, neighbours)
    studies = null.size
    rank = math.ceil((studies + 1) * (1 - alpha) - 1e-9)
    limit = float(np.sort(null)[min(rank, studies) - 1])
    p_value = (1 + int((null >= distance).sum())) / (studies + 1)
    sure = confidence_of(evidence.prediction)
    text = (
        f"The features lie {shown(distance)} standard deviations from the {neighbours}th nearest of "
        f"{counted(studies, 'reference study', 'reference studies')} (limit {shown(limit)}, conformal "
        f"p = {shown(p_value)}), and the confidence is {percent(sure)}{_intensities(evidence, reference)}."
    )
    if rank > studies:
        text += f" With so few studies the limit is their largest distance, p = {shown(1 / (studies + 1))}."
    outcome = Outcome.PASS
    if distance > limit:
        outcome = Outcome.CRITICAL if sure > confidence else Outcome.FLAG
    return Result(outcome, text, value=distance, limit=limit, unit="standard deviations")


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


def _distances(reference: Matrix, features: Matrix, neighbours: int) -> tuple[float, Matrix]:
    """Return the study's distance and those of the reference studies, each to its `neighbours`-th nearest other."""
    spread = reference.std(axis=0)
    scale = np.where(spread > 0, spread, 1.0)
    standard = (reference - reference.mean(axis=0)) / scale
    point = (features - reference.mean(axis=0)) / scale
    between = np.sort(cdist(standard, standard), axis=1)  # column 0 is the study itself
    own = np.sort(np.linalg.norm(standard - point, axis=1))
    return float(own[neighbours - 1]), np.asarray(between[:, neighbours])


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
