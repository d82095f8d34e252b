"""Words on the blocks where text was blanked: on their block, inside the picture, apart from each other."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from pdf_reading import page_count, placed_words, words
from report_cases import context, radiograph_case, radiograph_panel

from audit_pipeline.report import captions, overlay, overlay_pictures, render_study, render_study_html
from audit_pipeline.report.blocks import BLANKED, label_places
from audit_pipeline.report.contact_sheet import reduced

BOXES = ((10, 30, 20, 90), (150, 170, 100, 150))


def blanked_panel(*boxes):
    return radiograph_panel(blanked=boxes or BOXES)


def test_words_stand_in_the_middle_of_their_block():
    assert label_places(blanked_panel(), (400.0, 320.0), (10.0, 60.0)) == [(40.0, 110.0), (320.0, 250.0)]


@pytest.mark.parametrize("box", [(0, 2, 0, 2), (198, 200, 158, 160), (0, 2, 158, 160)])
def test_words_of_a_block_at_the_edge_stay_inside_the_picture(box):
    ((down, across),) = label_places(blanked_panel(box), (200.0, 160.0), (10.0, 60.0))
    assert 5 <= down <= 195
    assert 30 <= across <= 130


def test_words_of_neighbours_never_meet_and_a_picture_too_small_for_them_has_none():
    near = ((10, 20, 20, 60), (22, 32, 20, 60), (60, 70, 20, 60))
    assert [place[0] for place in label_places(blanked_panel(*near), (200.0, 160.0), (14.0, 60.0))] == [15.0, 65.0]
    assert label_places(blanked_panel(), (40.0, 32.0), (10.0, 60.0)) == []


def test_a_thumbnail_keeps_every_block_whole():
    panel = blanked_panel()
    small = reduced(panel)
    rows, columns = small.anatomy.shape
    for (top, bottom, left, right), whole in zip(small.blanked, panel.blanked, strict=True):
        assert (top * 200 / rows, left * 160 / columns) <= (whole[0], whole[2])
        assert bottom * 200 / rows >= whole[1]
        assert right * 160 / columns >= whole[3]
        assert (bottom - top) * (right - left) * (200 / rows) ** 2 < 1.6 * (whole[1] - whole[0]) * (whole[3] - whole[2])


def test_captions_count_the_regions_in_words():
    none, one, two = radiograph_panel(), blanked_panel(BOXES[0]), blanked_panel()
    assert captions.blanked([none]) == ""
    assert captions.blanked([one]) == "Text blanked in 1 region of this image."
    assert captions.blanked([two]) == "Text blanked in 2 regions of this image."
    assert captions.blanked([none, one, two]) == "Text blanked in 3 regions of these images."


def test_pages_say_it_on_the_block_and_below_the_picture_in_print_and_on_screen():
    record, panels = radiograph_case(blanked_panel())
    content = render_study(record, panels, context())
    assert words(content, 0).count(BLANKED) == 4  # two blocks, raw and under the map
    assert "Text blanked in 2 regions of this image." in words(content, 0)
    found = [one for one in placed_words(content) if one[4] == BLANKED]
    middles = sorted(((left + right) / 2, (bottom + top) / 2) for left, bottom, right, top, _ in found)
    (across, up), (further, lower) = middles[:2]
    assert (up - lower) / (further - across) == pytest.approx((160 - 20) / (125 - 55), rel=0.05)  # square pixels
    page = render_study_html(record, panels, context()).decode()
    assert page.count(f">{BLANKED}</text>") >= 4
    assert "Text blanked in 2 regions of this image." in page


def test_without_blanked_text_nothing_is_said():
    record, panels = radiograph_case()
    assert BLANKED not in words(render_study(record, panels, context()))
    assert BLANKED not in render_study_html(record, panels, context()).decode().split("</style>")[-1]


def test_overlay_files_carry_the_words_where_the_block_is():
    record, panels = radiograph_case(blanked_panel())
    plain = overlay_pictures(record, [replace(panels[0], blanked=())], context())
    named = overlay_pictures(record, panels, context())
    for name, content in named.items():
        before, after = (cv2.imdecode(np.frombuffer(one, np.uint8), cv2.IMREAD_COLOR) for one in (plain[name], content))
        rows, columns = np.nonzero((before != after).any(axis=2))
        height, width = after.shape[0], (after.shape[1] - 8) // 2
        tall, wide = overlay.label_size(BLANKED)
        assert rows.min() >= 20 / 200 * height - tall / 2 - 1
        assert columns.min() >= 55 / 160 * width - wide / 2 - 1
        assert rows.max() <= 160 / 200 * height + tall / 2 + 1


def test_the_clinical_profile_names_the_patient_below_the_title_and_is_stamped_on_every_page():
    record, panels = radiograph_case()
    identity = {"patient_name": "Doe, Jane", "patient_id": "4711", "birth_date": "", "accession": "A<7>"}
    told = context(profile="clinical", identities={record.study: identity})
    content = render_study(record, panels, told)
    assert "Patient: Doe, Jane; Patient ID: 4711; Accession: A<7>" in words(content, 0)
    for page in range(page_count(content)):
        assert words(content, page).count("CLINICAL: contains identity") == 2
    page = render_study_html(record, panels, told).decode()
    assert "Accession: A&lt;7&gt;" in page
    assert '<p class="stamp">CLINICAL: contains identity</p>' in page
    assert "Jane" not in words(render_study(record, panels, context()))
