"""How unusual a study is among clean ones: scores of features, logits and thumbnails, each against the other studies.

Every score of a reference study is that of a study the rest does not know (leave one out, or one of ten parts), so
that the study at hand and the reference studies are exchangeable and their ranks give conformal p-values.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh
from scipy.spatial.distance import cdist

from audit_pipeline.checks.decide import LEAST_STUDIES, conformal_p, quantile_limit, standing_of
from audit_pipeline.checks.declare import Result
from audit_pipeline.findings import Outcome
from audit_pipeline.records import Floats, Matrix, Task
from audit_pipeline.wording import counted, shown

Values = Floats | Matrix
Groups = NDArray[np.int64]

PARTS = 10
"""Parts of a reference of which each is scored by what was learnt from the others."""

RIDGE = 0.1
"""Share of the mean variance that is added to every variance, so that few studies give a covariance to divide by."""

LEAST_GROUP = 10
"""Studies a class needs for a mean of its own."""

EXPLAINED = 0.9
"""Share of the variance that the components of a thumbnail keep."""

SPREAD_FLOOR = 0.1
"""The spread of a cell of a thumbnail counts at least as this share of the median over cells."""


@dataclass(frozen=True, slots=True, eq=False)
class Novelty:
    """One score, larger for stranger studies, and the scores (n,) of n clean ones; `words` says what it is made of."""

    value: float
    clean: Matrix
    words: str = ""

    @property
    def p_value(self) -> float:
        """Conformal p-value."""
        return conformal_p(self.value, self.clean, "above")

    @property
    def remote(self) -> float:
        """A score that no clean study of any plausible tail reaches: as far beyond the largest as that is typical.

        For an exponential tail twice the largest of n less the median is reached by about one clean study in n^2.
        Scores above 0 may have a tail that falls as a power; then the largest squared over the median is, and the
        larger of the two counts.
        """
        largest, middle = float(self.clean.max()), float(np.median(self.clean))
        further = 2 * largest - middle
        return max(further, largest**2 / middle) if float(self.clean.min()) > 0 else further

    def result(self, text: str, unit: str) -> Result:
        """Return what follows: a flag beyond `remote` whatever the size of the reference, else the p-value to weigh."""
        studies = counted(self.clean.size, "clean study", "clean studies")
        standing = standing_of(self.value, self.clean)
        if self.value > self.remote:
            words = f"{text} (far beyond all {studies}, limit {shown(self.remote)}).{self.words}"
            return Result(Outcome.FLAG, words, self.value, self.remote, unit, provenance="dom", standing=standing)
        limit = quantile_limit(self.clean, "above")
        words = f"{text} ({studies}, limit {shown(limit)}, conformal p = {shown(self.p_value)}).{self.words}"
        enough = self.clean.size >= LEAST_STUDIES
        outcome = Outcome.FLAG if enough and self.value > limit else Outcome.PASS
        p_value = self.p_value if enough else None
        return Result(outcome, words, self.value, limit, unit, p_value=p_value, standing=standing)


def strongest(own: Matrix, clean: Matrix) -> tuple[float, Matrix, int]:
    """Return the score that stands out most, for the study and for every clean one, and which it is for the study.

    Scores are compared as (score - median) / (95 % quantile - median) of the clean studies.

    Parameters
    ----------
    own : (m,) scores of the study; clean : (n, m)
    """
    middle = np.median(clean, axis=0)
    reach = np.quantile(clean, 0.95, axis=0) - middle
    reach = np.where(reach > 0, reach, np.inf)
    scaled = (own - middle) / reach
    return float(scaled.max()), np.asarray(((clean - middle) / reach).max(axis=1)), int(scaled.argmax())


@dataclass(frozen=True, slots=True, eq=False)
class Held:
    """An array as the key of a cache: the same object, not an equal one."""

    values: Values

    def __hash__(self) -> int:
        """Return the identity of the array."""
        return id(self.values)

    def __eq__(self, other: object) -> bool:
        """Tell whether it is the same array."""
        return isinstance(other, Held) and other.values is self.values


def neighbour_distance(reference: Values, features: Matrix, neighbours: int) -> tuple[float, Matrix]:
    """Return the study's distance and those of the reference studies, each to its `neighbours`-th nearest other.

    Euclidean, each feature divided by its standard deviation in the reference.
    """
    mean, scale = _scale(reference)
    own = np.sort(np.linalg.norm((reference - mean) / scale - (features - mean) / scale, axis=1))
    return float(own[neighbours - 1]), _between(Held(reference))[:, neighbours]


def _scale(reference: Values) -> tuple[Matrix, Matrix]:
    spread = reference.std(axis=0, dtype=np.float64)
    return reference.mean(axis=0, dtype=np.float64), np.where(spread > 0, spread, 1.0)


@lru_cache(maxsize=4)
def _between(held: Held) -> Matrix:
    """Return the sorted distances of every reference study to all, (R, R); column 0 is the study itself."""
    mean, scale = _scale(held.values)
    standard = (held.values - mean) / scale
    return np.asarray(np.sort(cdist(standard, standard), axis=1))


def relative_mahalanobis(reference: Values, features: Matrix, groups: Groups) -> tuple[float, Matrix] | None:
    """Return the relative Mahalanobis distance of the study and of the reference studies; None without two classes.

    ``min over classes of MD_k(x)^2 - MD_0(x)^2``, where MD_k is the distance from the mean of class k by the shared
    covariance within classes, and MD_0 that from the mean of all by the covariance of all.

    Parameters
    ----------
    groups : (R,) class of each reference study

    References
    ----------
    J. Ren et al., A simple fix to Mahalanobis distance for improving near-OOD detection, 2021, arXiv:2106.09022.
    """
    names, members = np.unique(groups, return_counts=True)
    usable = names[members >= LEAST_GROUP]
    if usable.size < 2:
        return None
    mean, scale = _scale(reference)
    points = (reference - mean) / scale
    own = _relative(points, groups, usable, ((features - mean) / scale)[None])[0]
    clean = over_parts(points, lambda rest, part: _relative(points[rest], groups[rest], usable, points[part]))
    return float(own), clean


def over_parts(points: Matrix, score: Callable[[Groups, Groups], Matrix]) -> Matrix:
    """Return the score of every row of `points` by what the rows of the other parts teach.

    score : called with the places of the rest and of a part; returns one score for each row of the part
    """
    count = len(points)
    places = np.arange(count)
    found = np.zeros(count)
    for part in range(min(PARTS, count)):
        is_part = places % min(PARTS, count) == part
        found[is_part] = score(places[~is_part], places[is_part])
    return found


def _relative(known: Matrix, groups: Groups, names: Groups, points: Matrix) -> Matrix:
    usable = np.isin(groups, names)
    means = np.stack([known[groups == name].mean(axis=0) for name in names])
    within = known[usable] - means[np.searchsorted(names, groups[usable])]
    centre = known[usable].mean(axis=0)
    inner, outer = _precision(within), _precision(known[usable] - centre)
    to_class = np.stack([_squared(points - mean, inner) for mean in means])
    return np.asarray(to_class.min(axis=0) - _squared(points - centre, outer))


def _precision(centred: Matrix) -> Matrix:
    covariance = centred.T @ centred / max(1, len(centred) - 1)
    ridge = RIDGE * np.trace(covariance) / len(covariance)
    return np.asarray(np.linalg.inv(covariance + (ridge or 1.0) * np.eye(len(covariance))))


def _squared(offsets: Matrix, precision: Matrix) -> Matrix:
    return np.asarray(np.einsum("nc,cd,nd->n", offsets, precision, offsets))


LOGIT_SCORES = ("energy", "largest logit", "confidence", "entropy")


def logit_scores(logits: Values, task: Task) -> Matrix:
    """Return energy, negative largest logit, one minus confidence, and entropy of rows of logits, (n, 4).

    Multiclass: ``-log sum exp z``, ``-max z``, ``1 - max p``, entropy of p. With a sigmoid per label, a label counts
    as the two classes (-z/2, z/2): energies add up, the last two are averaged, and the largest logit is ``max |z|/2``.

    References
    ----------
    W. Liu et al., Energy-based out-of-distribution detection, 2020, arXiv:2010.03759; D. Hendrycks, K. Gimpel, 2017,
    arXiv:1610.02136 (confidence); D. Hendrycks et al., 2022, arXiv:1911.11132 (largest logit).
    """
    if task is Task.MULTICLASS:
        return _class_scores(np.asarray(logits, dtype=np.float64))
    pairs = np.stack([-0.5 * logits, 0.5 * logits], axis=-1).astype(np.float64)
    each = _class_scores(pairs.reshape(-1, 2)).reshape(*logits.shape, 4)
    return np.stack([each[..., 0].sum(1), each[..., 1].min(1), each[..., 2].mean(1), each[..., 3].mean(1)], axis=1)


def _class_scores(logits: Matrix) -> Matrix:
    top = logits.max(axis=1)
    powers = np.exp(logits - top[:, None])
    total = powers.sum(axis=1)
    chances = powers / total[:, None]
    logs = logits - top[:, None] - np.log(total)[:, None]
    return np.stack([-(top + np.log(total)), -top, 1 - chances.max(axis=1), -(chances * logs).sum(axis=1)], axis=1)


def residual_scores(thumbnails: Values, own: Values) -> tuple[float, Matrix]:
    """Return how badly the components of the reference rebuild a thumbnail, for the study and the reference studies.

    The residual of every cell is divided by its spread over the other reference studies; the score is the fourth root
    of the mean fourth power, so that a small foreign object counts as well as a strange whole.

    Parameters
    ----------
    thumbnails : (R, T); own : (T,)
    """
    kept, spread, clean = _residuals(Held(thumbnails))
    residual = _rest(thumbnails.astype(np.float64), own[None].astype(np.float64), kept)
    return float(_fourth(residual / spread)[0]), clean


@lru_cache(maxsize=4)
def _residuals(held: Held) -> tuple[int, Matrix, Matrix]:
    """Return the components kept, the spread of the residual of each cell (T,), and the reference's scores (R,)."""
    points = held.values.astype(np.float64)
    kept = _components(points)
    residuals = np.zeros_like(points)
    for part in range(min(PARTS, len(points))):
        is_part = np.arange(len(points)) % min(PARTS, len(points)) == part
        residuals[is_part] = _rest(points[~is_part], points[is_part], kept)
    squares = np.square(residuals)
    others = np.sqrt((squares.sum(axis=0) - squares) / max(1, len(points) - 1))
    spread = np.sqrt(squares.mean(axis=0))
    typical = float(np.median(spread[spread > 0])) if (spread > 0).any() else 1.0
    least = SPREAD_FLOOR * typical
    return kept, np.maximum(spread, least), _fourth(residuals / np.maximum(others, least))


def _components(points: Matrix) -> int:
    """Return how many principal components explain `EXPLAINED` of the variance, at most a quarter of the studies."""
    centred = points - points.mean(axis=0)
    values = np.maximum(eigh(centred @ centred.T, eigvals_only=True)[::-1], 0)
    shares = np.cumsum(values) / max(float(values.sum()), 1e-30)
    return min(1 + int(np.searchsorted(shares, EXPLAINED)), len(points) // 4)


def _rest(known: Matrix, points: Matrix, kept: int) -> Matrix:
    """Return what the leading principal components of `known` leave of `points`, both (n, T)."""
    mean = known.mean(axis=0)
    centred = known - mean
    values, vectors = eigh(centred @ centred.T, subset_by_index=(len(known) - kept, len(known) - 1))
    axes = (centred.T @ vectors) / np.sqrt(np.maximum(values, 1e-30))
    offsets = points - mean
    return np.asarray(offsets - (offsets @ axes) @ axes.T)


def _fourth(residuals: Matrix) -> Matrix:
    return np.asarray(np.power(np.power(residuals, 4).mean(axis=1), 0.25))


def groups_of(labels: Sequence[str], logits: Values | None, task: Task) -> Groups | None:
    """Return the class of each reference study: its label, else what the model said; None when neither is known."""
    if labels and all(labels):
        return np.unique(np.asarray(labels), return_inverse=True)[1].astype(np.int64)
    if logits is None:
        return None
    if task is Task.BINARY:
        return np.asarray(logits[:, 0] > 0, dtype=np.int64)
    return np.asarray(np.argmax(logits, axis=1))
