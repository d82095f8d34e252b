"""From page two of a study on: the evidence in pictures, and the statistics of every map."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from reportlab.lib.units import mm
from reportlab.platypus import Flowable, KeepTogether, PageBreak, Spacer

from audit_pipeline.findings import Curve
from audit_pipeline.records import Panel
from audit_pipeline.report import (
    captions,
    figure_numbers,
    layout,
    method_strip,
    numbers,
    plane_grid,
    removal_charts,
    tables,
    text,
)
from audit_pipeline.report.document import Heading
from audit_pipeline.report.evidence import Shown
from audit_pipeline.report.figures import EDGE, ColourBar, Picture, furniture, scale_for
from audit_pipeline.study_record import ExplanationFacts

MOST_SLICES = 8
SLICES_ACROSS, TIGHT_ACROSS, SLICE_GAP = 6, 8, 1.6 * mm
SLICE_HEIGHT = 36 * mm
TITLE = "Evidence in the image"
RAW_FIRST = "Raw image first, then the same with the map."
PROVEN = "What was recomputed of the maps"
NO_IMAGE = "No image of this study was stored, so none is shown."
TALLEST, COMPACT = 47 * mm, 30 * mm
TIGHT_TALLEST, TIGHTEST, TIGHT_COMPACT = 27 * mm, 25 * mm, 20 * mm
"""Height of a picture of the first target where curves stand below, and of a further one."""

CURVE_GAP = 5 * mm
MOST_CURVES = 2
LONGEST_NOTE = 4000
"""Characters of a caption that lists numbers."""


def story(shown: Shown) -> list[Flowable]:
    """Return the flowables from page two on: pictures and curves first, then the table of map statistics.

    The planes of the first target and its curves take a page; the planes of further targets stand in one line a method.
    """
    width, height = layout.content_size(shown.context.settings.paper)
    title = Heading(TITLE, "title")
    if not shown.panels:
        missing = tables.words(NO_IMAGE, "body")
        return [PageBreak(), title, missing, *curves_story(shown, width), *statistics(shown)]
    opening = f"{text.convention(shown.panels)} {RAW_FIRST}"
    top: list[Flowable] = [title, tables.words(opening, "caption")]
    first, *others = shown.targets
    curves = curves_story(shown, width)
    planes = figure_numbers.planes(shown, first)
    items: list[Flowable] = [PageBreak(), *top]
    if planes:
        room = height - layout.stack_height([*top, *curves], width) - 4 * mm
        tallest = _tallest(shown, planes[0])
        items += plane_grid.grids(shown, planes, room, tallest if len(planes) > 1 else layout.UNLIMITED)
    items += [*curves, *_slices(shown, first, width), *method_strip.story(shown), *method_strip.signed_story(shown)]
    small = TIGHT_COMPACT if shown.is_tight else COMPACT
    for target in others:
        items += plane_grid.compact(shown, figure_numbers.planes(shown, target), small)
        items += _slices(shown, target, width)
    return [*items, *statistics(shown)]


def _tallest(shown: Shown, panel: Panel) -> float:
    if not shown.is_tight:
        return float(TALLEST)
    return float(TIGHT_TALLEST if len(shown.methods(panel)) <= figure_numbers.MOST_METHODS else TIGHTEST)


def curves_story(shown: Shown, width: float) -> list[Flowable]:
    """Return the slice-mass profile beside the curves of deletion and insertion; a line for what there is not."""
    facts = next((one for one in shown.record.explanations[:1] if one.slice_shares), None)
    curves = removal_charts.chosen(shown.record.findings)
    count = sum(kind in curves for kind in removal_charts.TITLES)
    each = (width - CURVE_GAP) / 2 if facts is None or count < MOST_CURVES else (width - 2 * CURVE_GAP) / 3
    stacks: list[list[Flowable]] = [] if facts is None else [_profile_stack(shown, facts, each)]
    rest = each * max(1, count) + CURVE_GAP * (max(1, count) - 1)
    stacks += [_curve_stack(shown, curves, rest)] if curves else []
    notes = [] if facts is None else [_profile_words(shown, facts)]
    if curves:
        notes += [removal_charts.legend(curves), *(removal_charts.said(curve) for curve in curves.values())]
    elif shown.record.explanations:
        notes.append(removal_charts.NOT_ASKED)
    widths = [rest if place == len(stacks) - 1 and curves else each for place in range(len(stacks))]
    row: list[Flowable] = [layout.Columns(stacks, widths, CURVE_GAP)] if stacks else []
    return [*row, *([tables.words(" ".join(notes), "caption", limit=LONGEST_NOTE)] if notes else [])]


def _profile_stack(shown: Shown, facts: ExplanationFacts, width: float) -> list[Flowable]:
    heading = figure_numbers.title(shown, "profile", "Evidence by slice")
    seen = [panel.index for panel in shown.role("slice", facts.target) if panel.index is not None]
    return [heading, removal_charts.profile(facts.slice_shares, seen, width, facts.method)]


def _profile_words(shown: Shown, facts: ExplanationFacts) -> str:
    rejected = text.rejection(facts)
    if rejected:
        return f"The map along the slices is {rejected}."
    seen = " Triangles: the slices shown." if shown.role("slice", facts.target) else ""
    return f"{removal_charts.profile_sentence(facts.slice_shares)}{seen}"


def _curve_stack(shown: Shown, curves: Mapping[str, Curve], width: float) -> list[Flowable]:
    heading = figure_numbers.title(shown, "curves", "When the evidence is taken away")
    charts = removal_charts.drawn(curves, width)
    return [heading, layout.Columns([[one] for one in charts], [one.width for one in charts], removal_charts.GAP)]


def _slices(shown: Shown, target: int, width: float) -> list[Flowable]:
    """Return pairs of the most evident slices, three pairs a line; a sentence when the planes show them all."""
    panels = figure_numbers.slices(shown, target)[:MOST_SLICES]
    if not panels:
        seen = shown.role("slice", target)
        return [tables.words(captions.slices_above(len(seen)), "caption")] if seen else []
    methods = shown.methods(panels[0])[:1]
    words = captions.evident_slices(shown, panels, methods)
    heading = figure_numbers.title(shown, "slices", words) if target == shown.targets[0] else Heading(words, level=1)
    columns = TIGHT_ACROSS if shown.is_tight else SLICES_ACROSS
    column = (width - (columns - 1) * SLICE_GAP) / columns
    scale = scale_for(list(panels), column - 2 * EDGE, SLICE_HEIGHT)
    pairs = [_slice_pair(shown, panel, methods, (scale, column)) for panel in panels]
    across = columns // 2
    lines = [pairs[start : start + across] for start in range(0, len(pairs), across)]
    pair_width = 2 * column + SLICE_GAP
    if methods:
        lines = _with_bar(shown, panels, methods[0], lines, (across, pair_width))
    drawn: list[Flowable] = [layout.Columns(line, [pair_width] * len(line), SLICE_GAP) for line in lines]
    notes = [
        captions.window(shown),
        captions.blanked(panels),
        *(captions.peak_of(shown, panels, method) for method in methods),
    ]
    note = tables.words(" ".join(filter(None, notes)), "caption")
    return [KeepTogether([heading, note, drawn[0]]), *drawn[1:]]


def _with_bar(
    shown: Shown, panels: Sequence[Panel], method: str, lines: list[list[list[Flowable]]], size: tuple[int, float]
) -> list[list[list[Flowable]]]:
    """Return the lines with the colour bar in the free place of the last one, or in a line of its own."""
    across, width = size
    title = f"{captions.unit(shown, panels[0], method)}, the same for all"
    bar = [Spacer(1, 6 * mm), ColourBar(width - 8 * mm, shown.layer(panels[0], method), shown.look, title)]
    return [*lines[:-1], [*lines[-1], bar]] if len(lines[-1]) < across else [*lines, [bar[1:]]]


def _slice_pair(shown: Shown, panel: Panel, methods: Sequence[str], size: tuple[float, float]) -> list[Flowable]:
    scale, column = size
    layers = [shown.layer(panel, method) for method in methods if method in panel.maps]
    strip = max([furniture(layer, scale) for layer in layers] or [furniture(None, scale)])
    pictures: list[list[Flowable]] = [[Picture(panel, scale, shown.look, strip=strip)]]
    pictures += [[Picture(panel, scale, shown.look, layer, strip)] for layer in layers]
    return [
        layout.Columns(pictures, [column] * len(pictures), SLICE_GAP),
        tables.words(f"{text.capital(text.slice_place(panel))}.", "caption"),
        Spacer(1, 0.8 * mm),
    ]


STATISTICS_HEAD = (
    "Method", "Class", "Min", "Peak", "Mean", "SD", "Peak position, mm", "Peak, index", "Judged by", "Map SHA-256",
)  # fmt: skip
STATISTICS_MM = (14.5, 15.0, 11.5, 11.0, 12.0, 11.0, 27.5, 14.5, 45.0, 16.0)


def statistics(shown: Shown) -> list[Flowable]:
    """Return the table of map statistics of every explanation, second targets included."""
    explanations = shown.record.explanations
    if not explanations:
        return [Heading("Map statistics", level=1), tables.words("No map was computed.", "body")]
    rows: list[list[tables.Cell]] = []
    for facts in explanations:
        values = facts.statistics
        judged = text.rejection(facts) or text.judged(facts)
        measured = (values.min, values.peak_value, values.mean, values.std)
        rows.append(
            [
                text.method(facts.method), facts.target_name, *(numbers.number(value) for value in measured),
                numbers.position(values.peak_position_mm).removesuffix(" mm"), text.voxel(values.peak_index), judged,
                numbers.digest(facts.map_sha256),
            ]
        )  # fmt: skip
    note = (
        "Of the raw signed map on its own grid, in logit units unless it is named below. Peak: the largest value. SD: "
        "standard deviation. Positions in the patient; voxels counted from 0."
    )
    others = {facts.method: facts.unit for facts in explanations if facts.unit != "logit"}
    units = [f"{text.capital(text.method(name))} is in {text.map_unit(unit)}." for name, unit in others.items()]
    table = tables.table(
        STATISTICS_HEAD, rows, STATISTICS_MM, numeric=(2, 3, 4, 5), type_style="tight" if shown.is_tight else "dense"
    )
    cautions = list(
        dict.fromkeys(f"{text.method(facts.method)}: {facts.caution}" for facts in explanations if facts.caution)
    )
    proven = _proven(explanations)
    return [
        Heading("Map statistics", level=1),
        table,
        tables.words(" ".join([note, *units, *cautions, *_sources(explanations)]), "caption", limit=LONGEST_NOTE),
        *([Heading(PROVEN, level=2), tables.words(proven, "caption", limit=LONGEST_NOTE)] if proven else []),
    ]


def _proven(explanations: Sequence[ExplanationFacts]) -> str:
    """Return what was recomputed of the maps, each class named once; "" where nothing was."""
    found: dict[str, list[str]] = {}
    for facts in explanations:
        found.setdefault(facts.target_name, []).extend(proof.sentence for proof in facts.proofs)
    return " ".join(
        f"{text.capital(name)}: {' '.join(dict.fromkeys(sentences))}" for name, sentences in found.items() if sentences
    )


def _sources(explanations: Sequence[ExplanationFacts]) -> list[str]:
    """Return, layer by layer, the grid and the cell of the maps."""
    found: dict[tuple[str, tuple[int, ...], str], list[str]] = {}
    for facts in explanations:
        methods = found.setdefault((facts.layer, facts.grid, text.cell(facts)), [])
        methods += [] if text.method(facts.method) in methods else [text.method(facts.method)]
    return [
        f"{text.capital(text.listed(methods))}: layer {text.cut(layer, text.LONGEST_NAME)}, grid "
        f"{numbers.sizes(grid, '')}, cell {cell}."
        for (layer, grid, cell), methods in found.items()
    ]
