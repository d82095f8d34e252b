"""Maps of all studies: the same picture for everyone (D26), or one that follows the scanner (D27)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from audit_pipeline.cohort.association import EFFECT, EFFECT_NOTE, Association, association, fields_of
from audit_pipeline.cohort.declare import Cell, CohortResult, NotEvaluable, Table, cohort_check
from audit_pipeline.cohort.proportions import FEWEST, Proportion, proportion
from audit_pipeline.cohort.record import Cohort
from audit_pipeline.cohort.wording import estimate_of, p_shown, share
from audit_pipeline.findings import Outcome
from audit_pipeline.multiplicity import benjamini_hochberg
from audit_pipeline.records import Matrix
from audit_pipeline.terms import within
from audit_pipeline.wording import listed, shown

PLACES = {"D01": "evidence outside the body", "D02": "evidence on the border", "D03": "evidence on padding",
          "D04": "evidence on text"}  # fmt: skip
"""Checks that measure where in the image a map lies."""


@cohort_check(
    "D26",
    title="Same map for everyone",
    sentence="The maps are the same in every study, so the model looks at a place and not at what is there.",
    severity=(4, 3, 5),
    provenance="dom",
    reference="Audit practice: correlation of each map with the mean of the others of its class",
    advice="Show the model shifted and mirrored images; do not cite its maps as evidence of a lesion.",
    direction="above",
)
def same_map(cohort: Cohort, *, alike: float = 0.95, limit: float = 0.5) -> CohortResult:
    """Correlate the positive evidence of every study with the mean over the other studies of the same class.

    Flagged when more than the share `limit` of the studies of a class correlate with at least `alike`.
    """
    if cohort.maps is None or cohort.targets is None:
        raise NotEvaluable("The maps of the studies were not stored, or do not lie on the same grid.")
    found: list[tuple[str, Proportion, float]] = []
    for target in sorted(set(cohort.targets.tolist()) - {-1}):
        maps = np.maximum(cohort.maps[cohort.targets == target], 0.0)
        maps = maps[maps.std(axis=1) > 0]
        if len(maps) >= FEWEST:
            correlations = with_the_others(maps)
            same = proportion(int((correlations >= alike).sum()), len(maps))
            found.append((cohort.classes[target], same, float(np.median(correlations))))
    if not found:
        raise NotEvaluable(f"No class has {FEWEST} maps that show something.")
    name, same, middle = max(found, key=lambda one: (one[1].k / one[1].n, one[2]))
    message = (
        f"{share(same)} maps of {name} correlate with the mean of the others by at least {shown(alike)}; the median is "
        f"{shown(middle)}."
    )
    rows: list[tuple[Cell, ...]] = [(one, estimate_of(alike_share), median) for one, alike_share, median in found]
    table = Table(title="Likeness of the maps", head=("Class", "Alike", "Median correlation"), rows=tuple(rows))
    return CohortResult(
        Outcome.FLAG if same.k / same.n > limit else Outcome.PASS, message, value=same.k / same.n, limit=limit,
        unit="share of maps", n=same.n, low=same.low, high=same.high, tables=(table,),
    )  # fmt: skip


def with_the_others(maps: Matrix) -> Matrix:
    """Return the correlation of each of (n, G) maps with the mean of the n - 1 others, every map scaled to length 1."""
    scaled = maps / np.linalg.norm(maps, axis=1, keepdims=True)
    others = (scaled.sum(axis=0) - scaled) / (len(scaled) - 1)
    first = scaled - scaled.mean(axis=1, keepdims=True)
    second = others - others.mean(axis=1, keepdims=True)
    lengths = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    products = (first * second).sum(axis=1)
    return np.asarray(
        np.divide(products, lengths, out=np.zeros_like(products), where=lengths > 1e-12), dtype=np.float64
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Follows:
    """How one measure of the maps goes with one field."""

    code: str
    field: str
    found: Association
    adjusted: float = 1.0


@cohort_check(
    "D27",
    title="Explanation drifts with acquisition",
    sentence="Where the maps lie depends on the site or the scanner, among studies with the same conclusion.",
    severity=(4, 3, 5),
    provenance="std",
    reference="Kruskal and Wallis 1952; Benjamini and Hochberg 1995",
    advice="Look at maps of the sites side by side, and at E05: a marker of one site may be in use.",
    direction="above",
)
def maps_follow_acquisition(cohort: Cohort, *, alpha: float = 0.05, effect: float = 0.1) -> CohortResult:
    """Test whether evidence outside the body, on border, padding or text goes with a fact of the acquisition.

    Rank tests within the concluded class, adjusted by Benjamini and Hochberg over all measures and fields; flagged when
    significant and the rank moves by at least `effect`. The first study of every patient is read.
    """
    fields = [field for field in fields_of(cohort) if not field.is_of_the_patient]
    codes = [
        code for code in PLACES if code in cohort.measures and np.isfinite(cohort.measures[code]).sum() >= 2 * FEWEST
    ]
    if not fields or not codes:
        raise NotEvaluable("No measure of where the maps lie, or no field of the acquisition differs between studies.")
    rows = cohort.one_per_patient(np.flatnonzero(~cohort.is_development))
    concluded = ["|".join(np.asarray(cohort.classes)[cohort.called[row]]) for row in rows]
    found = [
        Follows(code=code, field=field.name, found=one)
        for code in codes
        for field in fields
        if (one := association(cohort.measures[code][rows], field.taken(rows), concluded)) is not None
    ]
    if not found:
        raise NotEvaluable("No field of the acquisition has enough studies of two values with the same conclusion.")
    adjusted = benjamini_hochberg([one.found.p_value for one in found])
    judged = sorted(zip(found, adjusted, strict=True), key=lambda pair: (float(pair[1]), pair[0].found.p_value))
    raised = [(one, p) for one, p in judged if p < alpha and one.found.effect >= effect]
    worst, p_value = raised[0] if raised else judged[0]
    told = [
        f"{PLACES[one.code]} with {within(one.field)} ({one.found.sentence}, adjusted {p_shown(float(p))})"
        for one, p in raised or [(worst, p_value)]
    ]
    said = "The maps follow the acquisition" if raised else "No drift was shown; smallest p"
    message = f"{said}: {listed(told)}, n = {worst.found.n}."
    cells: list[tuple[Cell, ...]] = [
        (f"{one.code} {PLACES[one.code]}", one.field, one.found.n, one.found.estimate, float(p)) for one, p in judged
    ]
    head = ("Measure", "Field", "Studies", "Effect", "Adjusted p")
    return CohortResult(
        Outcome.FLAG if raised else Outcome.PASS, message, value=worst.found.effect, limit=effect, unit=EFFECT,
        n=worst.found.n, low=worst.found.low, high=worst.found.high, p_value=float(p_value),
        tables=(Table(title="Maps against the acquisition", head=head, rows=tuple(cells), note=EFFECT_NOTE),),
    )  # fmt: skip
