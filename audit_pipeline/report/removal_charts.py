"""Curves of one map: the logit while places are removed or given back, and the share of evidence in every slice."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from reportlab.lib.units import mm

from audit_pipeline.findings import Curve, Finding
from audit_pipeline.report import drawing, numbers, text
from audit_pipeline.report.drawing import area, chart, dot, label, line, triangle
from audit_pipeline.report.plots import Plot, Point, Shape
from audit_pipeline.wording import counted

HEIGHT, GAP = 35 * mm, 4 * mm
LEFT, RIGHT, BELOW, ABOVE = 11 * mm, 4 * mm, 6.8 * mm, 4.4 * mm

TITLES = {"deletion": "Deletion: strongest first", "insertion": "Insertion: strongest first"}
GONE = {"deletion": "share removed, %", "insertion": "share kept, %"}
NOT_ASKED = (
    "Deletion and insertion curves: not asked. They need a map with evidence for its class and a check that removes "
    "it, which runs from level standard on."
)


def chosen(findings: Sequence[Finding]) -> dict[str, Curve]:
    """Return kind -> curve; of several of one kind the one with the most points."""
    found: dict[str, Curve] = {}
    for curve in (one for finding in findings for one in finding.curves):
        if curve.kind not in found or len(curve.shares) > len(found[curve.kind].shares):
            found[curve.kind] = curve
    return found


def drawn(curves: Mapping[str, Curve], width: float) -> list[Plot]:
    """Return the deletion and the insertion curve, those that there are, on one scale of logits."""
    there = [curves[kind] for kind in TITLES if kind in curves]
    values = [value for curve in curves.values() for value in (*curve.logits, *curve.null_low, *curve.null_high)]
    if not there:
        return []
    low, high = min(values), max(values)
    room = 0.06 * (high - low) or 0.5
    each = (width - GAP * (len(there) - 1)) / len(there)
    weakest = curves.get("weakest")
    return [
        _chart(curve, weakest if curve.kind == "deletion" else None, (low - room, high + room), each) for curve in there
    ]


def _chart(curve: Curve, weakest: Curve | None, span: tuple[float, float], width: float) -> Plot:
    last = max(curve.shares[-1], weakest.shares[-1] if weakest else 0.0) or 1.0
    left, right, floor, top = LEFT, width - RIGHT, BELOW, HEIGHT - ABOVE

    def place(share: float, value: float) -> Point:
        return (
            left + share / last * (right - left),
            floor + (value - span[0]) / (span[1] - span[0]) * (top - floor),
        )

    marks = _null(curve, place)
    points = tuple(place(*point) for point in zip(curve.shares, curve.logits, strict=True))
    marks.append(line((left, top), (left, floor), (right, floor), colour="rule"))
    marks.append(line(*points, colour="blue", width=1.1))
    marks += [dot(point, radius=1.6) for point in points]
    if weakest is not None:
        marks.append(dot(place(weakest.shares[-1], weakest.logits[-1]), radius=2.0, colour="black", is_open=True))
    marks += _ticks(curve, place, span)
    marks.append(label((0, HEIGHT - 6.6), TITLES[curve.kind], size=drawing.TITLE))
    marks.append(label(((left + right) / 2, 1), GONE[curve.kind], align="centre", is_quiet=True))
    return chart((width, HEIGHT), marks, said(curve))


def _null(curve: Curve, place: Callable[[float, float], Point]) -> list[Shape]:
    if not curve.null_low:
        return []
    over, under, middle = (
        [place(*point) for point in zip(curve.shares, values, strict=True)]
        for values in (curve.null_high, curve.null_low, curve.null_middle)
    )
    band = area((*over, *reversed(under)), colour="track")
    return [band, line(*middle, colour="grey", width=0.7, dash=(2, 1.5))]


def _ticks(curve: Curve, place: Callable[[float, float], Point], span: tuple[float, float]) -> list[Shape]:
    marks = drawing.ticks(((place(one, span[0])[0], numbers.short(100 * one)) for one in curve.shares), BELOW)
    for value in dict.fromkeys((min(curve.logits), max(curve.logits))):
        x, y = place(0.0, value)
        marks.append(line((x - 2, y), (x, y), colour="rule"))
        marks.append(label((x - 3, y - 2.2), numbers.short(value), align="right"))
    return marks


def said(curve: Curve) -> str:
    """Return a curve in numbers: shares, logits, and those of the shifted copies."""
    shares = ", ".join(f"{numbers.short(100 * share)} %" for share in curve.shares)
    gone = "kept" if curve.kind == "insertion" else "removed"
    order = "weakest" if curve.kind == "weakest" else "strongest"
    words = f"With {shares} of the input {gone}, the {order} first, the logit is {_row(curve.logits)}"
    if curve.null_shifts:
        words += f"; of {counted(curve.null_shifts, 'shifted copy', 'shifted copies')} {_row(curve.null_middle)}"
        words += f" in the median, {_row(curve.null_low)} and {_row(curve.null_high)} at {_range(curve.null_range)}"
    return f"{words}."


def _row(values: Sequence[float]) -> str:
    return ", ".join(numbers.number(value) for value in values)


def _range(reach: tuple[float, float]) -> str:
    low, high = reach
    if (low, high) == (0.0, 1.0):
        return "the extremes"
    return f"the {numbers.short(100 * low)} % and {numbers.short(100 * high)} % quantiles"


def legend(curves: Mapping[str, Curve]) -> str:
    """Return what line, band and ring mean."""
    curve = next(iter(curves.values()))
    parts = [f"Logit of the class; places in the order of the {text.method(curve.method)} map (line)"]
    null = next((one for one in curves.values() if one.null_shifts), None)
    if null is not None:
        copies = counted(null.null_shifts, "shifted copy", "shifted copies")
        parts.append(f"in that of {copies} of it (band: {_range(null.null_range)}; dashed: median)")
    if "weakest" in curves:
        parts.append("ring: the weakest places removed instead")
    return f"{', '.join(parts)}."


def profile(shares: Sequence[float], shown: Sequence[int], width: float, method: str) -> Plot:
    """Return the share of the positive evidence over the slices; triangles mark those shown."""
    last, most = max(1, len(shares) - 1), max(shares) or 1.0
    left, right, floor, top = LEFT, width - RIGHT, BELOW, HEIGHT - ABOVE

    def place(index: float, share: float) -> Point:
        return left + index / last * (right - left), floor + share / most * 0.96 * (top - floor)

    points = [place(index, share) for index, share in enumerate(shares)]
    marks: list[Shape] = [
        area((place(0, 0), *points, place(len(shares) - 1, 0)), colour="pale"),
        line((left, top), (left, floor), (right, floor), colour="rule"),
        line(*points, colour="blue", width=0.9),
    ]
    marks += [triangle((place(index, 0)[0], floor - 0.5), 3.2, "ink") for index in shown if 0 <= index <= last]
    for index in dict.fromkeys((0, len(shares) - 1)):
        marks.append(label((place(index, 0)[0], floor - 10.4), str(index), align="centre", is_quiet=True))
    x, y = place(0, most)
    marks.append(label((x - 3, y - 2.2), f"{numbers.short(100 * most)} %", align="right"))
    marks.append(label(((left + right) / 2, 1), "slice", align="centre", is_quiet=True))
    title = f"Share of the positive evidence, {text.method(method)}"
    marks.append(label((0, HEIGHT - 6.6), title, size=drawing.TITLE, width=width))
    where = list(shares).index(max(shares))
    words = f"{title}, over {len(shares)} slices: most in slice {where}, {numbers.short(100 * most)} %."
    return chart((width, HEIGHT), marks, words)


def profile_sentence(shares: Sequence[float]) -> str:
    """Return where the evidence lies along the slices: the peak, and the fewest neighbours that hold half of it.

    >>> profile_sentence([0.0, 0.2, 0.6, 0.2])
    'Slice 2 holds the most, 60 %; slice 2 alone holds half.'
    """
    peak = list(shares).index(max(shares))
    first, last = _half(shares)
    most = f"Slice {peak} holds the most, {numbers.short(100 * shares[peak])} %"
    if first == last:
        return f"{most}; slice {first} alone holds half."
    return f"{most}; slices {first} to {last} hold half."


def _half(shares: Sequence[float]) -> tuple[int, int]:
    """Return the shortest run of slices that holds half of the evidence, the first of equal ones."""
    total, best, start, held = sum(shares), (0, len(shares) - 1), 0, 0.0
    for end, share in enumerate(shares):
        held += share
        while held - shares[start] >= total / 2:
            held -= shares[start]
            start += 1
        if held >= total / 2 and end - start < best[1] - best[0]:
            best = (start, end)
    return best
