"""A clean cohort drawn at random: what the checks of the cohort see when nothing is wrong."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from audit_pipeline.cohort.record import Cohort, LeftOut, Plan
from audit_pipeline.config import Claim

Generator = np.random.Generator
Vector = NDArray[np.float64]

CLASSES = ("clear", "nodule")
SITES = ("A", "B", "C", "D")
MANUFACTURERS = ("North", "South")
CHANNELS, GRID, THUMBNAIL = 12, (5, 5, 5), (12, 12)
SEPARATION = 3.3
"""Squared distance of the two classes on the log-odds, in units of their variance: an AUROC of 0.90."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Drawn:
    """What a cohort is made of: labels, log-odds of the model, and how many studies.

    odds : (N,) log-odds of a perfectly calibrated model: normal in each class, variance equal to `SEPARATION`
    """

    truth: NDArray[np.bool_]
    odds: Vector


def drawn(count: int, draw: Generator, *, prevalence: float = 0.4, separation: float = SEPARATION) -> Drawn:
    """Return labels, and log-odds that are calibrated by construction (two normals of equal variance)."""
    truth = draw.random(count) < prevalence
    centre = np.where(truth, separation / 2, -separation / 2) + np.log(prevalence / (1 - prevalence))
    return Drawn(truth=truth, odds=centre + draw.normal(0, np.sqrt(separation), count))


def chosen(draw: Generator, values: tuple[str, ...], count: int) -> tuple[str, ...]:
    """Return `count` values, each as likely as the others."""
    return tuple(str(value) for value in draw.choice(values, count))


def cohort_from(source: Drawn, draw: Generator, *, baseline: Cohort | None = None) -> Cohort:
    """Return a clean cohort around labels and log-odds: everything else is independent of both, or follows the odds.

    Features carry the log-odds in one channel; the panel without the body is noise; findings flag the studies near the
    threshold, where the errors are; one in twelve studies was left out at random. The last fifth helped to make the
    model.
    """
    count = source.truth.size
    made = count // 5
    order = draw.permutation(count)
    features = draw.normal(size=(count, CHANNELS))
    features[:, 0] += source.odds
    both = np.column_stack([~source.truth, source.truth])
    return Cohort(
        keys=tuple(f"{place:012x}" for place in range(count)),
        classes=CLASSES,
        task="multiclass",
        thresholds={"nodule": 0.5},
        truth=both,
        is_labelled=np.ones(count, dtype=np.bool_),
        called=called_of(source.odds),
        logits=np.column_stack([-source.odds / 2, source.odds / 2]),
        probabilities=probabilities_of(source.odds),
        patients=tuple(f"patient {place}" for place in order),
        splits=("test",) * (count - made) + ("train",) * made,
        sites=chosen(draw, SITES, count - made) + ("X",) * made,
        periods=chosen(draw, ("2026-Q1", "2026-Q2", "2026-Q3"), count),
        **_seen(source, features, draw),
        left_out=tuple(
            LeftOut(key=f"f{place:011x}", reason="MissingSlicesError", truth=frozenset({CLASSES[int(positive)]}))
            for place, positive in enumerate(draw.random(max(1, count // 12)) < source.truth.mean())
        ),
        plan=Plan(
            groups=("sex",),
            claims={"nodule": Claim(sensitivity=0.70, specificity=0.80, margin=0.05, half_width=0.12, prevalence=0.4)},
            thresholds_from="tuning set of the development",
            development_sites=("site 0f0f",),
        ),
        baseline=baseline,
        seed=int(draw.integers(1 << 30)),
    )  # fmt: skip


def _seen(source: Drawn, features: Vector, draw: Generator) -> dict[str, Any]:
    """Return what is stored beside label and prediction: facts, features, coarse images, findings and maps."""
    count = source.truth.size
    return {
        "subgroups": {"sex": chosen(draw, ("F", "M"), count), "age": chosen(draw, ("40-49", "50-59", "60-69"), count)},
        "readers": readers_of(source.truth, 0.03, draw),
        "causes": tuple(str(cause) for cause in draw.choice(["overlap", "motion", "size", "contrast"], count)),
        "header": {
            "Manufacturer": chosen(draw, MANUFACTURERS, count),
            "KVP": tuple(float(value) for value in draw.normal(120, 8, count).round(1)),
        },
        "features": features.astype(np.float32),
        "thumbnails": thumbnails_of(count, draw),
        "panel": {
            "body_removed": probabilities_of(draw.normal(0, 1, count)),
            "border_removed": probabilities_of(source.odds + draw.normal(0, 0.2, count)),
            "text_removed": probabilities_of(source.odds + draw.normal(0, 0.2, count)),
        },
        "measures": {"D01": draw.gamma(4, 0.02, count), "D02": draw.gamma(20, 0.05, count)},
        "outcomes": outcomes_of(source.odds, draw),
        "maps": maps_of(draw.uniform(0.5, 3.5, (count, 3))),
        "targets": (source.odds > 0).astype(np.int64),
        "pixels": tuple(f"pixels {place}" for place in range(count)),
    }


def probabilities_of(odds: Vector) -> Vector:
    """Return the probabilities of both classes."""
    positive = 1 / (1 + np.exp(-odds))
    return np.column_stack([1 - positive, positive])


def called_of(odds: Vector) -> NDArray[np.bool_]:
    """Return what the model concludes at a threshold of one half."""
    return np.column_stack([odds < 0, odds >= 0])


def readers_of(truth: NDArray[np.bool_], slips: float, draw: Generator) -> dict[str, tuple[str, ...]]:
    """Return what two readers said who each err in a share `slips` of the studies."""
    return {
        name: tuple(CLASSES[int(said)] for said in truth ^ (draw.random(truth.size) < slips))
        for name in ("reader_1", "reader_2")
    }


def thumbnails_of(count: int, draw: Generator) -> NDArray[np.float32]:
    """Return coarse images: an anatomy that all share, and structure of its own for each."""
    shared = 4 * gaussian_filter(draw.normal(size=THUMBNAIL), 2)
    own = gaussian_filter(draw.normal(size=(count, *THUMBNAIL)), (0, 1, 1))
    images: NDArray[np.float32] = (shared + own).reshape(count, -1).astype(np.float32)
    return images


def maps_of(centres: Vector, width: float = 0.9) -> Vector:
    """Return maps with one blob each, around `centres` in cells of the grid."""
    axes = np.indices(GRID).reshape(3, -1)
    distance = ((axes[None] - centres[:, :, None]) ** 2).sum(axis=1)
    return np.asarray(np.exp(-distance / (2 * width**2)), dtype=np.float64)


def outcomes_of(odds: Vector, draw: Generator) -> dict[str, tuple[str, ...]]:
    """Return findings of single studies: C01 near the threshold, A19 by chance."""
    near = np.abs(odds) < 0.8
    return {
        "C01": tuple("flag" if one else "pass" for one in near),
        "A19": tuple("note" if one else "pass" for one in draw.random(odds.size) < 0.1),
    }


def total(count: int) -> int:
    """Return how many studies a cohort needs so that `count` of them are evaluated.

    >>> total(200)
    250
    """
    return count * 5 // 4


def clean_cohort(count: int, draw: Generator) -> Cohort:
    """Return a cohort in which nothing is wrong, `count` studies of it evaluated, with a clean baseline."""
    baseline = cohort_from(drawn(total(count), draw), draw)
    return cohort_from(drawn(total(count), draw), draw, baseline=baseline)
