"""From probabilities to the classes a model concludes: the one rule that predictions and checks share."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence

from audit_pipeline.records import Task

BETWEEN_LABELS = re.compile(r"[|;]")
"""Between the names of a label with several findings (multilabel)."""


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


def true_classes(label: str, classes: Collection[str], task: Task) -> frozenset[str] | None:
    """Return the classes that a label says are present; None when it cannot be understood.

    Multiclass: the label is the name of a class, and any other text is not understood. Binary: the name of the
    positive class, or ``1``; every other text is negative. Multilabel: names separated by ``|`` or ``;``; names that
    are no class of the model are ignored, so ``normal`` has no class present. Case does not matter.
    """
    by_name = {name.casefold(): name for name in classes}
    if task is Task.MULTICLASS:
        name = by_name.get(label.strip().casefold())
        return None if name is None else frozenset({name})
    if task is Task.BINARY and label.strip() == "1":
        return frozenset(by_name.values())
    given = {part.strip().casefold() for part in BETWEEN_LABELS.split(label)}
    return frozenset(name for key, name in by_name.items() if key in given)
