"""What a model concludes from probabilities, to see whether another answer is another decision."""

from __future__ import annotations

import numpy as np

from audit_pipeline.conclusion import conclude
from audit_pipeline.records import Mask, Matrix, Prediction, Task


def decided(prediction: Prediction, probabilities: Matrix) -> tuple[frozenset[str], ...]:
    """Return the classes concluded from each row of probabilities (n, K), see `conclusion.conclude`."""
    return tuple(
        frozenset(conclude(prediction.classes, row, prediction.thresholds, prediction.task))
        for row in probabilities.tolist()
    )


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
