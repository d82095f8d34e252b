"""Cells and columns of a text of facts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from audit_pipeline.inspection.wording import plain

Facts = Mapping[str, Any]

UNKNOWN = "-"


@dataclass(frozen=True, kw_only=True, slots=True)
class Block:
    """One subject: a table, or none without heads, and the sentences below it."""

    title: str
    heads: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()
    notes: Sequence[str] = ()

    def lines(self) -> list[str]:
        """Return the block as lines of text; nothing of a block without rows and notes."""
        return [*(table(self.heads, self.rows) if self.rows else ()), *self.notes]


def reasons(found: Facts, measure: str) -> list[str]:
    """Return why a measure is missing or weaker than asked for, each reason once with the methods it struck."""
    struck: dict[str, list[str]] = {}
    for one in found["maps"]:
        if one[measure]["reason"]:
            struck.setdefault(one[measure]["reason"], []).append(one["method"])
    return [f"{measure}: {plain(reason)} ({', '.join(methods)})" for reason, methods in struck.items()]


def named(one: Facts) -> list[str]:
    """Return the cells that say which map a row is about."""
    return [one["method"], plain(one["target_name"])]


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return a head and rows in columns two spaces apart.

    >>> table(["a", "size"], [["longer", "1"]])
    ['a       size', 'longer  1']
    """
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    lines = [[cell.ljust(width) for cell, width in zip(row, widths, strict=True)] for row in (heads, *rows)]
    return ["  ".join(line).rstrip() for line in lines]


def number(value: float | None) -> str:
    """Return four significant digits; a dash for what is unknown.

    >>> number(0.123456), number(None)
    ('0.1235', '-')
    """
    return UNKNOWN if value is None else f"{value:.4g}"


def across(sides: Sequence[float | None]) -> str:
    """Return sides as 64 x 64."""
    return " x ".join(map(number, sides))


def listed(parts: Sequence[object]) -> str:
    """Return parts with a space between them."""
    return " ".join(map(str, parts))


def position(place: Sequence[float] | None) -> str:
    """Return a position in mm."""
    return UNKNOWN if place is None else listed([f"{part:.1f}" for part in place])
