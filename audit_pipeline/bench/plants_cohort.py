"""Planted faults of whole cohorts, at five severities; the clean one is `cohort_case.clean_cohort`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from audit_pipeline.bench.cohort_case import (
    CLASSES,
    GRID,
    MANUFACTURERS,
    Drawn,
    Generator,
    Vector,
    called_of,
    clean_cohort,
    cohort_from,
    drawn,
    maps_of,
    probabilities_of,
    readers_of,
    total,
)
from audit_pipeline.cohort.operating_point import optima
from audit_pipeline.cohort.record import Cohort, LeftOut
from audit_pipeline.registry import Registry

CohortPlanter = Callable[[int, int, Generator], Cohort]
"""From the number of evaluated studies, the severity 1 to 5 and the source of chance to a cohort with the fault."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CohortPlant:
    """One planted fault of a cohort.

    code : of the failure mode that must be found; count : evaluated studies with which severities from 3 on must be
    outcomes : any of these counts as found; has_severity : whether the fault comes in degrees
    """

    name: str
    code: str
    sentence: str
    plant: CohortPlanter
    count: int = 600
    outcomes: tuple[str, ...] = ("flag", "critical")
    has_severity: bool = True


COHORT_PLANTS: Registry[CohortPlant] = Registry("cohort plant", group="audit_pipeline.cohort_plants")
"""Every planted fault of a cohort by its name."""

NOTED = ("note", "flag", "critical")


def cohort_plant(
    code: str, sentence: str, *, count: int = 600, outcomes: tuple[str, ...] = ("flag", "critical"),
    has_severity: bool = True,
) -> Callable[[CohortPlanter], CohortPlanter]:  # fmt: skip
    """Return a decorator that registers a function under its own name as a planted fault of mode `code`."""

    def decorate(planter: CohortPlanter) -> CohortPlanter:
        name = planter.__name__
        COHORT_PLANTS.add(name, CohortPlant(
            name=name, code=code, sentence=sentence, plant=planter, count=count, outcomes=outcomes,
            has_severity=has_severity,
        ))  # fmt: skip
        return planter

    return decorate


def graded(severity: int, *steps: float) -> float:
    """Return the step of a severity.

    >>> graded(2, 0.1, 0.2, 0.3, 0.4, 0.5)
    0.2
    """
    return steps[severity - 1]


def said(cohort: Cohort, odds: Vector) -> Cohort:
    """Return the cohort as a model with other log-odds would have it; features and findings stay."""
    return replace(
        cohort,
        logits=np.column_stack([-odds / 2, odds / 2]),
        probabilities=probabilities_of(odds),
        called=called_of(odds),
        targets=(odds > 0).astype(np.int64),
    )


def labelled(cohort: Cohort, truth: Any) -> Cohort:
    """Return the cohort with other labels."""
    return replace(cohort, truth=np.column_stack([~truth, truth]))


def odds_of(cohort: Cohort) -> Vector:
    """Return the log-odds of the second class."""
    return cohort.logits[:, 1] - cohort.logits[:, 0]


@cohort_plant("E01", "The model misses more in studies of one manufacturer.", count=900)
def blind_in_one_group(count: int, severity: int, draw: Generator) -> Cohort:
    """Lower the log-odds of the positives of one manufacturer."""
    cohort = clean_cohort(count, draw)
    hit = (np.asarray(cohort.header["Manufacturer"]) == MANUFACTURERS[0]) & cohort.truth[:, 1]
    return said(cohort, odds_of(cohort) - graded(severity, 0.5, 1.0, 1.7, 2.4, 3.2) * hit)


@cohort_plant("E02", "A declared group has a handful of studies.", count=300)
def tiny_group(count: int, severity: int, draw: Generator) -> Cohort:
    """Leave a few positives and negatives of one sex."""
    cohort = clean_cohort(count, draw)
    sexes = np.full(len(cohort.keys), "M")
    for kind in (True, False):
        rows = np.flatnonzero((cohort.truth[:, 1] == kind) & ~cohort.is_development)
        sexes[rows[: int(graded(severity, 14, 11, 8, 5, 2))]] = "F"
    return replace(cohort, subgroups={**cohort.subgroups, "sex": tuple(str(sex) for sex in sexes)})


@cohort_plant("E03", "A kind of positive study that the model cannot see.")
def hidden_kind(count: int, severity: int, draw: Generator) -> Cohort:
    """Give a share of the positives features of their own, and log-odds of a negative."""
    cohort = clean_cohort(count, draw)
    assert cohort.features is not None
    share = graded(severity, 0.06, 0.09, 0.13, 0.18, 0.25)
    hit = cohort.truth[:, 1] & (draw.random(len(cohort.keys)) < share)
    features = cohort.features.copy()
    features[hit, 4:8] += 3.0
    odds = np.where(hit, draw.normal(-2, 1, hit.size), odds_of(cohort))
    return replace(said(cohort, odds), features=features)


@cohort_plant("E04", "Prevalence depends on the site.")
def prevalence_by_site(count: int, severity: int, draw: Generator) -> Cohort:
    """Send a share of the positives to one site and of the negatives to another."""
    cohort = clean_cohort(count, draw)
    moved = draw.random(len(cohort.keys)) < graded(severity, 0.2, 0.35, 0.5, 0.65, 0.8)
    moved &= ~cohort.is_development
    own = np.where(cohort.truth[:, 1], "A", "B")
    return replace(cohort, sites=tuple(str(site) for site in np.where(moved, own, cohort.sites)))


@cohort_plant("E05", "The manufacturer moves the probability whatever the label.")
def manufacturer_read(count: int, severity: int, draw: Generator) -> Cohort:
    """Add to the log-odds of one manufacturer and take from those of the other."""
    cohort = clean_cohort(count, draw)
    sign = np.where(np.asarray(cohort.header["Manufacturer"]) == MANUFACTURERS[0], 1.0, -1.0)
    return said(cohort, odds_of(cohort) + graded(severity, 0.2, 0.4, 0.7, 1.1, 1.6) * sign)


@cohort_plant("E06", "The labels can be told with the body removed.", count=300)
def background_tells(count: int, severity: int, draw: Generator) -> Cohort:
    """Let the log-odds without the body follow the label."""
    cohort = clean_cohort(count, draw)
    sign = np.where(cohort.truth[:, 1], 1.0, -1.0)
    odds = draw.normal(0, 1, sign.size) + graded(severity, 0.15, 0.3, 0.5, 0.8, 1.2) * sign
    return replace(cohort, panel={**cohort.panel, "body_removed": probabilities_of(odds)})


@cohort_plant("E07", "Features hold the site.", count=300, outcomes=NOTED)
def site_in_features(count: int, severity: int, draw: Generator) -> Cohort:
    """Move two channels of the features of one site."""
    cohort = clean_cohort(count, draw)
    assert cohort.features is not None
    features = cohort.features.copy()
    features[np.asarray(cohort.sites) == "A", 5:7] += graded(severity, 0.7, 1.2, 2.0, 3.0, 4.0)
    return replace(cohort, features=features)


@cohort_plant("E08", "The model is surer than it is right.")
def overconfident(count: int, severity: int, draw: Generator) -> Cohort:
    """Multiply the log-odds."""
    cohort = clean_cohort(count, draw)
    return said(cohort, odds_of(cohort) * graded(severity, 1.2, 1.4, 1.8, 2.4, 3.2))


@cohort_plant("E09", "At this site the logits lie lower.")
def lower_logits(count: int, severity: int, draw: Generator) -> Cohort:
    """Take a constant from the log-odds."""
    cohort = clean_cohort(count, draw)
    return said(cohort, odds_of(cohort) - graded(severity, 0.5, 0.8, 1.2, 1.7, 2.3))


@cohort_plant("E10", "The threshold maximises Youden's index on these studies.", has_severity=False, count=200)
def threshold_fitted(count: int, severity: int, draw: Generator) -> Cohort:
    """Take the optimum of the evaluated studies as threshold; from severity 4 on nobody says where it is from."""
    cohort = clean_cohort(count, draw)
    question = cohort.questions[0]
    best = float(optima(question.scores, question.truth)["Youden's index"][0])
    plan = replace(cohort.plan, thresholds_from="" if severity > 3 else cohort.plan.thresholds_from)
    return replace(cohort, thresholds={CLASSES[1]: best}, plan=plan)


@cohort_plant("E11", "A share of the labels is flipped.", count=1000)
def labels_flipped(count: int, severity: int, draw: Generator) -> Cohort:
    """Flip labels at random; the model separates well, for a weak one cannot tell a flip from its own error."""
    cohort = cohort_from(drawn(total(count), draw, separation=8.0), draw)
    flipped = draw.random(len(cohort.keys)) < graded(severity, 0.03, 0.06, 0.12, 0.17, 0.22)
    return labelled(cohort, cohort.truth[:, 1] ^ flipped)


@cohort_plant("E12", "The readers do not agree.", count=200)
def readers_disagree(count: int, severity: int, draw: Generator) -> Cohort:
    """Let each reader err in a share of the studies."""
    cohort = clean_cohort(count, draw)
    return replace(cohort, readers=readers_of(cohort.truth[:, 1], graded(severity, 0.07, 0.11, 0.2, 0.3, 0.4), draw))


@cohort_plant("E13", "The tube voltage and the features moved since the baseline.", count=300)
def moved_since_baseline(count: int, severity: int, draw: Generator) -> Cohort:
    """Shift one numeric header field and two channels by standard deviations."""
    cohort = clean_cohort(count, draw)
    assert cohort.features is not None
    shift = graded(severity, 0.2, 0.35, 0.6, 1.0, 1.5)
    features = cohort.features.copy()
    features[:, 3:5] += shift
    voltage = tuple(float(str(value)) + 8 * shift for value in cohort.header["KVP"])
    return replace(cohort, features=features, header={**cohort.header, "KVP": voltage})


def copied(cohort: Cohort, pairs: list[tuple[int, int]], noise: float, draw: Generator) -> Cohort:
    """Return the cohort where the second study of each pair is the first with new identity and a little noise."""
    assert cohort.thumbnails is not None
    thumbnails = cohort.thumbnails.copy()
    for first, second in pairs:
        thumbnails[second] = thumbnails[first] + draw.normal(0, noise * thumbnails.std(), thumbnails.shape[1])
    return replace(cohort, thumbnails=thumbnails)


@cohort_plant("E14", "Studies of the training set are in the test set under new names.", count=300)
def trained_on_test(count: int, severity: int, draw: Generator) -> Cohort:
    """Copy images from one side to the other with 1 % noise; patients and digests differ."""
    cohort = clean_cohort(count, draw)
    number = max(1, round(count * graded(severity, 0.003, 0.007, 0.015, 0.03, 0.06)))
    made = np.flatnonzero(cohort.is_development)
    return copied(cohort, [(int(made[place]), place) for place in range(number)], 0.01, draw)


@cohort_plant("E14", "Patients of the training set are in the test set.", count=300)
def patients_shared(count: int, severity: int, draw: Generator) -> Cohort:
    """Give studies of the test set the patients of the training set."""
    cohort = clean_cohort(count, draw)
    number = max(1, round(count * graded(severity, 0.003, 0.007, 0.015, 0.03, 0.06)))
    patients = [*cohort.patients[-number:], *cohort.patients[number:]]
    return replace(cohort, patients=tuple(patients))


@cohort_plant("A23", "Studies stand in the cohort twice.", count=300)
def counted_twice(count: int, severity: int, draw: Generator) -> Cohort:
    """Copy images within the test set, with less noise at higher severity."""
    cohort = clean_cohort(count, draw)
    return copied(cohort, [(0, 1), (2, 3)], graded(severity, 0.12, 0.08, 0.04, 0.02, 0.0), draw)


@cohort_plant("E15", "There are few studies.", count=600)
def few_studies(count: int, severity: int, draw: Generator) -> Cohort:
    """Draw a small cohort whatever was asked for."""
    return clean_cohort(min(count, int(graded(severity, 120, 80, 50, 35, 20))), draw)


@cohort_plant("E16", "Quality control dropped the hard positives.", count=450)
def hard_positives_dropped(count: int, severity: int, draw: Generator) -> Cohort:
    """Let the studies left out be positives more often than the others."""
    cohort = clean_cohort(count, draw)
    number = round(count * graded(severity, 0.03, 0.05, 0.08, 0.13, 0.2))
    more = tuple(
        LeftOut(key=f"e{place:011x}", reason="VariableSpacingError", truth=frozenset({CLASSES[1]}))
        for place in range(number)
    )
    return replace(cohort, left_out=(*cohort.left_out, *more))


@cohort_plant("E17", "A site of the development is in the test.", has_severity=False, count=200)
def site_of_development(count: int, severity: int, draw: Generator) -> Cohort:
    """Name one of the sites as one of the development; from severity 4 on all of them."""
    cohort = clean_cohort(count, draw)
    sites = tuple(sorted({site for site, made in zip(cohort.sites, cohort.is_development, strict=True) if not made}))
    return replace(cohort, plan=replace(cohort.plan, development_sites=sites if severity > 3 else sites[:1]))


@cohort_plant("E18", "Patients have several studies.", count=300)
def repeated_patients(count: int, severity: int, draw: Generator) -> Cohort:
    """Give each patient several studies that resemble each other."""
    size = int(graded(severity, 2, 2, 3, 4, 6))
    source = drawn(total(count), draw)
    patient = np.arange(source.truth.size) // size
    first = patient * size
    like = graded(severity, 0.3, 0.5, 0.6, 0.7, 0.8)
    truth = source.truth[first]
    centre = np.where(truth, 1, -1) * np.abs(source.odds).mean()
    odds = centre + like * (source.odds[first] - centre) + np.sqrt(1 - like**2) * draw.normal(0, 1.8, truth.size)
    cohort = cohort_from(Drawn(truth=truth, odds=odds), draw)
    return replace(cohort, patients=tuple(f"patient {one}" for one in patient))


@cohort_plant("E19", "In the field the disease is rarer.", count=200)
def rare_in_the_field(count: int, severity: int, draw: Generator) -> Cohort:
    """Declare a lower prevalence."""
    cohort = clean_cohort(count, draw)
    prevalence = graded(severity, 0.33, 0.28, 0.15, 0.08, 0.02)
    claim = cohort.plan.claims[CLASSES[1]].model_copy(update={"prevalence": prevalence})
    return replace(cohort, plan=replace(cohort.plan, claims={CLASSES[1]: claim}))


@cohort_plant("E20", "Flags fall at random.", has_severity=False)
def flags_at_random(count: int, severity: int, draw: Generator) -> Cohort:
    """Shuffle the findings over the studies; the higher the severity the more of them."""
    cohort = clean_cohort(count, draw)
    share = graded(severity, 0.05, 0.1, 0.2, 0.3, 0.4)
    flags = tuple("flag" if one else "pass" for one in draw.random(len(cohort.keys)) < share)
    return replace(cohort, outcomes={**cohort.outcomes, "C01": flags})


@cohort_plant("E21", "Most errors have the same cause.", outcomes=NOTED)
def one_common_cause(count: int, severity: int, draw: Generator) -> Cohort:
    """Give a share of the studies the same cause."""
    cohort = clean_cohort(count, draw)
    same = draw.random(len(cohort.keys)) < graded(severity, 0.15, 0.3, 0.55, 0.7, 0.85)
    return replace(
        cohort, causes=tuple("tube" if one else other for one, other in zip(same, cohort.causes, strict=True))
    )


@cohort_plant("D26", "The model looks at the same place whatever is there.", count=200)
def one_place(count: int, severity: int, draw: Generator) -> Cohort:
    """Put the blob of every map at the middle, with less and less play."""
    cohort = clean_cohort(count, draw)
    play = graded(severity, 0.8, 0.5, 0.2, 0.1, 0.0)
    centres = np.asarray(GRID) / 2 - 0.5 + draw.normal(0, play, (len(cohort.keys), 3))
    return replace(cohort, maps=maps_of(centres))


@cohort_plant("D27", "A marker of one site draws the maps to the border.", count=300)
def border_at_one_site(count: int, severity: int, draw: Generator) -> Cohort:
    """Add to the border enrichment of one site."""
    cohort = clean_cohort(count, draw)
    spread = float(np.std(cohort.measures["D02"]))
    more = np.where(np.asarray(cohort.sites) == "A", graded(severity, 0.3, 0.5, 0.9, 1.3, 2.0) * spread, 0.0)
    return replace(cohort, measures={**cohort.measures, "D02": cohort.measures["D02"] + more})
