"""Charts of one class: ROC, precision-recall, scores, reliability, decision curve; drawn from ``cohort.json`` alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from reportlab.lib.units import mm

from audit_pipeline.report import fonts, numbers, plots, statistics_text
from audit_pipeline.report.plots import (
    BAND,
    BLUE,
    GREY,
    INK,
    TITLE,
    VERMILLION,
    WHITE,
    Axes,
    Fill,
    Plot,
    Point,
    Sign,
    Stroke,
    Words,
)

Row = Mapping[str, Any]

SQUARE = 56 * mm
WIDE, LOW = 86 * mm, 58 * mm
LEFT, RIGHT, BELOW, ABOVE = 22.0, 5.0, 22.0, 13.0
TENTHS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)


def _square(alternative: str, titles: tuple[str, str]) -> tuple[Plot, Axes]:
    plot = Plot(SQUARE, SQUARE, alternative)
    side = SQUARE - LEFT - RIGHT
    axes = Axes(left=LEFT, bottom=BELOW, width=side, height=SQUARE - BELOW - ABOVE)
    plots.frame(plot, axes, (TENTHS, TENTHS), titles)
    return plot, axes


def _curve(plot: Plot, axes: Axes, pairs: Sequence[Point], *, colour: str = BLUE, width: float = 1.2) -> None:
    plot.add(Stroke(points=axes.through(pairs), colour=colour, width=width))


def _corner(plot: Plot, axes: Axes, lines: Sequence[str]) -> None:
    """Write lines into the lower right corner of the axes, the last one lowest, on white."""
    widest = max(fonts.width_of(fonts.clean(line), TITLE) for line in lines)
    low, high, left, right = (
        axes.bottom + 1.5,
        axes.bottom + 8 * len(lines) + 2.5,
        axes.right - widest - 5,
        axes.right - 1,
    )
    plot.add(Fill(points=((left, low), (right, low), (right, high), (left, high)), colour=WHITE))
    for place, line in enumerate(reversed(lines)):
        plot.add(Words(place=(axes.right - 3, axes.bottom + 4 + place * 8), text=line, size=TITLE, align="right"))


def roc(one: Row) -> Plot:
    """Return the ROC curve with its band, and the point of the recorded conclusions with its intervals."""
    plot, axes = _square(statistics_text.roc_alternative(one), ("1 \u2212 specificity", "Sensitivity"))
    points = roc_points(one["curve"])
    upper = [(fallout[0], hits[1]) for fallout, hits in _both(one["curve"])]
    lower = [(fallout[1], hits[0]) for fallout, hits in _both(one["curve"])]
    outline = [(0.0, 0.0), *upper, (1.0, 1.0), *reversed(lower)]
    plot.add(Fill(points=axes.through(outline), colour=BAND))
    plot.add(Stroke(points=axes.through([(0, 0), (1, 1)]), colour=GREY, width=0.5, dash=(2, 2)))
    _curve(plot, axes, points)
    _operating(plot, axes, one["rates"])
    area = statistics_text.estimate(one["auroc"], decimals=3)
    _corner(plot, axes, ["AUROC", area, statistics_text.operating_words(one)])
    return plot


def roc_points(curve: Row) -> list[Point]:
    """Return (1 - specificity, sensitivity) at every stored threshold, from where nothing is called."""
    hits, false = curve["true_positives"], curve["false_positives"]
    pairs = zip(false, hits, strict=True)
    return [(0.0, 0.0), *((one / curve["negatives"], other / curve["positives"]) for one, other in pairs)]


def _both(curve: Row) -> list[tuple[Sequence[float], Sequence[float]]]:
    return list(zip(curve["fallout"], curve["sensitivity"], strict=True))


def _operating(plot: Plot, axes: Axes, rates: Row) -> None:
    """Mark sensitivity and specificity of the recorded conclusions with their intervals."""
    hits, quiet = rates["sensitivity"], rates["specificity"]
    if hits["value"] is None or quiet["value"] is None:
        return
    x, y = 1 - quiet["value"], hits["value"]
    if quiet["low"] is not None:
        ends = [(1 - quiet["high"], y), (1 - quiet["low"], y)]
        plot.add(Stroke(points=axes.through(ends), colour=VERMILLION, width=0.8))
    if hits["low"] is not None:
        plot.add(Stroke(points=axes.through([(x, hits["low"]), (x, hits["high"])]), colour=VERMILLION, width=0.8))
    plot.add(Sign(place=axes.at(x, y), shape="diamond", size=4.6, colour=VERMILLION))


def precision_recall(one: Row) -> Plot:
    """Return precision against recall in steps, with its band and the prevalence."""
    plot, axes = _square(statistics_text.precision_alternative(one), ("Recall (sensitivity)", "Precision"))
    curve = one["curve"]
    lower, upper = (_steps(curve, [ends[end] for ends in curve["precision"]]) for end in (0, 1))
    plot.add(Fill(points=axes.through([*upper, *reversed(lower)]), colour=BAND))
    share = one["positives"] / one["n"]
    plot.add(Stroke(points=axes.through([(0, share), (1, share)]), colour=GREY, width=0.5, dash=(2, 2)))
    _curve(plot, axes, precision_points(curve))
    _working_point(plot, axes, one["rates"])
    area = statistics_text.estimate(curve["average_precision"], decimals=3)
    lines = ["Average precision", area, f"dashed: prevalence {numbers.fixed(share, 3)}"]
    _corner(plot, axes, lines) if share > 0.3 else _raised(plot, axes, lines, share)
    return plot


def _raised(plot: Plot, axes: Axes, lines: Sequence[str], share: float) -> None:
    """Write lines above the line of the prevalence, where that lies low."""
    base = axes.at(0, share)[1] + 3
    for place, line in enumerate(reversed(lines)):
        plot.add(Words(place=(axes.left + 3, base + place * 8), text=line, size=TITLE))


def precision_points(curve: Row) -> list[Point]:
    """Return (recall, precision) in steps: up to each recall the precision of its own threshold holds."""
    called = zip(curve["true_positives"], curve["false_positives"], strict=True)
    return _steps(curve, [hits / (hits + false) for hits, false in called])


def _steps(curve: Row, heights: Sequence[float]) -> list[Point]:
    recall = [0.0, *(hits / curve["positives"] for hits in curve["true_positives"])]
    return [
        point
        for (before, after), height in zip(pairwise(recall), heights, strict=True)
        for point in ((before, height), (after, height))
    ]


def _working_point(plot: Plot, axes: Axes, rates: Row) -> None:
    recall, precision = rates["sensitivity"], rates["positive_predictive_value"]
    if recall["value"] is None or precision["value"] is None:
        return
    if precision["low"] is not None:
        ends = [(recall["value"], precision["low"]), (recall["value"], precision["high"])]
        plot.add(Stroke(points=axes.through(ends), colour=VERMILLION, width=0.8))
    plot.add(Sign(place=axes.at(recall["value"], precision["value"]), shape="diamond", size=4.6, colour=VERMILLION))


def scores(one: Row) -> Plot:
    """Return how many positives (upwards) and negatives (downwards) have each probability."""
    counts = one["scores"]
    most = max(*counts["positives"], *counts["negatives"], 1)
    plot = Plot(SQUARE, SQUARE, statistics_text.scores_alternative(one))
    limits = (-1.32 * most, 1.32 * most)
    axes = Axes(left=LEFT, bottom=BELOW, width=SQUARE - LEFT - RIGHT, height=SQUARE - BELOW - ABOVE, y=limits)
    plots.frame(plot, axes, (TENTHS, ()), ("Probability", "Studies"))
    mirrored(plot, axes, counts)
    for value in (most, -most):
        place = (axes.left - 3, axes.at(0, value)[1] - 2)
        plot.add(Words(place=place, text=numbers.short(abs(value)), align="right", is_quiet=True))
    if one["threshold"] is not None:
        x = one["threshold"]
        ends = axes.through([(x, axes.y[0]), (x, axes.y[1])])
        plot.add(Stroke(points=ends, colour=INK, width=0.6, dash=(2, 1.5)))
    negatives = one["n"] - one["positives"]
    left = axes.left + 3
    plot.add(Words(place=(left, axes.top - 8), text=f"positive (n = {one['positives']})", size=TITLE))
    plot.add(Words(place=(left, axes.bottom + 4), text=f"negative (n = {negatives})", size=TITLE))
    return plot


def mirrored(plot: Plot, axes: Axes, counts: Row) -> None:
    """Draw positives as bars upwards and negatives as bars downwards from 0."""
    for kind, sign, colour in (("positives", 1, VERMILLION), ("negatives", -1, BLUE)):
        width = 1 / len(counts[kind])
        for place, count in enumerate(counts[kind]):
            if count:
                low, high = place * width + 0.06 * width, (place + 1) * width - 0.06 * width
                corners = [(low, 0), (low, sign * count), (high, sign * count), (high, 0)]
                plot.add(Fill(points=axes.through(corners), colour=colour))
    plot.add(Stroke(points=axes.through([(0, 0), (1, 0)]), colour=GREY, width=0.4))


def reliability(one: Row) -> Plot:
    """Return the share of positives against the mean probability of each bin, and the studies behind it."""
    found = one["reliability"]
    strip = 30.0
    plot = Plot(SQUARE, SQUARE + strip, statistics_text.reliability_alternative(one))
    side = SQUARE - LEFT - RIGHT
    axes = Axes(left=LEFT, bottom=BELOW + strip + 4, width=side, height=SQUARE - BELOW - ABOVE - 4)
    below = Axes(left=LEFT, bottom=BELOW, width=side, height=strip - 6, y=_around(found["histogram"]))
    plots.frame(plot, axes, ((), TENTHS), ("", "Share positive"))
    plots.frame(plot, below, (TENTHS, ()), ("Probability", ""))
    mirrored(plot, below, found["histogram"])
    plot.add(Stroke(points=axes.through([(0, 0), (1, 1)]), colour=GREY, width=0.5, dash=(2, 2)))
    for part in found["bins"]:
        observed = part["observed"]
        if observed["low"] is not None:
            ends = [(part["mean"], observed["low"]), (part["mean"], observed["high"])]
            plot.add(Stroke(points=axes.through(ends), colour=BLUE, width=0.8))
    centres = [(part["mean"], part["observed"]["value"]) for part in found["bins"]]
    if len(centres) > 1:
        _curve(plot, axes, centres, width=0.7)
    for x, y in centres:
        plot.add(Sign(place=axes.at(x, y), shape="circle", size=3.4, colour=BLUE))
    plot.add(Words(place=(axes.left + 4, axes.top - 8), text="dashed: perfect", size=TITLE, is_quiet=True))
    return plot


def _around(histogram: Row) -> tuple[float, float]:
    most = max(*histogram["positives"], *histogram["negatives"], 1)
    return -float(most), float(most)


HEADROOM = 1.5
"""Of the highest net benefit, for the band: near a threshold probability of 1 it grows without bound."""


def decision(one: Row) -> Plot:
    """Return net benefit against threshold probability: the model with its band, acting on all, acting on none."""
    found = one["benefit"]
    share = one["positives"] / one["n"]
    highest = min(max(*found["high"], share), HEADROOM * max(*found["model"], share))
    limits = (-0.28 * highest, 1.12 * highest)
    plot = Plot(WIDE, LOW, statistics_text.decision_alternative(one))
    axes = Axes(left=LEFT + 6, bottom=BELOW, width=WIDE - LEFT - 6 - RIGHT, height=LOW - BELOW - ABOVE, y=limits)
    plots.frame(plot, axes, (TENTHS, plots.round_ticks(*limits)), ("Threshold probability", "Net benefit per study"))
    places = found["thresholds"]
    band = [*zip(places, found["high"], strict=True), *reversed(list(zip(places, found["low"], strict=True)))]
    plot.add(Fill(points=axes.through(band), colour=BAND))
    plot.add(Stroke(points=axes.through([(0, 0), (1, 0)]), colour=INK, width=0.7, dash=(1.2, 1.4)))
    everything = _down_to(list(zip(places, found["treat_all"], strict=True)), limits[0])
    plot.add(Stroke(points=axes.through(everything), colour=VERMILLION, width=0.9, dash=(4, 1.6)))
    _curve(plot, axes, list(zip(places, found["model"], strict=True)))
    if one["threshold"] is not None:
        ends = axes.through([(one["threshold"], limits[0]), (one["threshold"], limits[1])])
        plot.add(Stroke(points=ends, colour=GREY, width=0.5, dash=(2, 2)))
    _legend(plot, axes)
    return plot


def _legend(plot: Plot, axes: Axes) -> None:
    """Write the names of the lines with a sample of each into the upper right corner."""
    model, everything, nothing = (BLUE, 1.2, ()), (VERMILLION, 0.9, (4, 1.6)), (INK, 0.7, (1.2, 1.4))
    entries = (("model, 95 % band", *model), ("act on all", *everything), ("act on none", *nothing))
    start = axes.right - 80.0
    for place, (words, colour, width, dash) in enumerate(entries):
        y = axes.top - 6 - place * 8.5
        plot.add(Stroke(points=((start, y), (start + 14, y)), colour=colour, width=width, dash=dash))
        plot.add(Words(place=(start + 17, y - 2.4), text=words, size=TITLE))


def _down_to(pairs: Sequence[Point], lowest: float) -> list[Point]:
    """Return a falling line as far as it stays above `lowest`, its last point on that height."""
    inside = [pair for pair in pairs if pair[1] >= lowest]
    if len(inside) < len(pairs) and inside:
        (x1, y1), (x2, y2) = inside[-1], pairs[len(inside)]
        share = (y1 - lowest) / (y1 - y2) if y1 > y2 else 0.0
        inside.append((x1 + share * (x2 - x1), lowest))
    return inside or [pairs[0], pairs[0]]
