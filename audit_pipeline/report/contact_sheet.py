"""The whole cohort at a glance: for every study its key slice, raw and under the map, with key and verdicts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from reportlab.lib.units import mm
from reportlab.platypus import Flowable, Spacer

from audit_pipeline.records import Floats, Panel, Status, sealed
from audit_pipeline.report import (
    audit_text,
    chapters,
    evidence,
    figures,
    fonts,
    links,
    marks,
    story_text,
    style,
    tables,
    vocabulary,
)
from audit_pipeline.report import text as words
from audit_pipeline.report.audit_facts import Summary, studies
from audit_pipeline.report.context import ReportContext
from audit_pipeline.report.thumbnail import Thumbnail
from audit_pipeline.study_record import StudyRecord

SIDE = 96
"""Pixels of the longer side of a thumbnail: 180 dpi at `PICTURE_MM`."""

ACROSS = 6
PICTURE_MM, GAP_MM, BETWEEN_MM = 13.4, 0.6, 2.6
TILE_MM = 2 * PICTURE_MM + GAP_MM
CAPTION_SIZE = 6.5
CAPTION_MM = 7.4
WRONG = "differs from label"


def thumbnail(record: StudyRecord, panel: Panel, context: ReportContext, *, is_raw: bool) -> Thumbnail:
    """Return a small slice, raw or with the map of the first method."""
    shown = evidence.shown(record, [panel], context)
    methods = shown.methods(panel)
    layer = shown.layer(panel, methods[0]) if methods and not is_raw else None
    scale = figures.scale_for([panel], PICTURE_MM * mm, PICTURE_MM * mm)
    return Thumbnail(figures.Picture(panel, scale, shown.look, layer))


class Tile:
    """One study of the sheet: two pictures where it has a slice, its key, its verdicts or how it ended."""

    def __init__(
        self, record: StudyRecord, thumbnails: Mapping[str, Panel], context: ReportContext, *, is_wrong: bool
    ) -> None:
        self.record, self.is_wrong = record, is_wrong
        self._thumbnails, self._context = thumbnails, context
        self.link = links.study(record.study) if context.settings.pdf == "all" else ""

    @property
    def pictures(self) -> list[Thumbnail]:
        """Return the raw slice and the slice under its map, made anew at every look; empty without a slice."""
        panel = self._thumbnails.get(self.record.study)
        if panel is None:
            return []
        return [thumbnail(self.record, panel, self._context, is_raw=is_raw) for is_raw in (True, False)]

    @property
    def ended(self) -> str:
        """Return how a study without a result ended; "" for an audited one."""
        if self.record.status is Status.AUDITED:
            return ""
        code = f": {self.record.error.code}" if self.record.error else ""
        return f"{vocabulary.STATUS_WORDS[self.record.status]}{code}"

    @property
    def alternative(self) -> str:
        """Return the tile in words."""
        verdict = self.record.verdict
        if verdict is None:
            return f"{self.record.study}: {self.ended or 'no verdict'}."
        outcomes = (vocabulary.OUTCOME_WORDS[one] for one in (verdict.prediction, verdict.explanation))
        told = "prediction {}, explanation {}".format(*outcomes)
        return f"{self.record.study}: {told}{f', {WRONG}' if self.is_wrong else ''}."


class TileRow(Flowable):  # type: ignore[misc]
    """Up to `ACROSS` studies side by side."""

    def __init__(self, tiles: Sequence[Tile]) -> None:
        super().__init__()
        self.tiles = tuple(tiles)

    def wrap(self, available_width: float, _available_height: float) -> tuple[float, float]:
        """Return the size of the row."""
        return available_width, (PICTURE_MM + CAPTION_MM) * mm

    def draw(self) -> None:
        """Draw tile after tile."""
        for place, tile in enumerate(self.tiles):
            left = place * (TILE_MM + BETWEEN_MM) * mm
            self.canv.saveState()
            self.canv.translate(left, 0)
            self._draw_pictures(tile)
            self._draw_caption(tile)
            self.canv.restoreState()
            area = (left, 0.0, left + TILE_MM * mm, (PICTURE_MM + CAPTION_MM) * mm)
            links.draw_link(self.canv, tile.link, area)

    def _draw_pictures(self, tile: Tile) -> None:
        pictures = tile.pictures
        for place, one in enumerate(pictures):
            width, height = one.wrap(0, 0)
            left = place * (PICTURE_MM + GAP_MM) * mm + (PICTURE_MM * mm - width) / 2
            one.drawOn(self.canv, left, CAPTION_MM * mm + (PICTURE_MM * mm - height) / 2)
        if not pictures:
            self.canv.setStrokeColor(style.RULE)
            self.canv.setLineWidth(0.4)
            self.canv.rect(0, CAPTION_MM * mm, TILE_MM * mm, PICTURE_MM * mm, stroke=1, fill=0)
            drawn = fonts.fitted(tile.ended or "no slice stored", (TILE_MM - 2) * mm, CAPTION_SIZE)
            centre = (TILE_MM / 2 * mm, (CAPTION_MM + PICTURE_MM / 2) * mm)
            fonts.draw(self.canv, centre, drawn, CAPTION_SIZE, align="centre", colour=style.INK)

    def _draw_caption(self, tile: Tile) -> None:
        size, width = CAPTION_SIZE, TILE_MM * mm
        key = fonts.fitted(tile.record.study, width * 0.62, size, fonts.BOLD)
        fonts.draw(self.canv, (0, 4.6 * mm), key, size, font=fonts.BOLD, colour=style.INK)
        verdict = tile.record.verdict
        if verdict is not None:
            for place, (letter, outcome) in enumerate((("P", verdict.prediction), ("E", verdict.explanation))):
                left = width * 0.66 + place * 4.6 * mm
                fonts.draw(self.canv, (left, 4.6 * mm), letter, size, colour=style.GREY)
                marks.draw_mark(self.canv, outcome, (left + 2.5 * mm, 5.4 * mm), size * 0.8)
        below = WRONG if tile.is_wrong else words.raised(tile.record.findings)
        drawn = fonts.fitted(below, width, size - 0.5, fonts.BOLD if tile.is_wrong else fonts.REGULAR)
        fonts.draw(self.canv, (0, 2.0 * mm), drawn, size - 0.5, colour=style.INK)


def chapter(
    records: Sequence[StudyRecord], summary: Summary, thumbnails: Mapping[str, Panel], context: ReportContext
) -> list[Flowable]:
    """Return the contact sheet, studies in the given order."""
    audited = sum(one.status is Status.AUDITED for one in records)
    items = chapters.opened("Contact sheet", "contact", story_text.index_found(len(records), audited))
    if not records:
        return items
    wrong = studies(summary, "wrong")
    tiles = [Tile(one, thumbnails, context, is_wrong=one.study in wrong) for one in records]
    rows = [tiles[start : start + ACROSS] for start in range(0, len(tiles), ACROSS)]
    note = f"{NOTE} {audit_text.thumbnail_note(context.settings.scale)}"
    note += f" {BLOCKS}" if any(one.blanked for one in thumbnails.values()) else ""
    items += [tables.words(note, "caption"), Spacer(1, 1.5 * mm)]
    return [*items, *(TileRow(row) for row in rows)]


NOTE = (
    "Left the raw image, right the same under the map. P: verdict on the prediction, E: on the explanation "
    f"(marks as on page one). Below the key: \u201c{WRONG}\u201d, else the codes that were raised."
)


BLOCKS = "A flat grey block: text blanked."


def with_first_map(record: StudyRecord, panel: Panel) -> Panel:
    """Return a panel with the one map that the audit report shows of it, that of the first method of the record."""
    return replace(panel, maps={name: panel.maps[name] for name in evidence.methods_of(record, panel)[:1]})


def reduced(panel: Panel) -> Panel:
    """Return a panel of at most `SIDE` pixels a side, every pixel the mean of those it stands for.

    Size in mm, letters and colours are those of the panel; peaks and positions move with the pixels.
    """
    height, width = panel.anatomy.shape[:2]
    rows, columns = min(height, SIDE), min(width, SIDE)
    if max(height, width) > SIDE:
        rows, columns = (max(1, round(side * SIDE / max(height, width))) for side in (height, width))
    down, across = height / rows, width / columns
    moved = np.array([[down, 0, down / 2 - 0.5], [0, across, across / 2 - 0.5], [0, 0, 1]])
    pixel = panel.pixel_mm and (panel.pixel_mm[0] * down, panel.pixel_mm[1] * across)
    return replace(
        panel,
        anatomy=_means(panel.anatomy, rows, columns),
        maps={method: _means(values, rows, columns) for method, values in panel.maps.items()},
        pixel_mm=pixel,
        peaks={
            method: ((row + 0.5) / down - 0.5, (column + 0.5) / across - 0.5)
            for method, (row, column) in panel.peaks.items()
        },
        to_source=sealed(np.asarray(panel.to_source) @ moved),
        blanked=tuple(
            (int(top // down), -int(-bottom // down), int(left // across), -int(-right // across))
            for top, bottom, left, right in panel.blanked
        ),
    )


def _means(values: Floats, rows: int, columns: int) -> Floats:
    """Return the means over equal parts of each axis; a pixel that two parts share counts in both by its share."""
    for axis, count in enumerate((rows, columns)):
        size = values.shape[axis]
        if count == size:
            continue
        ordered = np.moveaxis(values, axis, 0).astype(np.float64)
        sums = np.concatenate([np.zeros_like(ordered[:1]), np.cumsum(ordered, axis=0)])
        edges = np.arange(count + 1) * size / count
        whole = np.minimum(edges.astype(int), size - 1)
        part = (edges - whole).reshape(-1, *[1] * (ordered.ndim - 1))
        below = sums[whole] + part * ordered[whole]
        values = np.moveaxis(np.diff(below, axis=0) * (count / size), 0, axis).astype(np.float32)
    return sealed(np.array(values, dtype=np.float32))
