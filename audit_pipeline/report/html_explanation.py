"""One image explained, as one page for a browser: tables, and per map its pictures, its curves and its tests."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup
from reportlab.lib.units import mm

from audit_pipeline.findings import Curve
from audit_pipeline.report import numbers, removal_charts, vocabulary
from audit_pipeline.report.drawing import TITLE, area, chart, dot, label, line, ticks
from audit_pipeline.report.html_elements import page, tag
from audit_pipeline.report.html_plots import figure
from audit_pipeline.report.plots import Plot, Point, Shape

WIDTH, HEIGHT = 90 * mm, 35 * mm
LEFT, RIGHT, BELOW, ABOVE = 11 * mm, 4 * mm, 6.8 * mm, 4.4 * mm

NUMERIC = re.compile(r"-?[\d.,]+(e[+-]?\d+)?|-")
BEFORE, NARROW = 3, 8
"""Subjects that stand above the maps; most columns of a table that is no wider than it must be."""

KEY = (
    "Grey: what shifted copies of the map reach, dashed their middle; and how alike 95 of 100 random maps are at most. "
    "A curve outside the grey depends on where the map points; likeness inside it is chance."
)
CURVES = ("deletion", "insertion")
RANDOMISED = "Rank correlation with the map of the trained network"


@dataclass(frozen=True, kw_only=True, slots=True)
class Subject:
    """One subject of the page: a title, a table, and the sentences below it."""

    title: str
    heads: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str]


@dataclass(frozen=True, kw_only=True, slots=True)
class Explained:
    """One map: whose it is, what its curves and tests found, as ``explanation.json`` has it, and name -> PNG file."""

    title: str
    facts: Mapping[str, Any]
    pictures: Mapping[str, bytes]


def render_explanation_html(title: str, subjects: Sequence[Subject], maps: Sequence[Explained]) -> bytes:
    """Return the page, one self-contained file that asks no network for anything."""
    first, others = subjects[:BEFORE], subjects[BEFORE:]
    header = tag("header", tag("p", vocabulary.CAUTION.capitalize(), class_="caution"), class_="top")
    body = [tag("h1", title), *map(_subject, first), *map(_map, maps), *map(_subject, others)]
    return page(title, ", ".join(one.title for one in subjects), header + tag("main", *body, id="content", tabindex=-1))


def _subject(one: Subject) -> Markup:
    if not one.rows and not one.notes:
        return Markup("")
    table = [tag("div", _table(one), class_="scroll")] if one.rows else []
    return tag("section", tag("h2", one.title), *table, *(tag("p", note, class_="caption") for note in one.notes))


def _table(one: Subject) -> Markup:
    sides = ["n" if all(map(NUMERIC.fullmatch, column)) else None for column in zip(*one.rows, strict=True)]
    heads = (tag("th", head, scope="col", class_=side) for head, side in zip(one.heads, sides, strict=True))
    rows = (
        tag("tr", *(tag("td", cell, class_=side) for cell, side in zip(row, sides, strict=True))) for row in one.rows
    )
    parts = [tag("caption", one.title, class_="unseen"), tag("thead", tag("tr", *heads)), tag("tbody", *rows)]
    return tag("table", *parts, class_="narrow" if len(one.heads) <= NARROW else None)


def _map(one: Explained) -> Markup:
    pictures = [_picture(name, content, one.title) for name, content in one.pictures.items()]
    drawn = plots_of(one.facts)
    plots = [tag("div", *(tag("div", figure(plot)) for plot in drawn), class_="columns")] if drawn else []
    return tag("section", tag("h2", one.title), *pictures, *plots, *(tag("p", KEY, class_="caption") for _ in plots))


def _picture(name: str, png: bytes, title: str) -> Markup:
    plane = name.rsplit("/", 1)[-1].removesuffix(".png").rsplit("-", 1)[-1]
    shown = "The image" if plane == "image" else f"The {plane} plane through the evidence"
    told = f"{shown}, and the same with the map of {title} over it"
    source = Markup("data:image/png;base64," + base64.b64encode(png).decode())  # noqa: S704 - base64 needs no escape
    return tag("figure", tag("img", src=source, alt=told), tag("figcaption", f"{told}."))


def plots_of(facts: Mapping[str, Any]) -> list[Plot]:
    """Return the curves of one map and what is left of it as parameters become random; what there is of them."""
    plots = []
    if "deletion" in facts["faithfulness"]:
        plots += removal_charts.drawn({kind: _curve(facts, kind) for kind in CURVES}, 2 * WIDTH)
    if not facts["sanity"].get("cascading", {"reason": "not asked for"})["reason"]:
        plots.append(_randomised(facts["sanity"]["cascading"]))
    return plots


def _curve(facts: Mapping[str, Any], kind: str) -> Curve:
    found = facts["faithfulness"]
    one = found[kind]
    return Curve(
        kind=kind,
        method=facts["method"],
        target=facts["target"],
        shares=tuple(found["shares"]),
        logits=tuple(one["curve"]),
        null_low=tuple(one["null_low"]),
        null_middle=tuple(one["null_middle"]),
        null_high=tuple(one["null_high"]),
        null_shifts=found["settings"]["nulls"] if one["null_low"] else 0,
    )


def _randomised(found: Mapping[str, Any]) -> Plot:
    """Return the likeness to the trained network's map against the share of layers that are random."""
    values = [step["similarity"]["spearman"]["value"] for step in found["steps"]]
    known = [(number, value) for number, value in enumerate(values, 1) if value is not None]
    limit = found["limits"].get("spearman")
    left, right, floor, top = LEFT, WIDTH - RIGHT, BELOW, HEIGHT - ABOVE

    def place(step: float, value: float) -> Point:
        return left + step / len(values) * (right - left), floor + (value + 1) / 2 * (top - floor)

    marks: list[Shape] = [line((left, top), (left, floor), (right, floor), colour="rule")]
    if limit is not None:
        marks.append(area((place(0, -1), place(len(values), -1), place(len(values), limit), place(0, limit))))
    points = [place(0, 1), *(place(*one) for one in known)]
    marks += [line(*points, colour="blue", width=1.1), *(dot(point) for point in points)]
    marks += ticks(((place(step, -1)[0], str(step)) for step in range(len(values) + 1)), floor)
    marks += [label((left - 3, place(0, value)[1] - 2.2), numbers.short(value), align="right") for value in (-1, 0, 1)]
    marks.append(label((0, HEIGHT - 6.6), RANDOMISED, size=TITLE))
    marks.append(
        label(
            ((left + right) / 2, 1),
            "groups of layers with random parameters, from the output on",
            align="centre",
            is_quiet=True,
        )
    )
    said = ", ".join(numbers.number(value) for _, value in known)
    chance = "" if limit is None else f"; 95 of 100 random maps stay below {numbers.number(limit)} (grey)"
    return chart((WIDTH, HEIGHT), marks, f"{RANDOMISED}: {said} after 1 to {len(values)} groups of layers{chance}.")
