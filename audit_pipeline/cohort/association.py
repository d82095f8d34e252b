"""Whether a number goes with a field once the classes are held apart: rank tests within strata, summed."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from audit_pipeline.cohort.comparison import score_interval, strata_sizes, stratified_area
from audit_pipeline.cohort.declare import Estimate
from audit_pipeline.cohort.record import Cohort, Ints
from audit_pipeline.cohort.wording import with_interval
from audit_pipeline.records import Scalar

Vector = NDArray[np.float64]
FEWEST_LEVEL = 5
"""Studies of one value within a stratum below which the value is pooled with the other rare ones."""

MOST_LEVELS = 12
OF_THE_PATIENT = frozenset({"age", "sex", "gender", "ethnic", "ethnicity", "race"})
"""Words for facts of the person: they may rightly go with disease, so they are shown, never flagged as a shortcut."""

WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")

AGE = re.compile(r"^(\d{3})([YMWD])$")
PER_YEAR: Mapping[str, float] = {"Y": 1.0, "M": 12.0, "W": 52.18, "D": 365.25}


@dataclass(frozen=True, kw_only=True, slots=True)
class Field:
    """One field of the metadata: either `numbers` (NaN where missing) or `texts` ("" where missing)."""

    name: str
    numbers: Vector | None = None
    texts: tuple[str, ...] | None = None

    @property
    def is_of_the_patient(self) -> bool:
        """Whether it describes the person rather than the acquisition.

        >>> [Field(name=name).is_of_the_patient for name in ("PatientAge", "age_band", "SEX", "dosage", "Manufacturer")]
        [True, True, True, False, False]
        """
        return any(word.lower() in OF_THE_PATIENT for word in WORD.findall(self.name))

    def taken(self, rows: Ints) -> Field:
        """Return the field of some studies."""
        if self.numbers is not None:
            return Field(name=self.name, numbers=self.numbers[rows])
        assert self.texts is not None
        return Field(name=self.name, texts=tuple(self.texts[row] for row in rows))


def fields_of(cohort: Cohort) -> tuple[Field, ...]:
    """Return every field that differs between studies: header, site and columns of the labels file."""
    found: dict[str, Field] = {}
    sources: dict[str, Sequence[Scalar]] = {**cohort.subgroups, **cohort.header}
    if any(cohort.sites):
        sources["site"] = cohort.sites
    for name in sorted(sources):
        field = field_of(name, sources[name])
        if field is not None:
            found[name] = field
    return tuple(found.values())


def field_of(name: str, values: Sequence[Scalar]) -> Field | None:
    """Return a field as numbers or texts, None where it is constant or has too many texts to group."""
    given = [value for value in values if value is not None and value != ""]
    if len(given) < len(values) / 2 or len({str(value) for value in given}) < 2:
        return None
    numbers = [_number(value) for value in values]
    if all(number is not None for number, value in zip(numbers, values, strict=True) if value not in {None, ""}):
        numeric = np.asarray([np.nan if number is None else number for number in numbers], dtype=np.float64)
        if np.unique(numeric[np.isfinite(numeric)]).size > 3:
            return Field(name=name, numbers=numeric)
    texts = tuple("" if value is None else str(value) for value in values)
    return Field(name=name, texts=texts) if len(set(texts)) <= MOST_LEVELS else None


def _number(value: Scalar) -> float | None:
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, str):
        found = AGE.match(value)
        return int(found[1]) / PER_YEAR[found[2]] if found else None
    return float(value)


EFFECT = "rank effect"
"""The unit of `Association.effect`."""

EFFECT_NOTE = (
    "Effect: distance from one half of the chance that a study with the value scores higher than one without, for the "
    "value that moves it most; in brackets its score interval, at 95 % for all values at once (Bonferroni)."
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Association:
    """How a number goes with a field: p-value, and the most a value of the field moves its rank.

    effect : largest distance from one half of the chance that a study with this value exceeds one without it in the
    same stratum; 0 to 0.5; 0 where no value is frequent enough
    low, high : score interval of that chance for the value that moves most, as distances from one half; low is 0 where
    one half lies inside. It holds at 95 % for all values at once (Bonferroni), as the largest was chosen.
    """

    p_value: float
    effect: float
    low: float
    high: float
    n: int

    @property
    def estimate(self) -> Estimate:
        """The effect as a cell of a table."""
        return Estimate(value=self.effect, low=self.low, high=self.high, n=self.n)

    @property
    def sentence(self) -> str:
        """The effect with its interval, as a clause."""
        return f"effect {with_interval(self.effect, self.low, self.high)}"


def association(values: Vector, field: Field, strata: Sequence[str]) -> Association | None:
    """Return how `values` go with `field` within strata; None where no stratum can tell.

    Texts: Kruskal-Wallis statistics of the strata, summed with their degrees of freedom. Numbers: Spearman's
    correlations of the strata on Fisher's scale, weighted by ``sqrt(n - 3)``.

    Parameters
    ----------
    values : (n,) finite where known; strata : n names
    """
    names = np.asarray(strata)
    known = np.isfinite(values) & (
        np.isfinite(field.numbers)
        if field.numbers is not None
        else np.asarray([bool(text) for text in field.texts or ()])
    )
    if field.numbers is not None:
        found = _of_numbers(values[known], field.numbers[known], names[known])
        parts = (field.numbers[known] > np.median(field.numbers[known])).astype(np.str_) if known.any() else names[:0]
    else:
        parts = np.asarray(field.texts)[known]
        found = _of_texts(values[known], parts, names[known])
    if found is None:
        return None
    effect, low, high = _effect(values[known], parts, names[known])
    return Association(p_value=found, effect=effect, low=low, high=high, n=int(known.sum()))


def _of_texts(values: Vector, texts: NDArray[np.str_], strata: NDArray[np.str_]) -> float | None:
    from scipy.stats import chi2, kruskal

    statistic, degrees = 0.0, 0
    for stratum in np.unique(strata):
        inside = strata == stratum
        counts = Counter(texts[inside])
        pooled = np.asarray([text if counts[text] >= FEWEST_LEVEL else "" for text in texts[inside]])
        groups = [values[inside][pooled == level] for level in np.unique(pooled)]
        groups = [group for group in groups if group.size >= FEWEST_LEVEL]
        if len(groups) > 1 and np.ptp(np.concatenate(groups)) > 0:
            statistic += float(kruskal(*groups).statistic)
            degrees += len(groups) - 1
    return float(chi2.sf(statistic, degrees)) if degrees else None


def _of_numbers(values: Vector, numbers: Vector, strata: NDArray[np.str_]) -> float | None:
    from scipy.stats import norm, spearmanr

    total, weight = 0.0, 0.0
    for stratum in np.unique(strata):
        inside = strata == stratum
        n = int(inside.sum())
        if n >= 2 * FEWEST_LEVEL and np.ptp(values[inside]) > 0 and np.ptp(numbers[inside]) > 0:
            correlation = float(np.clip(spearmanr(values[inside], numbers[inside]).statistic, -0.999999, 0.999999))
            total += (n - 3) * float(np.arctanh(correlation)) / sqrt(1.06)
            weight += n - 3
    return float(2 * norm.sf(abs(total) / sqrt(weight))) if weight else None


def _effect(values: Vector, texts: NDArray[np.str_], strata: NDArray[np.str_]) -> tuple[float, float, float]:
    """Return the effect of `Association` with the ends of its interval."""
    from scipy.stats import norm

    levels = [level for level, count in Counter(texts).items() if count >= FEWEST_LEVEL]
    areas = [(area, level) for level in levels if (area := stratified_area(values, texts == level, strata)) is not None]
    if not areas:
        return 0.0, 0.0, 0.5
    area, level = max(areas, key=lambda pair: abs(pair[0] - 0.5))
    low, high = score_interval(area, *strata_sizes(texts == level, strata), z=float(norm.isf(0.025 / len(areas))))
    nearest = 0.0 if low <= 0.5 <= high else min(abs(low - 0.5), abs(high - 0.5))
    return float(abs(area - 0.5)), nearest, max(abs(low - 0.5), abs(high - 0.5))
