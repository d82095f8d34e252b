"""The overlays of a study as PNG files: raw slice on the left, the same slice with the map on the right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from audit_pipeline.records import Panel
from audit_pipeline.report import evidence, overlay, text
from audit_pipeline.report.blocks import BLANKED, label_places
from audit_pipeline.report.context import ReportContext
from audit_pipeline.report.overlay import Bytes
from audit_pipeline.study_record import ExplanationFacts, StudyRecord

SHORTEST_SIDE = 256
GAP_PIXELS = 8
HATCH_PERIOD, HATCH_WIDTH = 14, 3
ROLES = ("plane", "image")


def overlay_pictures(record: StudyRecord, panels: Sequence[Panel], context: ReportContext) -> Mapping[str, bytes]:
    """Return ``overlays/METHOD-CLASS-PLANE.png`` -> file for the planes through the evidence and for 2D images.

    Pixels keep their physical aspect; colours are those of the report. A map that failed its tests is hatched.
    """
    shown = evidence.shown(record, panels, context)
    files: dict[str, bytes] = {}
    for panel in panels:
        for facts in record.explanations:
            if panel.role in ROLES and facts.target == panel.target and facts.method in panel.maps:
                stem = facts.map.removeprefix("maps/").removesuffix(".nii.gz")
                plane = panel.plane.replace(" ", "-")
                files[f"overlays/{stem}-{plane}.png"] = overlay.png(_pair(shown, panel, facts))
    return files


def _pair(shown: evidence.Shown, panel: Panel, facts: ExplanationFacts) -> Bytes:
    shape, look, layer = _shape(panel), shown.look, shown.layer(panel, facts.method)
    raw = overlay.grey_levels(panel.anatomy, look.window, shape)[..., None].repeat(3, axis=2)
    blended = overlay.overlay(
        panel.anatomy,
        panel.maps[facts.method],
        window=look.window,
        scale_max=layer.scale_max,
        is_signed=layer.is_signed,
        colour_map=look.colour_map,
        opacity=look.opacity,
        shape=shape,
    ).copy()
    if text.rejection(facts):
        rows, columns = np.indices(shape)
        blended[(rows + columns) % HATCH_PERIOD < HATCH_WIDTH] = 255
    raw, blended = (_named(panel, picture, shape) for picture in (raw, blended))
    gap = np.full((shape[0], GAP_PIXELS, 3), 255, dtype=np.uint8)
    return np.concatenate([raw, gap, blended], axis=1)


def _named(panel: Panel, picture: Bytes, shape: tuple[int, int]) -> Bytes:
    """Return a picture with words on the blocks that stand over text."""
    for place in label_places(panel, shape, overlay.label_size(BLANKED)):
        picture = overlay.labelled(picture, place, BLANKED)
    return picture


def _shape(panel: Panel) -> tuple[int, int]:
    """Return height and width in square pixels, no side shorter than `SHORTEST_SIDE`."""
    height, width = panel.anatomy.shape[:2]
    row, column = panel.pixel_mm or (1.0, 1.0)
    finest = min(row, column)
    size = np.array([height * row / finest, width * column / finest])
    size *= max(1.0, SHORTEST_SIDE / size.min())
    return round(float(size[0])), round(float(size[1]))
