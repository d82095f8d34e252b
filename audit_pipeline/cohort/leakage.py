"""Leakage: the same patient or the same image on both sides of a partition (E14), or twice in one cohort (A23)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from audit_pipeline.cohort.declare import Cell, CohortResult, NotEvaluable, Table, cohort_check
from audit_pipeline.cohort.discrimination import discrimination
from audit_pipeline.cohort.record import Cohort
from audit_pipeline.findings import Outcome
from audit_pipeline.records import Floats, Mask, Matrix
from audit_pipeline.wording import counted, listed, shown

MOST_ROWS = 200
CHUNK = 512


@cohort_check(
    "E14",
    title="Leakage between partitions",
    sentence="A patient or an image of the evaluation was also used to make the model.",
    severity=(5, 3, 5),
    provenance="std",
    reference="CLAIM 2024 item 20; Good Machine Learning Practice, principle 4",
    advice="Take the shared patients out and state the result again; until then the performance is void.",
    direction="above",
)
def leakage(cohort: Cohort, *, similarity: float = 0.95) -> CohortResult:
    """Look for patients, equal model inputs and near-duplicate images across the values of the column split.

    Near duplicates are found as in `duplicate_studies`. Any hit is critical when one side helped to make the model.
    """
    names = sorted({split for split in cohort.splits if split})
    if len(names) < 2:
        raise NotEvaluable("The labels file has no column split with two values, so no partitions can be compared.")
    pairs = [pair for pair in _all_pairs(cohort, similarity) if _crosses(cohort, pair)]
    patients = sorted({cohort.patients[first] for first, _, how in pairs if how == "patient"})
    images = sum(how != "patient" for *_, how in pairs)
    known = any(cohort.patients)
    message = (
        f"{counted(len(patients), 'patient')} and {counted(images, 'pair')} of equal or nearly equal images lie on "
        f"both sides of {listed(names)} ({counted(len(cohort.keys), 'study', 'studies')})."
    )
    if not known:
        message += " The labels file names no patients, so only images were compared."
    if not known and not pairs:
        outcome = Outcome.NOTE
    else:
        is_made = cohort.is_development
        worst = any(is_made[first] != is_made[second] for first, second, _ in pairs)
        outcome = Outcome.PASS if not pairs else Outcome.CRITICAL if worst else Outcome.FLAG
    message += _without(cohort, pairs)
    return CohortResult(
        outcome, message, value=float(len(patients) + images), limit=0.0, unit="patients and pairs",
        n=len(cohort.keys), tables=(_table(cohort, pairs),) if pairs else (),
    )  # fmt: skip


@cohort_check(
    "A23",
    title="Exact or near duplicate",
    sentence="Two studies show the same image.",
    severity=(4, 3, 5),
    provenance="sim",
    reference="Audit practice: equal model inputs; correlation after removal of what all studies share",
    advice="Keep one of the two; counted twice, an image makes the intervals too narrow.",
    direction="above",
)
def duplicate_studies(cohort: Cohort, *, similarity: float = 0.95) -> CohortResult:
    """Look for studies with equal model inputs, and for images that are too much alike to be different ones.

    The model inputs on a coarse grid lose what they have of their median, which is the anatomy that all share; two
    studies are nearly equal when what remains correlates with at least `similarity`.
    """
    if not any(cohort.pixels) and cohort.thumbnails is None:
        raise NotEvaluable("Neither digests nor coarse copies of the model inputs were stored.")
    pairs = [pair for pair in _all_pairs(cohort, similarity) if pair[2] != "patient"]
    equal = sum(how == "equal input" for *_, how in pairs)
    message = (
        f"Of {counted(len(cohort.keys), 'study', 'studies')}, {counted(equal, 'pair')} have equal model inputs and "
        f"{counted(len(pairs) - equal, 'pair')} nearly equal ones (correlation of at least {shown(similarity)})."
    )
    return CohortResult(
        Outcome.FLAG if pairs else Outcome.PASS, message, value=float(len(pairs)), limit=0.0, unit="pairs",
        n=len(cohort.keys), tables=(_table(cohort, pairs),) if pairs else (),
    )  # fmt: skip


Pair = tuple[int, int, str]


def _all_pairs(cohort: Cohort, similarity: float) -> list[Pair]:
    """Return pairs that share a patient across splits, or an image, each with how; an equal pair is named once."""
    found: dict[tuple[int, int], str] = {}
    near = near_duplicates(cohort.thumbnails, similarity) if cohort.thumbnails is not None else []
    for pair in near:
        found[pair] = "nearly equal"
    for pair in _same(cohort.pixels):
        found[pair] = "equal input"
    images = [(*pair, how) for pair, how in sorted(found.items())]
    return [*images, *((*pair, "patient") for pair in _same(cohort.patients) if pair not in found)]


def _same(values: Sequence[str]) -> list[tuple[int, int]]:
    groups: dict[str, list[int]] = defaultdict(list)
    for place, value in enumerate(values):
        if value:
            groups[value].append(place)
    return [(group[0], other) for group in groups.values() for other in group[1:]] + [
        (first, second)
        for group in groups.values()
        for position, first in enumerate(group[1:], 1)
        for second in group[position + 1 :]
    ]


def near_duplicates(thumbnails: Floats, similarity: float) -> list[tuple[int, int]]:
    """Return the pairs whose coarse images correlate with at least `similarity` once the shared anatomy is gone.

    Parameters
    ----------
    thumbnails : (N, T) float32, T at least 16 and N at least 8, else there is no shared anatomy to remove
    """
    count, cells = thumbnails.shape
    if count < 8 or cells < 16:
        return []
    whitened = _without_shared(thumbnails.astype(np.float64))
    found: list[tuple[int, int]] = []
    for start in range(0, count, CHUNK):
        block = whitened[start : start + CHUNK] @ whitened.T
        rows, columns = np.nonzero(block >= similarity)
        found += [
            (int(row) + start, int(column)) for row, column in zip(rows, columns, strict=True) if column > row + start
        ]
    return found


def _without_shared(values: Matrix) -> Matrix:
    """Return every image less its own mean and less what it has of the median image, scaled to length 1.

    The part along the median image is taken away at the contrast that each image has, so that a change of contrast does
    not hide a copy.
    """
    centred = values - values.mean(axis=1, keepdims=True)
    shared = np.median(centred, axis=0)
    shared /= max(float(np.linalg.norm(shared)), 1e-12)
    rest = centred - (centred @ shared)[:, None] * shared
    length = np.linalg.norm(rest, axis=1, keepdims=True)
    return np.asarray(np.divide(rest, length, out=np.zeros_like(rest), where=length > 1e-9), dtype=np.float64)


def _crosses(cohort: Cohort, pair: Pair) -> bool:
    first, second = (cohort.splits[place] for place in pair[:2])
    return bool(first) and bool(second) and first != second


def _without(cohort: Cohort, pairs: list[Pair]) -> str:
    """Return the result again without the studies that leaked, for the first class that can be judged."""
    if not pairs:
        return ""
    leaked = np.zeros(len(cohort.keys), dtype=np.bool_)
    for first, second, _ in pairs:
        leaked[[first, second]] = True
    for question in cohort.questions:
        kept: Mask = ~leaked[question.rows]
        raw = discrimination(question.scores, question.truth)
        clean = discrimination(question.scores[kept], question.truth[kept])
        if raw.auroc is not None and clean.auroc is not None:
            return (
                f" AUROC of {question.name}: {shown(raw.auroc)} with them (n = {raw.n}), {shown(clean.auroc)} "
                f"({shown(clean.low or 0)} to {shown(clean.high or 0)}) without (n = {clean.n})."
            )
    return ""


def _table(cohort: Cohort, pairs: list[Pair]) -> Table:
    rows: list[tuple[Cell, ...]] = [
        (cohort.keys[first], cohort.splits[first], cohort.keys[second], cohort.splits[second], how)
        for first, second, how in pairs[:MOST_ROWS]
    ]
    left = len(pairs) - len(rows)
    return Table(
        title="Studies that belong together", head=("Study", "Split", "Study", "Split", "What they share"),
        rows=tuple(rows), note=f"{left} more pairs are not listed." if left > 0 else "",
    )  # fmt: skip
