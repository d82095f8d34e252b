"""Page two of a study: the evidence in pictures, and the statistics of every map."""

from __future__ import annotations

from collections.abc import Sequence

from reportlab.lib.units import mm
from reportlab.platypus import Flowable, KeepTogether, PageBreak, Spacer

from audit_pipeline.records import Panel
from audit_pipeline.report import captions, layout, numbers, tables, text
from audit_pipeline.report.document import Heading
from audit_pipeline.report.evidence import Shown
from audit_pipeline.report.figures import EDGE, ColourBar, Picture, furniture, scale_for

MOST_SLICES = 8
PAIR_MM = 62.0
SMALL_MM = 56.0
SLICE_MM = 43.0
PLANES_HEIGHT = 168 * mm


def story(shown: Shown) -> list[Flowable]:
    """Return the flowables from page two on: pictures first, then the table of map statistics."""
    items: list[Flowable] = [PageBreak(), Heading("Evidence in the image", "title")]
    if not shown.panels:
        items.append(tables.words("No image of this study was stored, so none is shown.", "body"))
    else:
        opening = text.convention(shown.panels)
        items.append(tables.words(f"{opening} Raw slice first, then the same slice with the map.", "caption"))
        items.append(Spacer(1, 2 * mm))
    for target in shown.targets:
        items += _of_target(shown, target)
    return [*items, *statistics(shown)]


def _of_target(shown: Shown, target: int) -> list[Flowable]:
    items: list[Flowable] = []
    images = [*shown.role("plane", target), *shown.role("image", target)]
    if images:
        items += _main(shown, images)
        items += _others(shown, images)
    slices = shown.role("slice", target)[:MOST_SLICES]
    return [*items, *_slices(shown, slices)] if slices else items


def _main(shown: Shown, panels: Sequence[Panel]) -> list[Flowable]:
    """Return one line per plane: raw, overlay of the first method, and the facts beside them."""
    methods = shown.methods(panels[0])
    name = text.capital(text.method(methods[0])) if methods else "No map"
    side = layout.content_size(shown.context.settings.paper)[0] / mm - 2 * PAIR_MM - 6
    scale = scale_for(list(panels), PAIR_MM * mm - 2 * EDGE, 1e6)
    strips = sum(furniture(shown.layer(panel, methods[0]) if methods else None, scale) + 2 * EDGE for panel in panels)
    height = sum(scale_for([panel], 1e6, 1.0) ** -1 for panel in panels)
    scale = min(scale, (PLANES_HEIGHT - strips) / height)
    items: list[Flowable] = [Heading(f"{name} for {shown.target_name(panels[0])}", level=1)]
    for place, panel in enumerate(panels):
        layer = shown.layer(panel, methods[0]) if methods else None
        strip = furniture(layer, scale)
        stacks: list[list[Flowable]] = [[Picture(panel, scale, shown.look, strip=strip)]]
        stacks.append([Picture(panel, scale, shown.look, layer, strip)] if layer else [])
        stacks.append(_facts(shown, panel, methods, side, with_bar=place == 0))
        items.append(layout.columns_mm(stacks, (PAIR_MM, PAIR_MM, side), 3))
    return items


def _facts(shown: Shown, panel: Panel, methods: Sequence[str], side: float, *, with_bar: bool) -> list[Flowable]:
    items: list[Flowable] = [Spacer(1, EDGE), tables.words(captions.place(shown, panel), "caption")]
    if not methods:
        return items
    layer = shown.layer(panel, methods[0])
    peak = captions.peak(shown, panel, methods[0])
    items += [tables.words(peak, "caption")] if peak else []
    if with_bar:
        title = captions.colour_bar(shown, panel, methods[0])
        notes = [captions.cell(shown, panel, methods[0])]
        notes += [] if layer.rejection or layer.scale_max <= 0 else [captions.CONTOURS]
        items.append(tables.words(" ".join(filter(None, notes)), "caption"))
        items += [Spacer(1, 2 * mm), tables.words(f"{title}:", "caption"), Spacer(1, 1 * mm)]
        items.append(ColourBar(side * mm, layer.scale_max, shown.look, ""))
    return items


def _others(shown: Shown, panels: Sequence[Panel]) -> list[Flowable]:
    """Return a row of smaller overlays for every method but the first; in 2D a pair for each."""
    items: list[Flowable] = []
    for method in shown.methods(panels[0])[1:]:
        carrying = [panel for panel in panels if method in panel.maps]
        items.append(_row(shown, carrying, method))
    return items


def _row(shown: Shown, panels: Sequence[Panel], method: str) -> Flowable:
    target = shown.target_name(panels[0])
    is_pair = len(panels) == 1
    scale = scale_for(list(panels), SMALL_MM * mm - 2 * EDGE, SMALL_MM * mm)
    strip = max(furniture(shown.layer(panel, method), scale) for panel in panels)
    stacks: list[list[Flowable]] = []
    if is_pair:
        stacks.append([Picture(panels[0], scale, shown.look, strip=strip)])
    for panel in panels:
        layer = shown.layer(panel, method)
        notes = " ".join(
            filter(None, [text.capital(text.slice_place(panel)) + ".", captions.peak(shown, panel, method)])
        )
        stacks.append([Picture(panel, scale, shown.look, layer, strip), tables.words(notes, "caption")])
    layer = shown.layer(panels[0], method)
    bar = ColourBar(SMALL_MM * mm, layer.scale_max, shown.look, "Logit units")
    title = Heading(f"{text.capital(text.method(method))} for {target}", level=1)
    row = layout.columns_mm(stacks, [SMALL_MM] * len(stacks), 3)
    return KeepTogether([title, row, bar])


def _slices(shown: Shown, panels: Sequence[Panel]) -> list[Flowable]:
    """Return pairs of the most evident slices, two pairs a line."""
    methods = shown.methods(panels[0])
    name = text.method(methods[0]) if methods else "no map"
    count = text.counted(len(panels), "slice", "slices")
    items: list[Flowable] = [
        Heading(f"The {count} with the most evidence, {name} for {shown.target_name(panels[0])}", level=1)
    ]
    scale = scale_for(list(panels), SLICE_MM * mm - 2 * EDGE, SLICE_MM * mm)
    pairs = [_slice_pair(shown, panel, methods[:1], scale) for panel in panels]
    lines = [pairs[start : start + 2] for start in range(0, len(pairs), 2)]
    items += [layout.columns_mm(line, [2 * SLICE_MM + 1] * len(line), 4) for line in lines]
    items[:2] = [KeepTogether(items[:2])]
    if methods:
        layer = shown.layer(panels[0], methods[0])
        items.append(ColourBar(PAIR_MM * mm, layer.scale_max, shown.look, "Logit units, the same for all these slices"))
    return items


def _slice_pair(shown: Shown, panel: Panel, methods: Sequence[str], scale: float) -> list[Flowable]:
    layers = [shown.layer(panel, method) for method in methods]
    strip = max([furniture(layer, scale) for layer in layers] or [furniture(None, scale)])
    pictures: list[list[Flowable]] = [[Picture(panel, scale, shown.look, strip=strip)]]
    pictures += [[Picture(panel, scale, shown.look, layer, strip)] for layer in layers]
    notes = [captions.place(shown, panel), *(captions.peak(shown, panel, method) for method in methods)]
    return [
        layout.columns_mm(pictures, [SLICE_MM] * len(pictures), 1),
        tables.words(" ".join(filter(None, notes)), "caption"),
        Spacer(1, 1.5 * mm),
    ]


STATISTICS_HEAD = (
    "Method", "Class", "Min", "Max", "Mean", "SD", "Peak", "Peak position, mm", "Peak voxel", "Judged by",
)  # fmt: skip
STATISTICS_MM = (18.0, 22.0, 13.0, 12.0, 14.0, 12.0, 12.0, 32.0, 20.0, 23.0)


def statistics(shown: Shown) -> list[Flowable]:
    """Return the table of map statistics of every explanation, second targets included."""
    explanations = shown.record.explanations
    if not explanations:
        return [Heading("Map statistics", level=1), tables.words("No map was computed.", "body")]
    rows: list[list[tables.Cell]] = []
    for facts in explanations:
        values = facts.statistics
        judged = text.rejection(facts) or text.judged(facts)
        measured = (values.min, values.max, values.mean, values.std, values.peak_value)
        rows.append(
            [
                text.method(facts.method), facts.target_name, *(numbers.number(value) for value in measured),
                numbers.position(values.peak_position_mm).removesuffix(" mm"), text.voxel(values.peak_index), judged,
            ]
        )  # fmt: skip
    note = (
        "Of the raw signed map on the grid of its layer, in logit units; SD is the standard deviation. "
        "Positions in the patient; voxels are counted from 0 in array order."
    )
    table = tables.table(STATISTICS_HEAD, rows, STATISTICS_MM, numeric=(2, 3, 4, 5, 6))
    cautions = list(
        dict.fromkeys(f"{text.method(facts.method)}: {facts.caution}" for facts in explanations if facts.caution)
    )
    return [Heading("Map statistics", level=1), table, *(tables.words(one, "caption") for one in [note, *cautions])]
