"""The figure of what went in: the stored slice, its background, the model input and slices of it."""

from __future__ import annotations

from dataclasses import replace

import html_reading
import numpy as np
import pytest
from pdf_reading import words
from report_cases import context, radiograph_case, volume_case

from audit_pipeline.records import sealed
from audit_pipeline.report import evidence, intake_figure, render_study, render_study_html
from audit_pipeline.report.figures import Picture


def went_in(panel, role, values, index):
    return replace(
        panel, role=role, anatomy=sealed(np.asarray(values, dtype=np.float32)), maps={}, peaks={}, target=-1,
        index=index, cell_mm=None,
    )  # fmt: skip


@pytest.fixture(scope="module")
def case():
    record, panels = volume_case()
    axial = panels[0]
    ramp = np.linspace(-1000, 1000, axial.anatomy.size).reshape(axial.anatomy.shape)
    shown = [went_in(axial, "stored", ramp, 5), went_in(axial, "fed", (ramp + 1000) / 2000, 5)]
    shown += [went_in(axial, "mosaic", np.full((8, 8), place / 8), 3 * place) for place in range(9)]
    return record, (*panels, *shown)


def test_the_caption_names_slice_greys_and_the_slices_of_the_mosaic(case):
    said = " ".join(words(render_study(*case, context())).split())
    assert "From the file to the model input" in said
    assert "As stored, axial, slice 5" in said
    assert "grey from \u22121000 to 1000" in said
    assert "Model input at the same place: rows and columns that the network reads, grey from 0 to 1." in said
    assert "9 slices across the first axis of the model input, next to slices 0, 3, 6, 9, 12, 15, 18, 21 and 24" in said


def test_what_went_in_is_no_evidence_and_changes_no_other_figure(case):
    record, panels = case
    shown = evidence.shown(record, panels, context())
    plain = evidence.shown(record, [one for one in panels if one.target >= 0], context())
    assert shown.panels == plain.panels
    assert shown.targets == plain.targets
    assert shown.key is plain.key
    assert len(shown.intake) == 11


def test_the_background_is_the_lowest_part_of_the_range_of_the_stored_slice(case):
    shown = evidence.shown(*case, context())
    pictures = dict(intake_figure._pictures(shown))
    assert pictures["As stored"].look.window == (-1000, 1000)
    assert pictures["Background"].look.window == (-1000, -700)
    assert pictures["Model input"].look.window == (0, 1)
    assert pictures["Background"].panel is pictures["As stored"].panel


def test_the_slices_of_the_mosaic_share_their_greys(case):
    shown = evidence.shown(*case, context())
    lines = [one for one in intake_figure._mosaic(shown, 300.0) if hasattr(one, "stacks")]
    drawn = [item.picture for line in lines for stack in line.stacks for item in stack]
    assert len(drawn) == 9
    assert {picture.look.window for picture in drawn} == {(0.0, 1.0)}
    assert all(isinstance(picture, Picture) for picture in drawn)


def test_the_page_for_a_browser_describes_every_picture(case):
    page = html_reading.words(render_study_html(*case, context()))
    assert "From the file to the model input" in page
    content = render_study_html(*case, context()).decode()
    assert content.count("Model input, axial, slice") == 9
    assert "As stored, axial, slice 5" in content


def test_a_study_without_such_pictures_lists_the_steps_under_the_same_title():
    said = " ".join(words(render_study(*volume_case(), context())).split())
    assert "From the file to the model input" in said
    assert "As stored" not in said


def test_a_radiograph_has_no_mosaic():
    record, panels = radiograph_case()
    ramp = np.linspace(0, 4095, panels[0].anatomy.size).reshape(panels[0].anatomy.shape)
    shown = [went_in(panels[0], "stored", ramp, None), went_in(panels[0], "fed", ramp / 4095, None)]
    said = " ".join(words(render_study(record, (*panels, *shown), context())).split())
    assert "As stored, rows and columns of the file, grey from 0 to 4095" in said
    assert "across the first axis" not in said
