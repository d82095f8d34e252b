"""The registry of planted faults: each changes a clean case so that exactly one failure mode is present."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from audit_pipeline.bench.case import Case
from audit_pipeline.config import Level
from audit_pipeline.registry import Registry

SEVERITIES = (1, 2, 3, 4, 5)
"""From barely there to unmistakable; from 3 on a check must find it."""

Planter = Callable[[Case, int, np.random.Generator], Case]


@dataclass(frozen=True, kw_only=True, slots=True)
class Plant:
    """One planted fault.

    code : of the failure mode that must be found; dimensions : of the cases it can be planted in
    network : name of the hand-written network the case needs (see `oracles`), "" for the clean case's own
    level : of the audit; has_severity : whether it comes in degrees, else severities above 1 plant the same
    accompanied : codes that this fault may raise as well, because it is that failure too
    """

    name: str
    code: str
    sentence: str
    plant: Planter
    dimensions: tuple[int, ...] = (2, 3)
    network: str = ""
    level: Level = "standard"
    has_severity: bool = True
    accompanied: tuple[str, ...] = ()


PLANTS: Registry[Plant] = Registry("plant", group="audit_pipeline.plants")
"""Every planted fault by its name; a failure mode may have several."""


def plant(
    code: str,
    *,
    sentence: str,
    dimensions: tuple[int, ...] = (2, 3),
    network: str = "",
    level: Level = "standard",
    has_severity: bool = True,
    accompanied: tuple[str, ...] = (),
) -> Callable[[Planter], Planter]:
    """Return a decorator that registers a function under its own name as a planted fault of mode `code`."""

    def decorate(planter: Planter) -> Planter:
        name = planter.__name__
        PLANTS.add(name, Plant(
            name=name, code=code, sentence=sentence, plant=planter, dimensions=dimensions, network=network,
            level=level, has_severity=has_severity, accompanied=accompanied,
        ))  # fmt: skip
        return planter

    return decorate
