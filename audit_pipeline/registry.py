"""A name -> object table that refuses duplicates and answers an unknown name with the nearest valid one."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import entry_points
from typing import Generic, TypeVar

from audit_pipeline.errors import ConfigError

T = TypeVar("T")


class Registry(Mapping[str, T], Generic[T]):
    """Objects of one kind by name, in order of registration.

    Parameters
    ----------
    kind : str
        What the entries are, for messages: ``"check"``, ``"explainer"``.
    group : str, optional
        Entry-point group from which other packages add entries; read on first use.

    Examples
    --------
    >>> shapes = Registry[int]("shape")
    >>> _ = shapes.add("triangle", 3)
    >>> shapes["triangle"]
    3
    >>> shapes["triangel"]
    Traceback (most recent call last):
    ...
    audit_pipeline.errors.ConfigError: unknown shape 'triangel'; did you mean 'triangle'? Known: triangle
    """

    def __init__(self, kind: str, group: str | None = None) -> None:
        self.kind = kind
        self._group = group
        self._entries: dict[str, T] = {}

    def add(self, name: str, entry: T) -> T:
        """Register `entry`; a name that is taken raises ``ValueError``, it never replaces."""
        if name in self._entries:
            raise ValueError(f"{self.kind} {name!r} is registered twice")
        self._entries[name] = entry
        return entry

    def register(self, name: str) -> Callable[[T], T]:
        """Return a decorator that adds the decorated object under `name`."""
        return lambda entry: self.add(name, entry)

    def _load_plugins(self) -> None:
        group, self._group = self._group, None
        for point in sorted(entry_points(group=group), key=lambda point: point.name) if group else ():
            self.add(point.name, point.load())

    def __getitem__(self, name: str) -> T:
        self._load_plugins()
        if name not in self._entries:
            raise ConfigError(unknown_name(self.kind, name, self._entries))
        return self._entries[name]

    def __contains__(self, name: object) -> bool:
        self._load_plugins()
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        self._load_plugins()
        return iter(self._entries)

    def __len__(self) -> int:
        self._load_plugins()
        return len(self._entries)


def unknown_name(kind: str, name: str, known: Mapping[str, object] | list[str]) -> str:
    """Return the sentence for a name that is not in `known`, with the nearest valid name."""
    names = list(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f"; did you mean {near[0]!r}?" if near else "."
    return f"unknown {kind} {name!r}{hint} Known: {', '.join(names) or 'none'}"
