from __future__ import annotations

import re
from dataclasses import replace
from functools import cache
from itertools import pairwise

import numpy as np
import pytest
import report_cases
from html_reading import pixels, read, words
from pdf_reading import words as pdf_words
from report_cases import context, explanation, finding, radiograph_case, refused_record

from audit_pipeline.config import ReportSection
from audit_pipeline.findings import Outcome
from audit_pipeline.records import PartScores
from audit_pipeline.report import fonts, map_words, numbers, overlay, render_study, render_study_html
from audit_pipeline.report.figures import extent

SCRIPTS = "\u05e9\u05dc\u05d5\u05dd \u4f60\u597d \u0627\u0644\u0631\u0626\u0629"
HOSTILE = f"<img src=x onerror=alert(1)>\"'&amp; {SCRIPTS} \u202e]]>"


@pytest.fixture(scope="module")
def page(volume):
    return render_study_html(*volume, context())


@pytest.fixture(scope="module")
def document(page):
    return read(page)


def test_the_page_tells_class_probability_threshold_and_both_verdicts(page):
    shown = words(page)
    for fact in (
        "Study 3fa2c19b77e0",
        "probability 0.897, threshold 0.5",
        "Prediction: flag, decided by C04",
        "Explanation: critical, decided by D19",
        "Reference label: nodule",
        "For review, not for diagnosis",
        "run 5f0c9a7be312",
        "weights 0123456789ab",
        "de-identified",
    ):
        assert fact in shown, fact


def test_every_number_of_the_record_that_the_pdf_prints_stands_on_the_page(volume, volume_pdf, page):
    shown = words(page)
    for facts in volume[0].explanations:
        values = facts.statistics
        for value in (values.min, values.max, values.mean, values.std, values.peak_value):
            assert numbers.number(value) in shown
        assert numbers.position(values.peak_position_mm).removesuffix(" mm") in shown
        assert map_words.map_sentence(facts, volume[0].image.affine) in shown or facts is not volume[0].explanations[0]
    for name, value in volume[0].prediction.logits.items():
        assert (
            f"{name} {numbers.number(value, 4)} {numbers.probability(volume[0].prediction.probabilities[name])}"
            in shown
        )
    for one in volume[0].findings:
        assert f"{one.code} {one.title}. {one.message}" in shown
    for fact in ("64 files: 000000000000, 000000000000, 000000000000 and 61 more", "77aa" * 16, "torch 2.13.0"):
        assert fact in shown
        assert fact in pdf_words(volume_pdf)


CASES = ["volume_case", "radiograph_case", "many_classes_case", "two_targets_case"]


@cache
def case_of(name):
    return getattr(report_cases, name)()


@cache
def page_of(name):
    return render_study_html(*case_of(name), context())


@pytest.mark.parametrize("case", CASES)
def test_every_word_of_the_pdf_but_its_page_furniture_stands_on_the_page(case):
    printed = {
        word for word in re.findall(r"[\w.]+", pdf_words(render_study(*case_of(case), context()))) if len(word) > 2
    }
    shown = set(re.findall(r"[\w.]+", " ".join([words(page_of(case)), *FURNITURE])))
    missing = {word for word in printed - shown if not any(word in one or one in word for one in shown if len(one) > 3)}
    assert not missing


FURNITURE = (
    "page Name Date Signature Reviewer verdict agree but the map disagree cannot judge",
    "the same for all these slices",
)
"""Of paper: page numbers and the reviewer's box; a colour bar stands below every group of slices."""


def test_the_same_arguments_give_the_same_bytes(volume, page):
    assert render_study_html(*volume, context()) == page


@pytest.mark.parametrize("case", CASES)
def test_a_page_is_at_most_three_megabytes(case):
    assert len(page_of(case)) <= 3_000_000


def test_large_noisy_slices_of_many_classes_keep_the_page_below_three_megabytes():
    noise = np.random.default_rng(1).normal(0, 300, (256, 256)).astype(np.float32)
    record, panels = report_cases.two_targets_case()
    enlarged = [
        replace(
            panel, anatomy=noise + place, pixel_mm=(1.4, 1.4), target=place % 2,
            maps={name: np.roll(noise / 100, place) for name in panel.maps},
        )
        for place, panel in enumerate(panels[:8])
    ]  # fmt: skip
    assert len(render_study_html(record, enlarged, context())) <= 3_000_000


def test_the_page_names_its_language_its_title_and_refers_to_nothing_outside(page, document):
    assert document.one("html").attributes["lang"] == "en-GB"
    assert document.one("title").words == "Study 3fa2c19b77e0: audit of nodule-densenet"
    for element in document.all():
        for name in ("src", "href", "action", "srcset", "poster", "data"):
            address = element.attributes.get(name)
            assert address is None or address.startswith(("#", "data:image/png;base64,", "data:,")), address
        assert not [name for name in element.attributes if name.startswith("on") or name == "style"]
    assert not re.search(rb"https?://", page)


def test_links_lead_to_a_place_of_the_page_and_names_stand_once(document):
    names = [one.attributes["id"] for one in document.all() if "id" in one.attributes]
    assert len(names) == len(set(names))
    for element in document.all():
        address = element.attributes.get("href") or ""
        if address.startswith("#"):
            assert address[1:] in names
        for pointer in ("for", "data-heading"):
            assert element.attributes.get(pointer) is None or element.attributes[pointer] in names


def headings(document):
    return [(int(one.name[1]), one.words) for one in document.all() if re.fullmatch("h[1-6]", one.name)]


@pytest.mark.parametrize("case", CASES)
def test_headings_descend_one_level_at_a_time_from_a_single_first(case):
    levels = [level for level, _ in headings(read(page_of(case)))]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))


def test_every_table_has_a_caption_and_scoped_heads(document):
    tables = list(document.all("table"))
    assert len(tables) >= 9
    for table in tables:
        assert table.one("caption").words
        assert list(table.all("th"))
        assert {one.attributes["scope"] for one in table.all("th")} <= {"row", "col"}
        for row in table.all("tr"):
            assert len([cell for cell in row.children if getattr(cell, "name", "") in {"td", "th"}]) >= 1


def test_every_control_has_a_label_and_the_keyboard_reaches_controls_in_reading_order(document):
    labelled = {one.attributes.get("for") for one in document.all("label")}
    inside = {id(control) for label in document.all("label") for control in label.all("input")}
    for control in document.all("input"):
        assert control.attributes.get("id") in labelled or id(control) in inside
    assert {one.attributes.get("tabindex") for one in document.all()} <= {None, "0", "-1"}
    assert document.one("a").words == "Skip to the content"


def test_alternative_texts_hold_the_numbers_of_the_map(volume, document):
    facts = volume[0].explanations[0]
    pictures = [one.attributes["aria-label"] for one in document.all("svg", class_="slice")]
    shown = next(one for one in pictures if one.startswith("HiResCAM for nodule over axial, slice 40, at H 140.0 mm."))
    assert numbers.number(facts.statistics.peak_value) in shown
    assert numbers.position(facts.statistics.peak_position_mm) in shown
    assert "Cell of the map: 32 \u00d7 40 \u00d7 45 mm." in shown
    assert "Edges: left R, right L, top A and bottom P." in shown
    raw = next(one for one in pictures if one.startswith("Raw image: Axial, slice 40"))
    assert "Window centre \u2212600 width 1500 HU." in raw
    assert "Scale bar: 100 mm." not in raw
    assert "Scale bar: 50 mm." in raw
    assert all(one.attributes.get("aria-label") for one in document.all("svg", role="img"))


def test_a_rejected_map_is_hatched_named_and_gets_no_place(document):
    rejected = [one for one in document.all("svg", class_="slice") if "failed D19" in one.attributes["aria-label"]]
    assert len(rejected) == 3 + 8
    for one in rejected:
        assert one.one("rect", fill="url(#hatch)")
        assert one.one("text", class_="rejection").words == "not evidence: failed D19"
        assert not list(one.all("g", class_="lines"))
        assert "Peak" not in one.attributes["aria-label"]


def test_the_raw_slice_stands_before_every_overlay_and_both_share_the_anatomy(document):
    for row in document.all("div", class_="row"):
        raw, *overlays = row.all("svg", class_="slice")
        assert raw.attributes["aria-label"].startswith("Raw image")
        assert overlays
        anatomy = raw.one("use").attributes["href"]
        assert all(one.one("use").attributes["href"] == anatomy for one in overlays)
        assert not list(raw.all("use", class_="evidence"))


def test_the_evidence_layer_carries_the_configured_opacity(volume):
    document = read(render_study_html(*volume, context(settings=ReportSection(opacity=0.3))))
    assert {one.attributes["opacity"] for one in document.all("use", class_="evidence")} == {"0.3"}
    assert document.one("input", id="opacity").attributes["value"] == "30"


def test_the_strongest_pixel_of_the_layer_lies_at_the_peak_of_the_map(volume, document):
    panel = volume[1][0]
    picture = next(
        one for one in document.all("svg", class_="slice")
        if one.attributes["aria-label"].startswith("HiResCAM for nodule over axial, slice 40")
    )  # fmt: skip
    layer = pixels(document, picture.one("use", class_="evidence").attributes["href"][1:])
    row, column = np.unravel_index(layer[..., 3].argmax(), layer.shape[:2])
    values = panel.maps["hirescam"]
    expected = np.unravel_index(values.argmax(), values.shape)
    assert (row + 0.5) / layer.shape[0] == pytest.approx((expected[0] + 0.5) / values.shape[0], abs=0.01)
    assert (column + 0.5) / layer.shape[1] == pytest.approx((expected[1] + 0.5) / values.shape[1], abs=0.01)


def test_the_cross_hair_surrounds_the_recorded_peak(volume, document):
    panel = volume[1][0]
    picture = next(
        one for one in document.all("svg", class_="slice")
        if one.attributes["aria-label"].startswith("HiResCAM for nodule over axial, slice 40")
    )  # fmt: skip
    name = next(picture.all("use", class_="under peak")).attributes["href"][1:]
    drawn = picture.one("path", id=name).attributes["d"]
    points = np.array(re.findall(r"-?[\d.]+", drawn), float).reshape(-1, 2)
    whole = picture.one("use")
    width, height = (float(whole.attributes[side]) for side in ("width", "height"))
    row, column = panel.peaks["hirescam"]
    rows, columns = panel.anatomy.shape
    assert points.mean(axis=0) == pytest.approx(
        [(column + 0.5) / columns * width, (row + 0.5) / rows * height], abs=0.1
    )
    assert width / height == pytest.approx(extent(panel)[1] / extent(panel)[0], rel=1e-3)


def test_contours_lie_where_the_map_has_the_recorded_level(volume, document):
    panel, facts = volume[1][0], volume[0].explanations[0]
    picture = next(
        one for one in document.all("svg", class_="slice")
        if one.attributes["aria-label"].startswith("HiResCAM for nodule over axial, slice 40")
    )  # fmt: skip
    values = panel.maps["hirescam"]
    whole = picture.one("use")
    size = np.array([float(whole.attributes[side]) for side in ("width", "height")])
    for kind, level in zip(("under solid", "under dashed"), facts.statistics.mass_levels, strict=True):
        name = next(picture.all("use", class_=kind)).attributes["href"][1:]
        points = np.array(re.findall(r"-?[\d.]+", picture.one("path", id=name).attributes["d"]), float).reshape(-1, 2)
        places = np.rint(points / size * values.shape[::-1] - 0.5).astype(int)
        assert np.abs(values[places[:, 1], places[:, 0]] - level).max() < 0.25
    assert overlay.contour_lines(values, facts.statistics.mass_levels[0])


def test_hostile_text_in_every_field_stays_text():
    record, _ = radiograph_case()
    panel = report_cases.radiograph_panel(letters=(HOSTILE[:9],) * 4, plane=HOSTILE)
    odd = replace(finding("D02", Outcome.FLAG, HOSTILE), title=HOSTILE, unit=HOSTILE, advice=HOSTILE, code=HOSTILE,
                  family=HOSTILE, provenance=HOSTILE, value=1.0)  # fmt: skip
    prediction = replace(
        record.prediction, probabilities={HOSTILE: 0.7}, logits={HOSTILE: 0.8}, predicted=(HOSTILE,),
        thresholds={HOSTILE: 0.5}, device=HOSTILE, precision=HOSTILE,
    )  # fmt: skip
    image = replace(record.image, metadata={HOSTILE: HOSTILE, "Manufacturer": HOSTILE}, modality=HOSTILE, unit=HOSTILE,
                    format=HOSTILE, steps=(HOSTILE,), input_digest=HOSTILE, source_digests=(HOSTILE,))  # fmt: skip
    facts = tuple(
        replace(one, target_name=HOSTILE, caution=HOSTILE, layer=HOSTILE, checks={HOSTILE: Outcome.FLAG}, unit=HOSTILE)
        for one in record.explanations
    )
    model = replace(record.model, name=HOSTILE, version=HOSTILE, network=HOSTILE, classes=(HOSTILE,), task=HOSTILE,
                    intended_use=HOSTILE, card_sha256=HOSTILE, weights_sha256=HOSTILE)  # fmt: skip
    hostile = replace(record, study=HOSTILE, label=HOSTILE, findings=(odd,), prediction=prediction, image=image,
                      explanations=facts, model=model, files={HOSTILE: 3})  # fmt: skip
    names = context(audit_name=HOSTILE, intended_use=HOSTILE, versions={HOSTILE: HOSTILE}, run=HOSTILE)
    clean = read(render_study_html(*radiograph_case(), context()))
    for page in (
        render_study_html(hostile, [panel], names),
        render_study_html(refused_record(study=HOSTILE), (), names),
    ):
        document = read(page)
        assert {one.name for one in document.all()} <= {one.name for one in clean.all()} | {"dl", "ol", "li"}
        assert not [key for one in document.all() for key in one.attributes if key.startswith("on")]
        assert len(list(document.all("script"))) == 1
        assert b"\\u202E" in page
        assert "\u202e" not in page.decode()
        assert SCRIPTS in words(page)


def test_words_of_any_script_keep_their_reading_order_and_their_characters(volume):
    record = replace(volume[0], label="\u0633\u0644\u064a\u0645 \u5065\u5eb7 caf\u00e9 \u0e1b\u0e01\u0e15\u0e34")
    assert f"Reference label: {record.label}" in words(render_study_html(record, volume[1], context()))


def test_paper_keeps_its_own_order_after_a_page_was_made(page):
    assert fonts.clean("\u05d0\u05d1 12") == "12 \u05d1\u05d0"
    assert page


def test_the_checks_of_the_glance_lead_to_their_rows_and_rows_carry_their_outcome(volume, document):
    glance = document.one("dl", class_="glance")
    assert [one.words for one in glance.all("a")] == [
        one.code for one in sorted(volume[0].findings, key=lambda f: f.code)
    ]
    for one in volume[0].findings:
        row = document.one("tr", id=f"check-{one.code}")
        assert row.attributes["data-outcomes"] == one.outcome.value
        assert one.message in row.words


def test_without_images_and_without_prediction_the_page_says_so(volume):
    shown = words(render_study_html(volume[0], (), context()))
    assert shown.count("No image of this study was stored, so none is shown.") == 2
    bare = replace(volume[0], prediction=None, explanations=(), findings=(), image=None, verdict=None)
    shown = words(render_study_html(bare, (), context()))
    for sentence in (
        "No prediction was recorded.",
        "No map was computed.",
        "No check ran on this study.",
        "No verdict",
    ):
        assert sentence in shown


def test_a_refused_study_becomes_a_page_that_says_why():
    shown = words(render_study_html(refused_record(), (), context()))
    assert "Refused This study was refused before the model was asked." in shown
    assert "MissingSlicesError in the stage \u201cload\u201d" in shown
    assert "Correct or export the study again at its source" in shown


def test_the_profile_of_a_slice_wise_network_is_drawn_with_its_numbers_in_words(volume):
    parts = PartScores(
        kind="slice", rule="highest of 3 slices", logits={"nodule": (-1.0, 3.5, 0.5), "no nodule": (0.0, 0.0, 0.0)},
        counted={"nodule": (1,), "no nodule": (0, 1, 2)}, centres=((10.0, 0, 0), (11.0, 0, 0), (12.0, 0, 0)), axis=0,
    )  # fmt: skip
    record = replace(volume[0], prediction=replace(volume[0].prediction, parts=parts))
    document = read(render_study_html(record, volume[1], context()))
    chart = next(document.all("svg", class_="profile"))
    assert chart.attributes["aria-label"] == (
        "Logit of nodule over 3 slices, number 10 to 12: from \u22121 to 3.5, highest in slice 11; "
        "1.25 for the whole image."
    )
    assert len(list(chart.all("circle"))) == 1


def test_a_map_without_positive_evidence_has_no_colour_and_says_so(volume):
    record, panels = volume
    empty = explanation("hirescam", "nodule", np.full((6, 8, 8), -1.0, np.float32), signal_floor=1e-6)
    document = read(render_study_html(replace(record, explanations=(empty,)), panels, context()))
    assert "nothing to colour" in document.words
    pictures = [
        one for one in document.all("svg", class_="slice") if one.attributes["aria-label"].startswith("HiResCAM")
    ]
    assert pictures
    assert not [one for one in pictures if list(one.all("use", class_="evidence"))]


def test_an_unknown_spacing_is_named_instead_of_a_scale_bar():
    panel = report_cases.radiograph_panel(pixel_mm=None, cell_mm=None, letters=("", "", "", ""))
    document = read(render_study_html(*radiograph_case(panel), context()))
    picture = document.one("svg", class_="slice")
    assert "no calibrated spacing: pixels" in picture.words
    assert "No calibrated spacing: pixels." in picture.attributes["aria-label"]
    assert "Edges" not in picture.attributes["aria-label"]


def test_the_row_of_a_check_of_a_map_leads_to_the_pictures_of_that_map(volume, document):
    for code in ("D02", "D05", "D19"):
        (link,) = document.one("tr", id=f"check-{code}").all("a")
        place = document.one("h3", id=link.attributes["href"][1:])
        assert place.words == f"Figure {link.words}. HiResCAM and Grad-CAM for nodule"
    assert not list(document.one("tr", id="check-A01").all("a"))
