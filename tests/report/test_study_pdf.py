from __future__ import annotations

import io
import re
from dataclasses import replace

import numpy as np
import pikepdf
import pypdf
import pytest
import report_cases
from pdf_reading import fonts, page_count, pixels, placed_words, words
from report_cases import context, explanation, finding, many_classes_case, radiograph_case, refused_record, volume_case

from audit_pipeline.config import ReportSection
from audit_pipeline.findings import Outcome, Verdict
from audit_pipeline.records import Status
from audit_pipeline.report import numbers, render_study


def page_of(content, phrase):
    return next(page for page in range(page_count(content)) if phrase in words(content, page))


def test_page_one_tells_class_probability_threshold_and_both_verdicts(volume_pdf):
    first = words(volume_pdf, 0)
    assert "Study 3fa2c19b77e0" in first
    assert "nodule probability 0.897, threshold 0.5" in first
    assert "Prediction: flag, decided by C04" in first
    assert "Explanation: critical, decided by D19" in first
    assert "Reference label: nodule. The conclusion agrees with it." in first
    assert "Reviewer's verdict" in first


@pytest.mark.parametrize(
    ("label", "told"),
    [("no nodule", "The conclusion differs from it."), ("opacity", "It names no class of the model.")],
)
def test_page_one_says_when_the_label_contradicts_the_conclusion(volume, label, told):
    first = words(render_study(replace(volume[0], label=label), volume[1], context()), 0)
    assert f"Reference label: {label}. {told}" in first


def test_page_one_calls_no_place_safe_evidence_while_the_explanation_is_flagged(volume):
    sound = replace(volume[0], verdict=Verdict(prediction=Outcome.PASS, explanation=Outcome.NOTE))
    told = "this place is no safe evidence"
    assert told in words(render_study(*volume, context()), 0)
    assert told not in words(render_study(sound, volume[1], context()), 0)
    assert "could not be evaluated" in words(render_study(sound, volume[1], context()), 0)


@pytest.mark.parametrize("is_refused", [False, True])
def test_the_digest_of_the_attached_record_is_printed(volume, is_refused):
    record = refused_record() if is_refused else volume[0]
    page = words(render_study(record, () if is_refused else volume[1], context(), digest="ab" * 32))
    assert f"Run, record, its SHA-256 5f0c9a7be312, {volume[0].schema}, {'ab' * 32}" in page


def test_page_one_counts_every_outcome_and_names_what_matters_worst_first(volume_pdf):
    first = words(volume_pdf, 0)
    for counted in ("critical 1", "error 1", "flag 1", "note 1", "not evaluable 1", "pass 3"):
        assert counted in first
    places = [
        first.index(code) for code in ("D19 Methods disagree", "D21 Unfaithful map", "C04 Close to the threshold")
    ]
    assert places == sorted(places)
    assert "Advice: Trust HiResCAM over Grad-CAM." in first


def test_page_one_tells_the_remarks_after_what_was_raised_and_asserts_nothing_by_them(volume):
    note = next(one for one in volume[0].findings if one.outcome is Outcome.NOTE)
    title = f"{note.code} {note.title}?"
    raised = words(render_study(*volume, context()), 0)
    assert raised.index("D19 Methods disagree") < raised.index(title)
    assert "Remarks:" not in raised
    calm = tuple(one for one in volume[0].findings if one.outcome in {Outcome.NOTE, Outcome.PASS})
    told = words(render_study(replace(volume[0], findings=calm), volume[1], context()), 0)
    assert f"No check ended in flag, critical or error. Remarks: {title} {note.message}" in told
    silent = tuple(one for one in calm if one.outcome is Outcome.PASS)
    assert "Remarks" not in words(render_study(replace(volume[0], findings=silent), volume[1], context()), 0)


def test_every_number_of_the_map_statistics_is_printed(volume, volume_pdf):
    text = words(volume_pdf)
    for facts in volume[0].explanations:
        values = facts.statistics
        for value in (values.min, values.max, values.mean, values.std, values.peak_value):
            assert numbers.number(value) in text
        assert numbers.position(values.peak_position_mm).removesuffix(" mm") in text


def test_every_finding_is_in_the_table_of_checks_passes_and_not_evaluable_ones_included(volume, volume_pdf):
    page = words(volume_pdf)
    for one in volume[0].findings:
        assert f"{one.code} {one.title}. {one.message}" in page
    assert "[ratio] 1 \u2264 1.5 J" in page
    assert "[rank correlation] 0.210 \u2265 0.5 J" in page
    assert "[ratio] 0.820 0.75 N" in page
    assert "Slices 38, 39 and 40." in page
    assert "Switched off by the configuration: C11." in page


def test_provenance_names_model_digests_device_run_and_versions(volume, volume_pdf):
    text = words(volume_pdf)
    model = volume[0].model
    for fact in (model.weights_sha256, model.card_sha256, "cpu, fp32", "torch 2.13.0", "5f0c9a7be312", "77aa" * 16):
        assert fact in text
    assert "64 files: 000000000000, 000000000000, 000000000000 and 61 more" in text
    assert "67 files: 64 used, 1 duplicate, 2 non-image" in text


def test_header_and_footer_stand_on_every_page(volume_pdf):
    pages = page_count(volume_pdf)
    for page in range(pages):
        text = words(volume_pdf, page)
        assert f"page {page + 1} of {pages}" in text
        assert "nodule-densenet 2.1" in text
        assert "for review, not for diagnosis" in text
        assert "de-identified" in text
        assert "run 5f0c9a7be312" in text
        assert "weights 0123456789ab" in text


def test_the_same_arguments_give_the_same_bytes(volume, volume_pdf):
    assert render_study(*volume, context()) == volume_pdf


@pytest.mark.parametrize("case", [volume_case, radiograph_case, many_classes_case])
def test_all_fonts_are_embedded_truetype(case):
    found = fonts(render_study(*case(), context()))
    assert len(found) >= 2
    assert all(kind == "/TrueType" and is_embedded for _, kind, is_embedded in found)
    assert not [name for name, _, _ in found if re.search("Helvetica|Times|Courier|Symbol|Zapf", name)]


def test_the_file_is_small_and_of_version_1_7_with_title_language_and_outline(volume_pdf):
    assert len(volume_pdf) < 3_000_000
    assert volume_pdf.startswith(b"%PDF-1.7")
    reader = pypdf.PdfReader(io.BytesIO(volume_pdf))
    assert reader.metadata.title == "Study 3fa2c19b77e0: audit of nodule-densenet"
    assert reader.metadata.author == "audit_pipeline"
    assert reader.root_object["/Lang"] == "en-GB"
    titles = [entry["/Title"] for entry in reader.outline if isinstance(entry, dict)]
    assert titles[0] == "Study 3fa2c19b77e0"
    assert {"Evidence in the image", "Every check", "Provenance"} <= set(titles)


def test_no_date_that_is_not_true_and_no_empty_transition_stays_in_the_file(volume_pdf):
    with pikepdf.open(io.BytesIO(volume_pdf)) as document:
        assert "/CreationDate" not in document.docinfo
        assert "/ModDate" not in document.docinfo
        assert all("/Trans" not in page for page in document.pages)
        with document.open_metadata() as metadata:
            assert metadata["dc:title"] == "Study 3fa2c19b77e0: audit of nodule-densenet"
    assert b"2000" not in volume_pdf[:200]


def test_outline_entries_lead_to_the_page_of_their_heading(volume_pdf):
    reader = pypdf.PdfReader(io.BytesIO(volume_pdf))
    flat = [entry for entry in reader.outline if isinstance(entry, dict)]
    for entry in flat:
        page = reader.get_destination_page_number(entry)
        assert str(entry["/Title"]).split()[-1] in words(volume_pdf, page)


def corner_panel(corner):
    """A dark image whose map is hot in one corner only."""
    values = np.zeros((100, 80), np.float32)
    rows = slice(0, 25) if "top" in corner else slice(75, 100)
    columns = slice(0, 20) if "left" in corner else slice(60, 80)
    values[rows, columns] = 3.0
    return report_cases.radiograph_panel(
        anatomy=np.zeros((100, 80), np.float32), maps={"gradcam": values}, peaks={}, pixel_mm=(2.0, 2.0)
    )


def edges(panel, content):
    """Left, right, top, bottom in points (from the lower left) of the two key pictures, from their letters."""
    boxes = placed_words(content, 0)
    letters = {one: sorted(box for box in boxes if box[4] == one) for one in "RLHF"}
    assert all(len(found) == 2 for found in letters.values())
    return [
        (letters["R"][place][2], letters["L"][place][0], letters["H"][place][1], letters["F"][place][3])
        for place in (0, 1)
    ]


@pytest.mark.parametrize("corner", ["top left", "top right", "bottom left", "bottom right"])
def test_a_hot_corner_of_the_map_is_the_hot_corner_on_paper(corner):
    panel = corner_panel(corner)
    record, _ = radiograph_case(panel)
    record = replace(record, image=replace(record.image, window=(-1.0, 1.0)))
    content = render_study(record, [panel], context())
    left, right, top, bottom = edges(panel, content)[1]
    page = pixels(content).astype(int)
    height = page.shape[0]
    region = page[round(height - top * 2) : round(height - bottom * 2), round(left * 2) : round(right * 2)]
    warm = region[..., 0] - region[..., 2] > 60
    rows, columns = np.nonzero(warm)
    assert warm.sum() > 100
    assert (rows.mean() < region.shape[0] / 2) == ("top" in corner)
    assert (columns.mean() < region.shape[1] / 2) == ("left" in corner)


def test_the_raw_picture_stands_left_of_its_overlay_at_the_same_scale(radiograph, radiograph_pdf):
    raw, overlaid = edges(radiograph[1][0], radiograph_pdf)
    assert raw[1] < overlaid[0]
    assert raw[1] - raw[0] == pytest.approx(overlaid[1] - overlaid[0], abs=0.1)
    page = pixels(radiograph_pdf).astype(int)
    height = page.shape[0]

    def colourfulness(box):
        left, right, top, bottom = box
        region = page[round(height - top * 2) : round(height - bottom * 2), round(left * 2) : round(right * 2)]
        return np.ptp(region, axis=-1).max()

    assert colourfulness(raw) < 12
    assert colourfulness(overlaid) > 60


def test_letters_stand_at_the_edges_they_name(radiograph, radiograph_pdf):
    for left, right, top, bottom in edges(radiograph[1][0], radiograph_pdf):
        assert left < right
        assert bottom < top
        assert (right - left) / (top - bottom) == pytest.approx(160 / 200, rel=0.1)


def test_no_letter_is_drawn_when_the_orientation_is_unknown():
    panel = report_cases.radiograph_panel(letters=("", "", "", ""))
    content = render_study(*radiograph_case(panel), context())
    assert not [box for box in placed_words(content, 0) if box[4] in {"R", "L", "H", "F"}]
    assert "orientation of this image is unknown" in words(content, 0)


def test_a_picture_without_spacing_says_so_instead_of_a_scale_bar():
    panel = report_cases.radiograph_panel(pixel_mm=None)
    content = render_study(*radiograph_case(panel), context())
    assert words(content, 0).count("no calibrated spacing: pixels") == 2
    assert "50 mm" not in words(content, 0)


def test_the_scale_bar_is_as_long_as_it_says(radiograph, radiograph_pdf):
    left, right, _, bottom = edges(radiograph[1][0], radiograph_pdf)[0]
    page = pixels(radiograph_pdf, dpi=288)
    dark = (page.astype(int).max(axis=-1) < 90)[-round((bottom - 6) * 4) : -round((bottom - 30) * 4)]
    dark = dark[:, round((left - 2) * 4) : round((right + 2) * 4)]
    longest = max(len(run) for row in dark for run in "".join("x" if one else " " for one in row).split())
    scale = (right - left - 2 * 0.6 * 72 / 25.4) * 4 / (160 * 2.0)
    assert longest / scale == pytest.approx(50, rel=0.04)


def test_a_map_that_failed_its_tests_is_drawn_hatched_with_the_words(radiograph):
    record, panels = radiograph
    failed = tuple(replace(one, checks={"D05": Outcome.FLAG}) for one in record.explanations)
    content = render_study(replace(record, explanations=failed), panels, context())
    assert words(content, 0).count("not evidence: failed D05") == 2, "over the key picture and in the sentence"
    assert words(content).count("not evidence: failed D05") >= 2 + len(failed)
    assert "cross-hair" not in words(content)
    assert "not evidence" not in words(render_study(record, panels, context()))


def test_the_colour_bar_shows_the_maximum_of_the_whole_map_not_of_the_slice(volume):
    record, panels = volume
    facts = record.explanations[0]
    larger = replace(facts, statistics=replace(facts.statistics, max=8.88, peak_value=8.88))
    content = render_study(replace(record, explanations=(larger, *record.explanations[1:])), panels, context())
    assert words(content, 0).count("8.88") >= 2


def test_a_map_without_positive_evidence_says_so(radiograph):
    record, panels = radiograph
    empty = tuple(replace(one, statistics=replace(one.statistics, max=-0.5)) for one in record.explanations)
    content = render_study(replace(record, explanations=empty), panels, context())
    assert "no positive evidence" in words(content, 0)


def test_every_method_of_a_radiograph_is_compared_on_one_slice(radiograph, radiograph_pdf):
    text = words(radiograph_pdf)
    strip = text[text.index("3 methods on the same image, for pneumothorax Raw image") : text.index("Map statistics")]
    for facts, name in zip(radiograph[0].explanations, ("Grad-CAM", "HiResCAM", "Layer-CAM"), strict=True):
        assert name in strip
        assert numbers.short(facts.statistics.max) in strip


def test_the_caption_gives_slice_position_window_peak_and_cell(volume_pdf):
    page = words(volume_pdf, 1)
    assert "Axial, slice 40, at H 140.0 mm. Window centre \u2212600 width 1500 HU." in page
    assert "Sagittal, slice 100, at L 70.0 mm." in page
    assert "L 70.0, P 25.0, H 140.0 mm" in page
    assert "Cell of the map: 32 \u00d7 40 \u00d7 45 mm." in page
    assert "the patient's right is on the left of the page" in page


def test_panels_of_a_second_target_are_shown_after_the_first(volume):
    record, panels = volume
    second = [replace(panel, target=0, maps={"hirescam": panel.maps["hirescam"]}) for panel in panels[:3]]
    content = render_study(record, [*panels, *second], context())
    text = words(content)
    assert text.index("Logit units, HiResCAM for nodule") < text.index("Logit units, HiResCAM for no nodule")


@pytest.fixture(scope="module")
def two_targets():
    """Two classes, two methods, eight slices, and as many checks as a standard audit makes."""
    record, panels = report_cases.two_targets_case()
    return replace(record, findings=report_cases.VOLUME_FINDINGS * 2), panels


@pytest.mark.parametrize("paper", ["a4", "letter"])
def test_a_volume_with_two_classes_two_methods_and_eight_slices_takes_at_most_six_pages(two_targets, paper):
    content = render_study(*two_targets, context(settings=ReportSection(paper=paper)))
    assert page_count(content) <= 6
    text = words(content)
    for plane in (
        "Axial, slice 40",
        "Coronal, slice 70",
        "Sagittal, slice 100",
        "Axial, slice 20",
        "Coronal, slice 60",
    ):
        assert plane in text
    assert "The 8 slices with the most evidence that lie half a cell of the map apart, HiResCAM for nodule" in text
    assert len(embedded_pictures(content)) == 2 + 9 + 16 + 9


def embedded_pictures(content):
    """Photographs of all pages; colour bars are wide and low."""
    reader = pypdf.PdfReader(io.BytesIO(content))
    return [one for page in reader.pages for one in page.images if one.image.height * 4 > one.image.width]


def test_the_three_planes_of_both_methods_stand_on_page_two(two_targets):
    page = words(render_study(*two_targets, context()), 1)
    assert "HiResCAM and Grad-CAM for nodule" in page
    assert page.count("HiResCAM. Cross-hair: middle of the strongest evidence, L 70.0, P 25.0, H 140.0 mm.") == 3
    assert "Sagittal, slice 100" in page
    assert "Logit units, Grad-CAM for nodule" in page


def test_the_caption_of_the_lines_speaks_of_the_whole_map_and_is_missing_without_lines(radiograph, radiograph_pdf):
    assert "Lines hold 50 % (solid) and 80 % (dashed) of the positive evidence of the whole map." in words(
        radiograph_pdf, 0
    )
    record, panels = radiograph
    flat = tuple(replace(one, statistics=replace(one.statistics, mass_levels=None)) for one in record.explanations)
    assert "Lines hold" not in words(render_study(replace(record, explanations=flat), panels, context()))


def test_slices_that_the_planes_already_show_are_not_drawn_again(volume):
    record, panels = volume
    again = [*panels[:3], replace(panels[0], role="slice")]
    text = words(render_study(record, again, context()))
    assert "The slice with the most evidence is shown above." in text
    assert text.count("Axial, slice 40") == 2, "on page one and among the planes"


def test_header_fields_are_printed_in_words(volume_pdf):
    text = words(volume_pdf)
    assert "Tube voltage, kV" in text
    assert "BodyPartExamined" not in text
    assert "64 slices, step 3 mm, at most 0.0004 mm off their line, even gaps, no tilt" in text


def test_a_study_below_its_threshold_concludes_nothing(radiograph_pdf):
    assert "no class above its threshold highest: pneumothorax, probability 0.250, threshold 0.31" in words(
        radiograph_pdf, 0
    )


def test_sixty_classes_are_all_on_page_one_and_whole_in_the_table():
    record, panels = many_classes_case(60)
    content = render_study(record, panels, context())
    first = words(content, 0)
    assert all(f"finding {number:02d}" in first for number in range(60))
    rest = " ".join(words(content, page) for page in range(1, page_count(content)))
    for name, value in record.prediction.probabilities.items():
        assert f"{name} {numbers.number(record.prediction.logits[name], 4)} {numbers.probability(value)}" in rest
    assert "Reviewer's verdict" in words(content, 0)


@pytest.mark.parametrize("count", [2, 3, 13, 31, 200])
def test_any_number_of_classes_fits(count):
    content = render_study(*many_classes_case(count), context())
    assert "Reviewer's verdict" in words(content, 0)
    assert ("further classes" in words(content, 0)) == (count > 60)


def test_nothing_is_drawn_outside_the_page_or_over_the_footer(volume_pdf):
    for content in (volume_pdf, render_study(*many_classes_case(60), context())):
        for page in range(page_count(content)):
            for left, bottom, right, top, text in placed_words(content, page):
                assert left >= 44, text
                assert right <= 595 - 44, text
                assert bottom > 20, text
                assert top < 842 - 20, text


def test_a_refused_study_is_one_page_with_the_reason_and_what_to_do():
    record = refused_record()
    content = render_study(record, [], context())
    text = words(content)
    assert page_count(content) == 1
    assert "Refused This study was refused before the model was asked." in text
    assert "MissingSlicesError in the stage \u201cload\u201d" in text
    assert record.error.message in text
    assert "Correct or export the study again at its source" in text
    assert "40 files: 38 refused, 2 non-image" in text
    assert record.model.weights_sha256 in text


def test_a_failed_study_keeps_the_prediction_it_had(volume):
    record = replace(
        volume[0], status=Status.FAILED, explanations=(), verdict=None, findings=(),
        error=refused_record().error.__class__(code="LayerError", message="The layer has no spatial output.",
                                               stage="explain"),
    )  # fmt: skip
    text = words(render_study(record, [], context()))
    assert "could not be audited to its end" in text
    assert "nodule; probability 0.897, threshold 0.5" in text
    assert "Check the target layer of the model card" in text


def test_a_failed_study_without_a_reason_says_so():
    assert "No reason was recorded." in words(render_study(refused_record(error=None, files={}), [], context()))


def test_findings_of_a_refused_study_are_shown():
    flag = finding("A01", Outcome.FLAG, "The largest gap is 2.00 of the median gap.", value=2.0, limit=1.5)
    assert flag.message in words(render_study(refused_record(findings=(flag,)), [], context()))


HOSTILE = (
    "<img src='file:///etc/hostname'/>", "<font color='red'>red", "</para><b>",
    "a & b < c > d \"e\" 'f'", "NUL\x00here",
    "turn\u202eround", "\u6f22\u5b57 \u0645\u0631\u062d\u0628\u0627 \u00e9\u0301 \u05e9\u05dc\u05d5\u05dd", "\ud800",
    "x" * 5000, "word " * 3000, "", "{0} %s %(a)s", "\U0001f600",
)  # fmt: skip


@pytest.mark.parametrize("hostile", HOSTILE)
def test_hostile_text_in_every_field_is_printed_as_text(hostile):
    grid, _ = report_cases.coarse_map()
    nasty = finding("D19", Outcome.CRITICAL, hostile, value=0.2, limit=0.5, unit=hostile, slices=tuple(range(500)))
    nasty = replace(nasty, title=hostile, advice=hostile, family=hostile, name=hostile, provenance=hostile)
    panel = report_cases.radiograph_panel(letters=tuple(hostile[:3] for _ in range(4)), plane=hostile or "image")
    record, _ = radiograph_case(panel)
    classes = {f"{hostile}{number}": 0.4 for number in range(3)}
    image = replace(record.image, modality=hostile, unit=hostile, metadata={hostile: hostile}, steps=(hostile,))
    record = replace(
        record, findings=(nasty,) * 7, label=hostile, image=image, files={hostile: 3},
        prediction=replace(record.prediction, probabilities=classes, logits=classes, thresholds={}, device=hostile),
        explanations=(explanation("gradcam", hostile, grid, target=0, layer=hostile, caution=hostile,
                                  checks={f"D{hostile}": Outcome.CRITICAL}),),
        model=replace(record.model, name=hostile, version=hostile, network=hostile, intended_use=hostile),
        verdict=Verdict(prediction=Outcome.CRITICAL, explanation=Outcome.PASS, prediction_code=hostile),
    )  # fmt: skip
    content = render_study(record, [panel], context(audit_name=hostile, intended_use=hostile, versions={"x": hostile}))
    for page in range(page_count(content)):
        for left, _, right, _, _ in placed_words(content, page):
            assert left >= 0
            assert right <= 596
    if hostile.startswith(("<", "a &")):
        assert hostile[:20].replace(" ", "") in words(content).replace(" ", "")


def test_nothing_is_printed_as_nan(radiograph):
    record, panels = radiograph
    facts = record.explanations[0]
    broken = replace(facts, statistics=replace(facts.statistics, mean=float("nan"), std=float("inf")))
    odd = finding("D19", Outcome.ERROR, "The value is not finite.", value=float("nan"), limit=float("inf"))
    text = words(render_study(replace(record, explanations=(broken,), findings=(odd,)), panels, context()))
    assert not re.search(r"\b(nan|inf)\b", text, re.IGNORECASE)
    assert "not finite" in text


def test_a_record_without_panels_maps_window_or_verdict_still_makes_a_report(volume):
    record = replace(volume[0], explanations=(), verdict=None, prediction=None, findings=())
    text = words(render_study(record, [], context()))
    assert "No image of this study was stored" in text
    assert "No verdict was recorded; this is not a pass." in text
    assert "No map was computed." in text
    assert "No check ran on this study." in text


def test_an_empty_or_missing_window_falls_back_to_the_range_of_the_slice(radiograph):
    record, panels = radiograph
    low, high = float(panels[0].anatomy.min()), float(panels[0].anatomy.max())
    for window in (None, (4.0, 4.0)):
        content = render_study(replace(record, image=replace(record.image, window=window)), panels, context())
        assert f"centre {numbers.short((low + high) / 2)} width {numbers.short(high - low)}" in words(content, 0)


def test_a_colour_image_is_shown_in_colour_and_its_map_on_grey():
    pink = np.full((120, 120, 3), (230, 120, 150), np.float32)
    panel = report_cases.radiograph_panel(
        anatomy=pink, maps={"gradcam": np.zeros((120, 120), np.float32)}, peaks={}, letters=("R", "L", "H", "F")
    )
    record, _ = radiograph_case(panel)
    record = replace(record, image=replace(record.image, window=None))
    content = render_study(record, [panel], context())
    raw, overlaid = edges(panel, content)
    page = pixels(content)
    middle = [
        page[round(page.shape[0] - (top + bottom)), round(left + right)] for left, right, top, bottom in (raw, overlaid)
    ]
    assert np.abs(middle[0].astype(int) - (230, 120, 150)).max() < 8
    assert np.ptp(middle[1].astype(int)) < 4


@pytest.mark.parametrize("colour_map", ["viridis", "jet"])
def test_other_colours_and_paper_can_be_asked_for(radiograph, colour_map):
    settings = ReportSection(colour_map=colour_map, paper="letter", opacity=0.9)
    content = render_study(*radiograph, context(settings=settings))
    box = pypdf.PdfReader(io.BytesIO(content)).pages[0].mediabox
    assert (float(box.width), float(box.height)) == (612.0, 792.0)
    for page in range(page_count(content)):
        assert all(right <= 612 - 44 for _, _, right, _, _ in placed_words(content, page))
