"""What labelled reference studies say about the prediction: class order (C09), label sets (C13), reliability (C14)."""

from __future__ import annotations

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.stats import binomtest, mannwhitneyu

from audit_pipeline.checks.declare import Result, check, not_evaluable
from audit_pipeline.checks.golden import golden_order
from audit_pipeline.checks.labelled import Labelled, labelled, wilson
from audit_pipeline.checks.wording import chance
from audit_pipeline.evidence import Evidence
from audit_pipeline.findings import Outcome
from audit_pipeline.records import Mask, Matrix, Prediction, Task
from audit_pipeline.wording import counted, listed, percent, shown

CREDIBLE = 0.01
"""A study no label of which conforms at this level is flagged: at most this share of clean studies is."""

Z_99 = 2.5758
STUDIES = ("labelled reference study", "labelled reference studies")


@check(
    "C09",
    title="Wrong order of classes",
    family="C",
    sentence="The names of the classes are in another order than the outputs of the model.",
    severity=(5, 1, 5),
    provenance="std",
    reference="Mann, Whitney 1947 (doi:10.1214/aoms/1177730491); McNemar 1947 (doi:10.1007/BF02295996)",
    advice="Block the model: correct the order of the classes in its card.",
)
def class_order(evidence: Evidence, *, alpha: float = 0.01, least: int = 20) -> Result:
    """See whether the labels of the reference studies fit another order of the outputs better.

    Multiclass: the studies that are right under the best other assignment of names to outputs, and not under the
    declared one, are weighed against the reverse (exact McNemar test). A sigmoid per label: the probability of a label
    must not be lower where it is present (one-sided Mann-Whitney test, Bonferroni over labels). Critical at `alpha`.
    Golden cases of the model card decide first: one that fails is critical, and where there are no labelled reference
    studies those that hold are enough.
    """
    golden = golden_order(evidence)
    if golden is not None and (golden.outcome is Outcome.CRITICAL or not _has_labels(evidence)):
        return golden
    known = labelled(evidence, least)
    if evidence.prediction.task is Task.MULTICLASS:
        return _assignment(known, evidence.prediction, alpha)
    return _below_chance(known, evidence.prediction, alpha)


def _has_labels(evidence: Evidence) -> bool:
    return evidence.reference is not None and any(evidence.reference.labels)


def _assignment(known: Labelled, prediction: Prediction, alpha: float) -> Result:
    truth = known.classes[1]
    present = np.unique(truth)
    means = np.stack([known.probabilities[truth == place].mean(axis=0) for place in present])
    _, chosen = linear_sum_assignment(-means)
    output = dict(zip(present.tolist(), chosen.tolist(), strict=True))
    said = known.probabilities.argmax(axis=1)
    right = said == truth
    other = said == np.asarray([output[place] for place in truth.tolist()])
    gained, lost = int((other & ~right).sum()), int((right & ~other).sum())
    p_value = binomtest(gained, gained + lost, alternative="greater").pvalue if gained + lost else 1.0
    text = f"{percent(float(right.mean()))} of {counted(truth.size, *STUDIES)} are right in the declared order"
    if all(a == b for a, b in output.items()):
        text += ", and no other order fits better."
        return Result(Outcome.PASS, text, value=float(right.mean()), unit="share right")
    text += f", {percent(float(other.mean()))} in the best other one"
    if p_value > alpha or gained <= lost:
        return Result(
            Outcome.PASS, f"{text}.", value=float(right.mean()), limit=float(other.mean()), unit="share right"
        )
    moved = [f"{prediction.classes[a]} is output {b + 1}" for a, b in output.items() if a != b]
    text += f" (p = {shown(float(p_value))}), in which {listed(moved, 4)}."
    return Result(Outcome.CRITICAL, text, value=float(right.mean()), limit=float(other.mean()), unit="share right")


def _below_chance(known: Labelled, prediction: Prediction, alpha: float) -> Result:
    found: list[tuple[float, float, str]] = []
    for place, name in enumerate(prediction.classes):
        is_present, chances = known.truth[:, place], known.probabilities[:, place]
        if is_present.any() and not is_present.all():
            test = mannwhitneyu(chances[is_present], chances[~is_present], alternative="less")
            pairs = int(is_present.sum()) * int((~is_present).sum())
            found.append((float(test.pvalue), float(test.statistic) / pairs, name))
    if not found:
        return not_evaluable("No label is present in some labelled reference studies and absent in others.")
    p_value, auroc, name = min(found)
    p_value = min(1.0, p_value * len(found))
    text = (
        f"{name}: the AUROC over {counted(len(known.truth), 'labelled reference study', 'labelled reference studies')} "
    )
    text += f"is {shown(auroc)} (one-sided p = {shown(p_value)} for an order worse than chance)."
    outcome = Outcome.CRITICAL if p_value <= alpha else Outcome.PASS
    return Result(outcome, text, value=auroc, limit=0.5, unit="AUROC")


@check(
    "C13",
    title="No single label at 90 %",
    family="C",
    sentence="At the usual level of certainty more than one label is possible, or none.",
    severity=(3, 4, 4),
    provenance="std",
    reference="Sadinle 2019 (doi:10.1080/01621459.2017.1395341), least ambiguous sets; Vovk 2005, credibility",
    advice="Have a second reader decide.",
)
def label_set(evidence: Evidence, *, error_rate: float = 0.10, least: int = 20) -> Result:
    """Form the conformal set of labels at 1 - `error_rate` from labelled reference studies.

    A label belongs to the set when more than `error_rate` of the reference studies have a true label at most as
    probable. More than one label is a note, and so is an empty set, which an accurate model must give now and then;
    it is flagged when no label would belong at 99 % either.
    """
    prediction = evidence.prediction
    if prediction.task is Task.MULTILABEL:
        return not_evaluable("Labels that do not exclude each other have no set of which one is right.")
    chances, truth = labelled(evidence, least).classes
    own = np.asarray(prediction.probabilities, dtype=np.float64)
    names: tuple[str, ...] = prediction.classes
    if own.size == 1:
        own, names = np.asarray([1 - own[0], own[0]]), (f"no {names[0]}", names[0])
    if not np.isfinite(own).all():
        return not_evaluable("A probability is not finite, see C08.")
    true_ones = chances[np.arange(truth.size), truth]
    p_values = np.asarray([(1 + int((true_ones <= one + 1e-12).sum())) / (truth.size + 1) for one in own])
    chosen = [name for name, p_value in zip(names, p_values, strict=True) if p_value > error_rate]
    text = f"The set at {percent(1 - error_rate)} holds {counted(len(chosen), 'label')}"
    text += f": {listed(chosen)}" if chosen else ""
    text += f"; the best label conforms with p = {shown(float(p_values.max()))} over {truth.size} labelled studies."
    outcome = Outcome.PASS if len(chosen) == 1 else Outcome.NOTE
    if p_values.max() <= CREDIBLE:
        outcome = Outcome.FLAG
    return Result(outcome, text, value=len(chosen), limit=1, unit="labels")


@check(
    "C14",
    title="Unreliable probability",
    family="C",
    sentence="Among reference studies with such a probability another share turned out right.",
    severity=(4, 4, 5),
    provenance="cal",
    reference="DeGroot, Fienberg 1983 (doi:10.2307/2987588), reliability; Wilson 1927",
    advice="Read the probability with caution.",
    version=2,
)
def unreliable_probability(evidence: Evidence, *, neighbours: int = 30, gap: float = 0.05) -> Result:
    """Note when the observed rate among the reference studies nearest in probability excludes this probability.

    The nearest are `neighbours`, or a tenth of the labelled studies where that is more.
    One sigmoid: the rate of the positive class near its probability; multiclass: the rate of being right near the
    confidence. The Wilson interval at 99 % must exclude the probability of the study and the mean probability of those
    `neighbours`, and the mean must lie more than `gap` from the rate.
    """
    prediction = evidence.prediction
    if prediction.task is Task.MULTILABEL:
        return not_evaluable("Reliability is judged for labels that exclude each other.")
    known = labelled(evidence, 2 * neighbours)
    neighbours = max(neighbours, len(known.truth) // 10)
    if prediction.task is Task.BINARY:
        chances, hits, own = known.probabilities[:, 0], known.truth[:, 0], prediction.probabilities[0]
    else:
        chances, own = known.probabilities.max(axis=1), max(prediction.probabilities)
        hits = known.probabilities.argmax(axis=1) == known.classes[1]
    if not np.isfinite(own):
        return not_evaluable("A probability is not finite, see C08.")
    rate, mean, interval = _near(chances, hits, own, neighbours)
    is_off = all(not interval[0] <= one <= interval[1] for one in (own, mean)) and abs(mean - rate) > gap
    text = (
        f"Of the {neighbours} labelled reference studies nearest to the probability {chance(own)}, {percent(rate)} "
        f"were right (99 % interval {percent(interval[0])} to {percent(interval[1])}, mean probability {chance(mean)})."
    )
    allowed = gap if is_off or abs(mean - rate) <= gap else None  # a wide interval lets a large gap pass
    return Result(
        Outcome.NOTE if is_off else Outcome.PASS, text, abs(mean - rate), allowed, "probability", provenance="dom"
    )


def _near(chances: Matrix, hits: Mask, own: float, neighbours: int) -> tuple[float, float, tuple[float, float]]:
    nearest = np.argsort(np.abs(chances - own), kind="stable")[:neighbours]
    count = int(hits[nearest].sum())
    return count / neighbours, float(chances[nearest].mean()), wilson(count, neighbours, Z_99)
