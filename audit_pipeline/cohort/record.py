"""The cohort: the audited studies of a run side by side, in arrays of one row a study."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from audit_pipeline.cohort.summary import DEVELOPMENT_SPLITS
from audit_pipeline.config import Claim
from audit_pipeline.records import Floats, Mask, Matrix, Scalar, Task

Ints = NDArray[np.int64]
_MEASURE = re.compile(r"[-+0-9.eE,\\ ]+|\d+[DWMY]")
"""Numbers, lists of numbers, and DICOM ages."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LeftOut:
    """A study that was found but has no prediction: its key, why, its true classes (None unknown), its facts."""

    key: str
    reason: str
    truth: frozenset[str] | None = None
    facts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """What was declared before the data were seen.

    groups : columns of subgroups whose comparison was planned; claims : class -> declared performance
    thresholds_from : where the operating points come from; development_sites : pseudonyms of the sites of development
    """

    groups: tuple[str, ...] = ()
    claims: Mapping[str, Claim] = field(default_factory=dict)
    thresholds_from: str = ""
    development_sites: tuple[str, ...] = ()


NO_GROUP = frozenset({"dim"})
"""Fields of a header that say how large an image is: a size is no kind of study."""


class Question(NamedTuple):
    """One class against the rest, over the labelled studies that did not help to make the model.

    rows : (m,) places in the cohort; truth, called : (m,) bool; scores : (m,) probability of the class
    """

    name: str
    place: int
    rows: Ints
    truth: Mask
    called: Mask
    scores: Matrix


@dataclass(frozen=True, kw_only=True, slots=True)
class Cohort:
    """N audited studies, K classes. All arrays are read-only, rows in the order of `keys`.

    Attributes
    ----------
    keys : N pseudonyms, sorted; classes : K names, in the order of the model card
    thresholds : class -> operating point, for the classes that have one
    truth : (N, K) bool, meaningless where `is_labelled` (N,) is False
    called : (N, K) bool, what the model concluded
    logits, probabilities : (N, K) float64
    patients, splits, sites, periods : N texts, "" where unknown; patients are keyed hashes
    subgroups : column -> N texts, "" where unknown; readers : column -> N labels given by one reader each
    causes : N texts, the cause a reviewer gave for an error, "" where none
    header : keyword -> N values of an allow-listed header field, None where missing
    features : (N, C) float32, spatial means of activations; None where not every study has them
    thumbnails : (N, T) float32 model input on a coarse grid; None likewise
    panel : variant of the input -> (N, K) probabilities, NaN where it was not asked
    measures : code of a check -> (N,) float64, what it measured, NaN where it could not
    outcomes : code of a check -> N outcomes as text, "" where it did not run
    maps : (N, G) float64, the map of the first method for the first target on the layer's grid, None where grids differ
    targets : N places of the class each of `maps` explains, -1 where there is none
    pixels : N digests of the model input, "" where unknown
    left_out : studies without a prediction
    seed : of everything that is drawn
    """

    keys: tuple[str, ...]
    classes: tuple[str, ...]
    task: str
    thresholds: Mapping[str, float]
    truth: Mask
    is_labelled: Mask
    called: Mask
    logits: Matrix
    probabilities: Matrix
    patients: tuple[str, ...]
    splits: tuple[str, ...]
    sites: tuple[str, ...]
    periods: tuple[str, ...]
    subgroups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    readers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    causes: tuple[str, ...] = ()
    header: Mapping[str, tuple[Scalar, ...]] = field(default_factory=dict)
    features: Floats | None = None
    thumbnails: Floats | None = None
    panel: Mapping[str, Matrix] = field(default_factory=dict)
    measures: Mapping[str, Matrix] = field(default_factory=dict)
    outcomes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    maps: Matrix | None = None
    targets: Ints | None = None
    pixels: tuple[str, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    plan: Plan = field(default_factory=Plan)
    baseline: Cohort | None = None
    seed: int = 0

    @property
    def is_development(self) -> Mask:
        """(N,) True for studies that helped to make the model."""
        return np.asarray([split.casefold() in DEVELOPMENT_SPLITS for split in self.splits], dtype=np.bool_)

    @property
    def has_repeats(self) -> bool:
        """Whether a patient has several studies."""
        return any(count > 1 for patient, count in Counter(self.patients).items() if patient)

    @property
    def clusters(self) -> Ints:
        """(N,) number of the patient of each study; a study of an unknown patient is its own."""
        names = [patient or f"study {key}" for patient, key in zip(self.patients, self.keys, strict=True)]
        return np.unique(names, return_inverse=True)[1].astype(np.int64) if names else np.zeros(0, dtype=np.int64)

    @property
    def questions(self) -> tuple[Question, ...]:
        """One question per class; of two exclusive classes the one with a threshold, else the last, says it all."""
        rows = np.flatnonzero(self.is_labelled & ~self.is_development)
        return tuple(
            Question(
                name=self.classes[place],
                place=place,
                rows=rows,
                truth=self.truth[rows, place],
                called=self.called[rows, place],
                scores=self.probabilities[rows, place],
            )
            for place in self._asked_classes()
        )

    def _asked_classes(self) -> tuple[int, ...]:
        if self.task != Task.MULTICLASS or len(self.classes) != 2:
            return tuple(range(len(self.classes)))
        with_threshold = [place for place, name in enumerate(self.classes) if name in self.thresholds]
        return (with_threshold[0],) if len(with_threshold) == 1 else (1,)

    @property
    def is_wrong(self) -> Mask:
        """(N,) True where the conclusion differs from the label; meaningless without a label."""
        return np.asarray((self.called != self.truth).any(axis=1), dtype=np.bool_)

    def groups(self) -> Mapping[str, tuple[str, ...]]:
        """Return every column that divides the evaluated studies: of the labels file, the site, words of the header.

        Studies that helped to make the model belong to no group: their value is "".
        """
        found = dict(self.subgroups)
        if any(self.sites):
            found["site"] = self.sites
        for keyword, values in self.header.items():
            is_new = keyword not in found and keyword not in NO_GROUP
            if is_new and all(value is None or names_a_group(value) for value in values):
                found[keyword] = tuple(str(value or "") for value in values)
        made = self.is_development
        kept = {
            name: tuple("" if gone else value for value, gone in zip(values, made, strict=True))
            for name, values in found.items()
        }
        return {name: values for name, values in kept.items() if len(set(values) - {""}) > 1}

    def one_per_patient(self, rows: Ints) -> Ints:
        """Return the first of `rows` of every patient, so that the studies are independent."""
        return rows[np.sort(np.unique(self.clusters[rows], return_index=True)[1])]


def names_a_group(value: Scalar) -> bool:
    r"""Return whether a header value is a word that studies can share, and not a measure written as text.

    >>> names_a_group("Phantom Works"), names_a_group("B30f"), names_a_group("0.14\\0.14"), names_a_group("061Y")
    (True, True, False, False)
    """
    return isinstance(value, str) and _MEASURE.fullmatch(value) is None
