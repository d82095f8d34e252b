"""From page two of a study on: the evidence in pictures, and the statistics of every map."""

from __future__ import annotations

from collections.abc import Sequence

from reportlab.lib.units import mm
from reportlab.platypus import Flowable, KeepTogether, PageBreak, Spacer

from audit_pipeline.records import Panel
from audit_pipeline.report import captions, layout, numbers, part_scores, plane_grid, tables, text
from audit_pipeline.report.document import Heading
from audit_pipeline.report.evidence import Shown
from audit_pipeline.report.figures import EDGE, ColourBar, Picture, furniture, scale_for

MOST_SLICES = 8
SLICE_MM, BAR_MM = 43.0, 62.0
TITLE = "Evidence in the image"
RAW_FIRST = "Raw slice first, then the same slice with the map."
NO_IMAGE = "No image of this study was stored, so none is shown."
COMPACT = 41 * mm
"""Height of a picture of a second target."""


def story(shown: Shown) -> list[Flowable]:
    """Return the flowables from page two on: pictures first, then the table of map statistics.

    The planes of the first target take the page; those of further targets are smaller, so that the table fits below.
    """
    width, height = layout.content_size(shown.context.settings.paper)
    title = Heading(TITLE, "title")
    scores, table = part_scores.story(shown.record, shown.context), statistics(shown)
    if not shown.panels:
        missing = tables.words(NO_IMAGE, "body")
        return [PageBreak(), title, missing, *scores, *table]
    opening = f"{text.convention(shown.panels)} {RAW_FIRST}"
    top: list[Flowable] = [title, tables.words(opening, "caption")]
    items: list[Flowable] = [PageBreak(), *top]
    for rank, target in enumerate(shown.targets):
        planes = [*shown.role("plane", target), *shown.role("image", target)]
        taken = layout.stack_height([*scores, *table] if rank else top, width)
        if planes:
            items += plane_grid.grids(shown, planes, height - taken, COMPACT if rank else layout.UNLIMITED)
        items += _slices(shown, shown.role("slice", target)[:MOST_SLICES], planes)
    return [*items, *scores, *table]


def _slices(shown: Shown, panels: Sequence[Panel], planes: Sequence[Panel]) -> list[Flowable]:
    """Return pairs of the most evident slices, two pairs a line; a sentence when the planes show them all."""
    if not panels:
        return []
    above = {(panel.axis, panel.index) for panel in planes}
    if all((panel.axis, panel.index) in above for panel in panels):
        return [tables.words(captions.slices_above(len(panels)), "caption")]
    methods = shown.methods(panels[0])[:1]
    heading = Heading(captions.evident_slices(shown, panels, methods), level=1)
    window = tables.words(captions.window(shown), "caption")
    scale = scale_for(list(panels), SLICE_MM * mm - 2 * EDGE, SLICE_MM * mm)
    pairs = [_slice_pair(shown, panel, methods, scale) for panel in panels]
    lines = [pairs[start : start + 2] for start in range(0, len(pairs), 2)]
    drawn: list[Flowable] = [layout.columns_mm(line, [2 * SLICE_MM + 1] * len(line), 4) for line in lines]
    items: list[Flowable] = [KeepTogether([heading, window, drawn[0]]), *drawn[1:]]
    if methods:
        layer = shown.layer(panels[0], methods[0])
        facts = shown.facts(panels[0], methods[0])
        unit = text.capital(text.map_unit("logit" if facts is None else facts.unit))
        items.append(ColourBar(BAR_MM * mm, layer, shown.look, f"{unit}, the same for all these slices"))
    return items


def _slice_pair(shown: Shown, panel: Panel, methods: Sequence[str], scale: float) -> list[Flowable]:
    layers = [shown.layer(panel, method) for method in methods if method in panel.maps]
    strip = max([furniture(layer, scale) for layer in layers] or [furniture(None, scale)])
    pictures: list[list[Flowable]] = [[Picture(panel, scale, shown.look, strip=strip)]]
    pictures += [[Picture(panel, scale, shown.look, layer, strip)] for layer in layers]
    peaks = [captions.peak(shown, panel, method) for method in methods]
    notes = [f"{text.capital(text.slice_place(panel))}.", *peaks]
    return [
        layout.columns_mm(pictures, [SLICE_MM] * len(pictures), 1),
        tables.words(" ".join(filter(None, notes)), "caption"),
        Spacer(1, 1.5 * mm),
    ]


STATISTICS_HEAD = (
    "Method", "Class", "Min", "Peak", "Mean", "SD", "Peak position, mm", "Peak voxel", "Judged by",
)  # fmt: skip
STATISTICS_MM = (18.0, 20.0, 13.0, 12.0, 15.0, 13.0, 34.0, 20.0, 33.0)


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
            ]
        )  # fmt: skip
    note = (
        "Of the raw signed map on its own grid, in logit units unless it is named below. Peak: the largest value. SD: "
        "standard deviation. Positions in the patient; voxels counted from 0."
    )
    others = {facts.method: facts.unit for facts in explanations if facts.unit != "logit"}
    units = [f"{text.capital(text.method(name))} is in {text.map_unit(unit)}." for name, unit in others.items()]
    table = tables.table(STATISTICS_HEAD, rows, STATISTICS_MM, numeric=(2, 3, 4, 5))
    cautions = list(
        dict.fromkeys(f"{text.method(facts.method)}: {facts.caution}" for facts in explanations if facts.caution)
    )
    owed = list(
        dict.fromkeys(f"{facts.target_name}: {proof.sentence}" for facts in explanations for proof in facts.proofs)
    )
    return [
        Heading("Map statistics", level=1),
        table,
        *(tables.words(one, "caption") for one in [note, *units, *cautions]),
        *([Heading("What the maps owe", level=2)] if owed else []),
        *(tables.words(one, "caption") for one in owed),
    ]
