"""The grid of planes and methods: it fits, the raw slice is first, the scale is one."""

from __future__ import annotations

import pytest
import report_cases
from reportlab.lib.units import mm

from audit_pipeline.report import evidence, fonts, layout, method_strip, plane_grid
from audit_pipeline.report.figures import Picture

WIDTH = layout.content_size("a4")[0]


@pytest.fixture(scope="module", autouse=True)
def _registered():
    fonts.register()


def pictures(items):
    lines = [item for item in items if isinstance(item, layout.Columns)]
    return [[one for stack in line.stacks for one in stack if isinstance(one, Picture)] for line in lines]


def planes(case):
    record, panels = case
    return evidence.shown(record, panels, report_cases.context()), panels[:3]


@pytest.mark.parametrize("room_mm", [245, 200, 160])
def test_a_grid_fits_into_its_room_with_one_scale_and_the_raw_slice_first(volume, room_mm):
    items = plane_grid.grids(*planes(volume), room_mm * mm)
    assert layout.stack_height(items, WIDTH) <= room_mm * mm
    drawn = pictures(items)
    assert len({one.scale for line in drawn for one in line}) == 1
    assert [[one.layer and one.layer.method for one in line] for line in drawn] == [[None, "hirescam", "gradcam"]] * 3


def test_a_grid_stays_legible_however_small_the_room(volume):
    shown, panels = planes(volume)
    (full, *_), *_ = pictures(plane_grid.grids(shown, panels, 1e6))
    (small, *_), *_ = pictures(plane_grid.grids(shown, panels, 10 * mm))
    assert small.scale >= 0.38 * full.scale


def test_no_picture_is_higher_than_asked(volume):
    drawn = pictures(plane_grid.grids(*planes(volume), 1e6, 30 * mm))
    assert max(one.picture_height for line in drawn for one in line) == pytest.approx(30 * mm)


def test_methods_beyond_the_second_stand_in_the_strip_which_compares_all_of_them(radiograph):
    record, panels = radiograph
    shown = evidence.shown(record, panels, report_cases.context())
    drawn = pictures(plane_grid.grids(shown, panels, 1e6))
    assert [[one.layer and one.layer.method for one in line] for line in drawn] == [[None, "gradcam", "hirescam"]]
    (group, _) = method_strip.story(shown)
    (line,) = pictures(group._content)
    assert [one.layer and one.layer.method for one in line] == [None, "gradcam", "hirescam", "layercam"]
    assert len({one.scale for one in line}) == 1
    assert [one.layer.scale_max for one in line[1:]] == [facts.statistics.max for facts in record.explanations]


def test_an_image_without_maps_is_shown_raw():
    panel = report_cases.radiograph_panel(maps={}, peaks={})
    record, _ = report_cases.radiograph_case(panel)
    shown = evidence.shown(record, [panel], report_cases.context())
    assert [[one.layer for one in line] for line in pictures(plane_grid.grids(shown, [panel], 1e6))] == [[None]]
