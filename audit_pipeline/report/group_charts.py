"""Charts over groups of studies: the forest of subgroups, ladders of changed inputs, the spread of a measure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from reportlab.lib.units import mm

from audit_pipeline.report import fonts, input_facts, numbers, plots, statistics_text
from audit_pipeline.report.plots import (
    BAND,
    BLUE,
    DASHES,
    GREY,
    GRID,
    INK,
    RULE,
    SERIES,
    TICK,
    TITLE,
    VERMILLION,
    Axes,
    Fill,
    Plot,
    Sign,
    Stroke,
    Words,
)

Row = Mapping[str, Any]

FULL = 178 * mm
METRICS = (("sensitivity", "Sensitivity"), ("specificity", "Specificity"), ("auroc", "AUROC"))
GAP_NAMES = {"sensitivity": "sensitivity", "specificity": "specificity", "auroc": "AUROC"}
ROW, HEAD, FOOT = 10.5, 17.0, 14.0
NAMES, COUNTS, PANEL, BETWEEN = 118.0, 152.0, 94.0, 10.0
ALPHA = 0.05
MOST_SERIES = 4
PANEL_WIDTH, PANEL_HEIGHT = 56 * mm, 46 * mm


def forest(rows: Sequence[Row]) -> Plot:
    """Return the groups of one class below the whole cohort, the first row: three metrics side by side."""
    overall, groups = rows[0], rows[1:]
    lines = _lines(groups)
    height = HEAD + ROW * (len(lines) + 1) + FOOT
    plot = Plot(FULL, height, statistics_text.forest_alternative(rows))
    panels = [_panel(plot, place, title, height) for place, (_, title) in enumerate(METRICS)]
    for (metric, _), axes in zip(METRICS, panels, strict=True):
        _overall(plot, axes, overall[metric])
    for words, x in (("positive/negative", COUNTS), ("adjusted p", FULL)):
        plot.add(Words(place=(x, height - 9), text=words, size=TITLE, align="right"))
    first = height - HEAD - ROW * 0.7
    _entry(plot, panels, overall, "all labelled studies", first)
    for number, (title, row) in enumerate(lines, start=1):
        y = first - number * ROW
        if row is None:
            plot.add(Words(place=(0, y), text=fonts.fitted(title, COUNTS, TITLE, fonts.BOLD), size=TITLE, is_bold=True))
        else:
            _entry(plot, panels, row, f"   {row['level']}", y)
    return plot


def _lines(groups: Sequence[Row]) -> list[tuple[str, Row | None]]:
    """Return the lines below the first: the title of each column, and its groups."""
    lines: list[tuple[str, Row | None]] = []
    column = None
    for row in groups:
        if row["column"] != column:
            column = row["column"]
            kind = "planned" if row["is_planned"] else "exploratory"
            lines.append((f"{input_facts.field_name(str(column))} ({kind})", None))
        lines.append(("", row))
    return lines


def _panel(plot: Plot, place: int, title: str, height: float) -> Axes:
    left = COUNTS + 12 + place * (PANEL + BETWEEN)
    axes = Axes(left=left, bottom=FOOT, width=PANEL, height=height - HEAD - FOOT + 4)
    for value in (0.0, 0.5, 1.0):
        x = axes.at(value, 0)[0]
        plot.add(Stroke(points=((x, axes.bottom), (x, axes.top)), colour=GRID, width=0.4))
        plot.add(Words(place=(x, axes.bottom - 8), text=numbers.short(value), align="centre", is_quiet=True))
    plot.add(Stroke(points=((axes.left, axes.bottom), (axes.right, axes.bottom)), colour=RULE, width=0.5))
    plot.add(Words(place=(axes.left, height - 9), text=title, size=TITLE))
    return axes


def _overall(plot: Plot, axes: Axes, found: Row) -> None:
    """Draw the value of the whole cohort through all rows, its interval as a band."""
    if found["low"] is not None:
        low, high = found["low"], found["high"]
        plot.add(Fill(points=axes.through([(low, 0), (low, 1), (high, 1), (high, 0)]), colour=BAND))
    if found["value"] is not None and found["low"] is not None:
        ends = axes.through([(found["value"], 0), (found["value"], 1)])
        plot.add(Stroke(points=ends, colour=BLUE, width=0.5, dash=(2, 1.5)))


def _entry(plot: Plot, panels: Sequence[Axes], row: Row, title: str, y: float) -> None:
    plot.add(Words(place=(0, y), text=fonts.fitted(title, NAMES - 20, TITLE), size=TITLE))
    counts = f"{row['positives']}/{row['negatives']}"
    plot.add(Words(place=(COUNTS, y), text=counts, size=TITLE, align="right"))
    for (metric, _), axes in zip(METRICS, panels, strict=True):
        found = row[metric]
        against = row["against"].get(GAP_NAMES[metric])
        if found["low"] is None:
            words = statistics_text.too_small(found)
            plot.add(Words(place=(axes.left + 2, y), text=fonts.fitted(words, PANEL - 4, TICK), is_quiet=True))
            continue
        centre = y + 2.4
        (x0, _), (x1, _) = axes.through([(found["low"], 0), (found["high"], 0)])
        is_apart = against is not None and against["p_value"] < ALPHA
        colour = VERMILLION if is_apart else INK
        plot.add(Stroke(points=((x0, centre), (x1, centre)), colour=colour, width=0.8))
        at = (axes.at(found["value"], 0)[0], centre)
        plot.add(
            Sign(place=at, shape="diamond", size=3.6, colour=colour)
            if is_apart
            else Sign(place=at, shape="circle", size=3.4, colour=colour)
        )
    least = min((one["p_value"] for one in row["against"].values()), default=None)
    if least is not None:
        plot.add(Words(place=(FULL, y), text=statistics_text.chance(least), size=TITLE, align="right"))


def ladder_floor(ladders: Sequence[Row]) -> float:
    """Return where the vertical axes of ladders begin, so that they can be compared: the tenth below all intervals."""
    lowest = min(
        (low for one in ladders for _, points in _series(one, _places(one)) for _, low, _, _ in points), default=0.0
    )
    return max(0.0, min(0.9, (int(lowest * 10)) / 10))


def is_drawn(one: Row) -> bool:
    """Return whether a ladder has a step with a value."""
    return any(points for _, points in _series(one, _places(one)))


def ladder(one: Row, floor: float) -> Plot:
    """Return the AUROC, or without labels the share of conclusions that stay, against the amount of one change.

    floor : where the vertical axis begins, see `ladder_floor`
    """
    plot = Plot(PANEL_WIDTH, PANEL_HEIGHT, statistics_text.ladder_alternative(one))
    steps = one["steps"]
    places = _places(one)
    series = _series(one, places)
    span = [*places, *([one["unchanged"]] if one["unchanged"] is not None and steps[0]["amount"] else [])]
    ends = (min(span), max(span)) if max(span) > min(span) else (min(span) - 1, max(span) + 1)
    edge = 0.08 * (ends[1] - ends[0])
    limits = (ends[0] - edge, ends[1] + edge)
    axes = Axes(
        left=24.0, bottom=24.0, width=PANEL_WIDTH - 30, height=PANEL_HEIGHT - 40, x=limits, y=(floor, 1.0)
    )  # fmt: skip
    is_area = bool(steps[0]["classes"])
    titles = (statistics_text.amount_title(one), "AUROC" if is_area else "Conclusion stays")
    ticks = plots.round_ticks(*ends, most=4) if steps[0]["amount"] else ()
    plots.frame(plot, axes, (ticks, plots.round_ticks(floor, 1.0)), titles)
    for number, (_, points) in enumerate(series):
        colour, dash = SERIES[number], DASHES[number]
        if len({x for x, *_ in points}) == len(points):  # several changes of one amount have no order
            path = axes.through([(x, value) for x, _, value, _ in points])
            plot.add(Stroke(points=path, colour=colour, width=0.9, dash=dash))
        for x, low, value, high in points:
            plot.add(Stroke(points=axes.through([(x, low), (x, high)]), colour=colour, width=0.6))
            is_plain = one["unchanged"] is not None and x == one["unchanged"]
            plot.add(Sign(place=axes.at(x, value), shape="ring" if is_plain else "circle", size=3.2, colour=colour))
    _legend(plot, axes, [name for name, _ in series])
    return plot


def _legend(plot: Plot, axes: Axes, names: Sequence[str]) -> None:
    for number, name in enumerate(names[:MOST_SERIES] if len(names) > 1 else ()):
        y = axes.bottom + 5 + number * 8
        ends = ((axes.left + 4, y), (axes.left + 18, y))
        plot.add(Stroke(points=ends, colour=SERIES[number], width=0.9, dash=DASHES[number]))
        plot.add(Words(place=(axes.left + 21, y - 2.2), text=fonts.fitted(name, axes.width - 26, TICK)))


def _places(one: Row) -> list[float]:
    """Return where the steps lie on the axis: their amount, or their number where they have none."""
    amounts = [step["amount"] for step in one["steps"]]
    if all(amount is not None for amount in amounts):
        return [(amount[0] + amount[1]) / 2 for amount in amounts]
    return [float(number) for number in range(1, len(amounts) + 1)]


Points = list[tuple[float, float, float, float]]


def _series(one: Row, places: Sequence[float]) -> list[tuple[str, Points]]:
    """Return name and (place, low, value, high) of every line, the unchanged input among them."""
    steps = one["steps"]
    if not steps[0]["classes"]:
        return [("", _known([(x, step["stays"]) for x, step in zip(places, steps, strict=True)]))]
    found = []
    for number, first in enumerate(steps[0]["classes"][:MOST_SERIES]):
        points = _known([(x, step["classes"][number]["auroc"]) for x, step in zip(places, steps, strict=True)])
        plain = first["unchanged"]
        if plain is not None and one["unchanged"] is not None and steps[0]["amount"] is not None:
            points.append((one["unchanged"], plain, plain, plain))
        if points:
            found.append((str(first["name"]), sorted(points)))
    return found


def _known(pairs: Sequence[tuple[float, Row]]) -> Points:
    return [
        (x, one["low"] if one["low"] is not None else one["value"], one["value"],
         one["high"] if one["high"] is not None else one["value"])
        for x, one in pairs
        if one["value"] is not None
    ]  # fmt: skip


def spread(gauge: Row, width: float = 40 * mm) -> Plot:
    """Return a line from the 5 to the 95 % quantile of a measure, thick between the quartiles, with its limit."""
    plot = Plot(width, 9.0, statistics_text.spread_alternative(gauge))
    values = [*gauge["quantiles"], *([gauge["limit"]] if gauge["limit"] is not None else [])]
    low, high = min(values), max(values)
    axes = Axes(left=3, bottom=0, width=width - 6, height=9, x=(low, high) if high > low else (low - 1, low + 1))
    first, lower, middle, upper, last = (axes.at(value, 0.5)[0] for value in gauge["quantiles"])
    plot.add(Stroke(points=((first, 4.5), (last, 4.5)), colour=GREY, width=0.6))
    plot.add(Stroke(points=((lower, 4.5), (max(upper, lower + 0.1), 4.5)), colour=BLUE, width=3.2))
    plot.add(Stroke(points=((middle, 1.5), (middle, 7.5)), colour=INK, width=1.0))
    if gauge["limit"] is not None:
        x = axes.at(gauge["limit"], 0.5)[0]
        plot.add(Stroke(points=((x, 0.5), (x, 8.5)), colour=VERMILLION, width=0.9, dash=(1.6, 1.0)))
    return plot
