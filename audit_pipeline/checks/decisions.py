"""What a model concludes from probabilities, to see whether another answer is another decision."""

from __future__ import annotations

import numpy as np

from audit_pipeline.records import Mask, Matrix, Prediction, Task


def decided(prediction: Prediction, probabilities: Matrix) -> tuple[frozenset[str], ...]:
    """Return the classes concluded from each row of probabilities (n, K), by the operating points of the prediction.

    A sigmoid per label: every class at or above its operating point, 0.5 without one. Multiclass: the most probable
    class among those that reach their operating point; else the most probable of the classes without one; else the
    most probable of all.
    """
    thresholds, names = prediction.thresholds, prediction.classes
    if prediction.task is not Task.MULTICLASS:
        limits = np.asarray([thresholds.get(name, 0.5) for name in names])
        return tuple(frozenset(np.asarray(names)[row >= limits].tolist()) for row in probabilities)
    return tuple(frozenset({_one_of(prediction, row)}) for row in probabilities)


def _one_of(prediction: Prediction, row: Matrix) -> str:
    thresholds, pairs = prediction.thresholds, list(zip(prediction.classes, row.tolist(), strict=True))
    reached = [pair for pair in pairs if pair[0] in thresholds and pair[1] >= thresholds[pair[0]]]
    free = [pair for pair in pairs if pair[0] not in thresholds]
    return max(reached or free or pairs, key=lambda pair: pair[1])[0]


def flipped(prediction: Prediction, probabilities: Matrix) -> Mask:
    """Return (n,) bool: where the decision from a row of probabilities is not that from the recorded ones."""
    own = decided(prediction, np.asarray([prediction.probabilities]))[0]
    return np.asarray([one != own for one in decided(prediction, probabilities)], dtype=np.bool_)


def positives(prediction: Prediction) -> tuple[int, ...]:
    """Return the places of the concluded classes that assert a finding.

    Those are the classes with an operating point, and with a sigmoid per label all; a multiclass card without
    operating points does not say which of its classes is the absence of a finding, and then there are none.
    """
    named = prediction.classes if prediction.task is not Task.MULTICLASS else tuple(prediction.thresholds)
    own = decided(prediction, np.asarray([prediction.probabilities]))[0]
    return tuple(place for place, name in enumerate(prediction.classes) if name in own and name in named)
