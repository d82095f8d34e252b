"""Pixels put aside in a file while a long report is drawn, so that memory holds the pictures of one study at a time."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from math import prod
from typing import IO

import numpy as np

from audit_pipeline.records import Floats, Panel, sealed

Read = Callable[[], Floats]
"""Returns the same array at every call."""

Put = Callable[[Floats], Read]
"""Keeps an array."""

NOTHING = sealed(np.zeros((0, 0), dtype=np.float32))


def held(values: Floats) -> Read:
    """Keep an array in memory."""
    return lambda: values


@dataclass(frozen=True, slots=True)
class Aside:
    """Arrays in a file that was opened for reading and writing; they last as long as it is open."""

    file: IO[bytes]

    def put(self, values: Floats) -> Read:
        """Write a float32 array to the end of the file."""
        start = self.file.seek(0, os.SEEK_END)
        self.file.write(np.ascontiguousarray(values, dtype=np.float32).tobytes())
        return partial(self._read, start, values.shape)

    def _read(self, start: int, shape: tuple[int, ...]) -> Floats:
        self.file.seek(start)
        content = self.file.read(np.dtype(np.float32).itemsize * prod(shape))
        return np.frombuffer(content, dtype=np.float32).reshape(shape)


@dataclass(frozen=True, slots=True)
class PanelsAside(Mapping[str, Panel]):
    """Study key -> panel, whose pixels `put` keeps; every look reads them anew."""

    put: Put
    kept: dict[str, tuple[Panel, Read, Mapping[str, Read]]] = field(default_factory=dict)

    def add(self, key: str, panel: Panel) -> None:
        """Put a panel aside."""
        maps = {method: self.put(values) for method, values in panel.maps.items()}
        self.kept[key] = (replace(panel, anatomy=NOTHING, maps={}), self.put(panel.anatomy), maps)

    def __getitem__(self, key: str) -> Panel:
        """Return the panel with its pixels."""
        panel, anatomy, maps = self.kept[key]
        return replace(panel, anatomy=anatomy(), maps={method: read() for method, read in maps.items()})

    def __iter__(self) -> Iterator[str]:
        """Yield the keys in the order in which the panels were added."""
        return iter(self.kept)

    def __len__(self) -> int:
        """Return how many panels there are."""
        return len(self.kept)
