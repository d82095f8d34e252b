"""The contact sheet: one tile a study, small pictures that are still the numbers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from html_reading import read
from pdf_reading import words
from report_cases import PEAK, context, radiograph_panel, volume_case
from story_cases import raised, studies, summary_of, thumbnails_of

from audit_pipeline.records import sealed
from audit_pipeline.report import reduced, render_audit, render_audit_html
from audit_pipeline.report.contact_sheet import SIDE
from audit_pipeline.report.figures import extent


@pytest.fixture(scope="module")
def panel():
    return volume_case()[1][0]


def test_every_small_pixel_is_the_mean_of_those_it_stands_for():
    values = np.arange(192 * 96, dtype=np.float32).reshape(192, 96)
    small = reduced(radiograph_panel(anatomy=sealed(values), maps={"gradcam": sealed(values)}, peaks={}))
    assert small.anatomy.shape == (96, 48)
    expected = values.reshape(96, 2, 48, 2).mean(axis=(1, 3))
    np.testing.assert_allclose(small.anatomy, expected, rtol=1e-6)
    np.testing.assert_allclose(small.maps["gradcam"], expected, rtol=1e-6)


def test_the_mass_of_a_map_and_the_size_in_mm_stay(panel):
    small = reduced(panel)
    assert max(small.anatomy.shape) == SIDE
    assert extent(small) == pytest.approx(extent(panel))
    for method, values in panel.maps.items():
        assert small.maps[method].mean() == pytest.approx(values.mean(), rel=1e-4)


def test_the_peak_and_the_way_back_to_the_source_move_with_the_pixels(panel):
    panel = replace(panel, to_source=np.array([[1.0, 0, 0], [0, 1, 0], [0, 0, 40]]))
    small = reduced(panel)
    row, column = small.peaks["hirescam"]
    assert (small.to_source @ [row, column, 1])[:2] == pytest.approx(PEAK[1:], abs=1e-9)
    strongest = np.unravel_index(small.maps["hirescam"].argmax(), small.anatomy.shape)
    assert np.hypot(row - strongest[0], column - strongest[1]) < 3


def test_a_pixel_that_two_parts_share_counts_in_both_by_its_share():
    values = np.repeat(np.arange(144, dtype=np.float32)[:, None], 12, axis=1)
    small = reduced(radiograph_panel(anatomy=sealed(values), maps={}, peaks={}))
    assert small.anatomy.shape == (96, 8)
    assert small.anatomy[:2, 0].tolist() == pytest.approx([(0 + 0.5 * 1) / 1.5, (0.5 * 1 + 2) / 1.5])


def test_a_small_picture_is_not_enlarged():
    values = np.zeros((20, 30), np.float32)
    small = reduced(radiograph_panel(anatomy=sealed(values), maps={}, peaks={}))
    assert small.anatomy.shape == (20, 30)


def test_colour_stays_colour():
    values = np.zeros((200, 100, 3), np.float32)
    values[..., 0] = 200
    small = reduced(radiograph_panel(anatomy=sealed(values), maps={}, peaks={}))
    assert small.anatomy.shape == (96, 48, 3)
    assert small.anatomy[5, 5].tolist() == [200, 0, 0]


def test_every_study_has_a_tile_in_the_given_order_with_its_verdicts():
    records, panel = studies(13, wrong=1, refused=2)
    records = [raised(one, "B07") if one.study == f"{5:012x}" else one for one in records]
    summary, thumbnails = summary_of(records), thumbnails_of(records, panel)
    document = read(render_audit_html(records, summary, thumbnails, context()))
    tiles = [tile.words for sheet in document.all("ul", class_="tiles") for tile in sheet.all("li")]
    assert [tile.split()[0] for tile in tiles] == [one.study for one in records]
    assert tiles[0].endswith("refused: MissingSlicesError.")
    assert "differs from label" in next(tile for tile in tiles if tile.startswith(f"{0:012x}"))
    assert "prediction critical, explanation pass" in next(tile for tile in tiles if tile.startswith(f"{5:012x}"))
    text = words(render_audit(records, summary, thumbnails, context()))
    sheet = text[text.index("Contact sheet 13") :]
    places = [sheet.index(one.study) for one in records]
    assert places == sorted(places)


def test_a_tile_shows_the_raw_slice_before_the_map_and_leads_to_the_study():
    records, panel = studies(1)
    pages = {records[0].study: "studies/x/report.html"}
    document = read(render_audit_html(records, summary_of(records), thumbnails_of(records, panel), context(), pages))
    tile = document.one("ul", class_="tiles").one("li")
    described = [one.attributes["aria-label"] for one in tile.all("svg")]
    assert described[0].startswith("Raw image")
    assert "Colours from 0" in described[1]
    assert tile.one("a").attributes["href"] == "studies/x/report.html"
