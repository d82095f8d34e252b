"""Pixels put aside in a file come back as they were, and the reports drawn from them are the same bytes."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
from report_cases import cohort, context, radiograph_panel

from audit_pipeline.records import sealed
from audit_pipeline.report import Aside, PanelsAside, reduced, render_audit, render_audit_html, with_first_map
from audit_pipeline.report.document import build
from audit_pipeline.report.tables import words as paragraph


@pytest.fixture(scope="module")
def drawn():
    return cohort(6)


def aside_of(thumbnails, file):
    kept = PanelsAside(Aside(file).put)
    for key, panel in thumbnails.items():
        kept.add(key, panel)
    return kept


def test_arrays_come_back_in_any_order_and_more_than_once(tmp_path):
    draw = np.random.default_rng(0)
    arrays = [draw.normal(size=shape).astype(np.float32) for shape in ((3, 5), (4, 4, 3), (0, 2), (1, 1))]
    with (tmp_path / "file").open("w+b") as file:
        aside = Aside(file)
        reads = [aside.put(arrays[0]), aside.put(arrays[1].swapaxes(0, 1))]
        assert np.array_equal(reads[0](), arrays[0])
        reads += [aside.put(one) for one in arrays[2:]]
        for place in (3, 0, 2, 0):
            assert np.array_equal(reads[place](), arrays[place])
            assert reads[place]().shape == arrays[place].shape
        assert np.array_equal(reads[1](), arrays[1].swapaxes(0, 1))


def test_a_panel_put_aside_comes_back_whole_and_holds_no_pixels_meanwhile():
    values = sealed(np.arange(12, dtype=np.float32).reshape(3, 4))
    panel = radiograph_panel(anatomy=values, maps={"gradcam": sealed(2 * values)}, peaks={"gradcam": (1.0, 2.0)})
    kept = aside_of({"one": panel}, io.BytesIO())
    assert kept.kept["one"][0].anatomy.size == 0
    found = kept["one"]
    assert np.array_equal(found.anatomy, values)
    assert np.array_equal(found.maps["gradcam"], 2 * values)
    assert replace(found, anatomy=values, maps=panel.maps) == panel
    assert (list(kept), len(kept), kept.get("two")) == (["one"], 1, None)


def test_reports_are_the_same_bytes_whether_pixels_are_held_or_put_aside(drawn):
    records, summary, thumbnails = drawn
    file = io.BytesIO()
    kept = aside_of(thumbnails, file)
    assert render_audit(records, summary, kept, context()) == render_audit(records, summary, thumbnails, context())
    page = render_audit_html(records, summary, kept, context(), put=Aside(file).put)
    assert page == render_audit_html(records, summary, thumbnails, context())


def test_the_one_map_that_is_kept_is_the_one_that_was_drawn_of_all(drawn):
    records, summary, thumbnails = drawn
    by_key = {one.study: one for one in records}
    some = {key: reduced(panel) for key, panel in thumbnails.items()}
    first = {key: with_first_map(by_key[key], panel) for key, panel in some.items()}
    assert {len(panel.maps) for panel in some.values()} == {2}
    assert {len(panel.maps) for panel in first.values()} == {1}
    assert render_audit(records, summary, first, context()) == render_audit(records, summary, some, context())


def test_the_parts_of_a_document_are_let_go_when_they_are_drawn():
    from test_document import front

    parts = [paragraph("words", "body") for _ in range(3)]
    assert build(parts, front()).startswith(b"%PDF")
    assert parts == []
