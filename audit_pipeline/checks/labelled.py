"""The reference studies whose truth is known: their probabilities, and which class each truly has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from audit_pipeline.evidence import Evidence, Unanswered
from audit_pipeline.records import Mask, Matrix, Task


@dataclass(frozen=True, slots=True)
class Labelled:
    """Reference studies with a known label, n of them.

    probabilities : (n, K); truth : (n, K) bool, the classes that are present
    """

    probabilities: Matrix
    truth: Mask

    @property
    def classes(self) -> tuple[Matrix, NDArray[np.int64]]:
        """Probabilities (n, L) of labels that exclude each other, and the place of the true one, (n,).

        A single sigmoid stands for two labels, absent and present, in this order.
        """
        if self.probabilities.shape[1] > 1:
            return self.probabilities, np.argmax(self.truth, axis=1)
        both = np.concatenate([1 - self.probabilities, self.probabilities], axis=1)
        return both, self.truth[:, 0].astype(np.int64)


def labelled(evidence: Evidence, least: int) -> Labelled:
    """Return the reference studies with logits and a label that can be understood.

    A label is understood as in the cohort: multiclass by the name of a class; binary present by the name of the class
    or ``1``, and absent by any other text; multilabel by names separated by ``|`` or ``;``.

    Raises
    ------
    Unanswered
        There are fewer than `least` of them.
    """
    reference, prediction = evidence.reference, evidence.prediction
    if reference is None or reference.logits is None or not any(reference.labels):
        raise Unanswered("There are no reference studies with logits and labels.")
    if reference.logits.shape[1] != len(prediction.classes):
        raise Unanswered(f"The reference holds {reference.logits.shape[1]} logits a study, the model gives others.")
    truths = [_truth(label, prediction.classes, prediction.task) for label in reference.labels]
    usable = [place for place, truth in enumerate(truths) if truth is not None]
    usable = [place for place in usable if np.isfinite(reference.logits[place]).all()]
    if len(usable) < least:
        raise Unanswered(f"{len(usable)} reference studies have a label that names a class; {least} are needed.")
    chances = chances_of(reference.logits[usable].astype(np.float64), prediction.task)
    return Labelled(chances, np.asarray([truths[place] for place in usable], dtype=np.bool_))


def _truth(label: str, classes: Sequence[str], task: Task) -> list[bool] | None:
    text, names = label.strip().casefold(), [name.casefold() for name in classes]
    if not text:
        return None
    if task is Task.BINARY:
        return [text in {names[0], "1"}]
    given = {text}
    if task is Task.MULTILABEL:
        given = {part.strip() for part in text.replace(";", "|").split("|")}
    found = [name in given for name in names]
    return found if any(found) or task is Task.MULTILABEL else None


def chances_of(logits: Matrix, task: Task) -> Matrix:
    """Return softmax of every row for multiclass, the sigmoid otherwise, (n, K)."""
    if task is not Task.MULTICLASS:
        return np.asarray(0.5 * (1 + np.tanh(0.5 * logits)))
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def wilson(hits: int, count: int, z: float) -> tuple[float, float]:
    """Return the Wilson interval of a proportion.

    >>> [round(end, 3) for end in wilson(9, 10, 1.96)]
    [0.596, 0.982]

    References
    ----------
    E. B. Wilson, 1927, doi:10.1080/01621459.1927.10502953.
    """
    share = hits / count
    middle = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z / (1 + z * z / count) * float(np.sqrt(share * (1 - share) / count + z * z / (4 * count * count)))
    return max(0.0, middle - half), min(1.0, middle + half)
