"""From probabilities to the classes a model concludes: the one rule that predictions and checks share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from audit_pipeline.records import Task


def conclude(
    classes: Sequence[str], chances: Sequence[float], thresholds: Mapping[str, float], task: Task
) -> tuple[str, ...]:
    """Return the classes the model concludes.

    Multilabel and binary: every class at or above its threshold (0.5 where the card gives none). Multiclass: the most
    probable class among those that reach their threshold; when none does, the most probable class without a threshold;
    when every class has one, the most probable class.

    >>> conclude(["clear", "nodule"], [0.55, 0.45], {"nodule": 0.4}, Task.MULTICLASS)
    ('nodule',)
    """
    pairs = list(zip(classes, chances, strict=True))
    if task is not Task.MULTICLASS:
        return tuple(name for name, chance in pairs if chance >= thresholds.get(name, 0.5))
    reached = [pair for pair in pairs if pair[0] in thresholds and pair[1] >= thresholds[pair[0]]]
    free = [pair for pair in pairs if pair[0] not in thresholds]
    return (max(reached or free or pairs, key=lambda pair: pair[1])[0],)
