"""The header against the allow-lists of the model card."""

import pytest
from evidence_factories import make_evidence, make_image

from audit_pipeline.checks.intended import age_years, out_of_range, wrong_input
from audit_pipeline.evidence import IntendedUse
from audit_pipeline.findings import Outcome

HEADER = {"BodyPartExamined": "Chest", "ViewPosition": "PA", "PatientAge": "045Y"}


def judged(header=None, **allowed):
    image = make_image(metadata=HEADER if header is None else header)
    return wrong_input(make_evidence(image=image, intended=IntendedUse(**allowed)))


def ranged(header=None, **allowed):
    image = make_image(metadata=HEADER if header is None else header)
    return out_of_range(make_evidence(image=image, intended=IntendedUse(**allowed)))


def test_everything_allowed_passes():
    assert judged(modality=("CT",), body_part=("CHEST",), view=("pa", "AP")).outcome is Outcome.PASS
    assert ranged(age=(18, 90), spacing_mm=(0.5, 2.0)).outcome is Outcome.PASS


def test_a_card_without_limits_allows_everything():
    assert judged().outcome is Outcome.PASS
    assert ranged().outcome is Outcome.PASS


def test_another_modality_is_critical_and_named():
    finding = wrong_input(make_evidence(image=make_image(modality="MR"), intended=IntendedUse(modality=("CT", "PT"))))
    assert finding.outcome is Outcome.CRITICAL
    assert finding.message == "The modality is MR, and CT or PT is allowed."


@pytest.mark.parametrize(
    ("allowed", "words"),
    [
        ({"body_part": ("ABDOMEN",)}, "The body part is Chest, and ABDOMEN is allowed."),
        ({"view": ("LATERAL",)}, "The view is PA, and LATERAL is allowed."),
        ({"header": {"ContrastBolusAgent": ("yes",)}}, "The contrast bolus agent is no, and yes is allowed."),
    ],
)
def test_another_field_is_flagged_with_what_was_found_and_what_is_allowed(allowed, words):
    image = make_image(metadata=HEADER | {"ContrastBolusAgent": "no"})
    finding = wrong_input(make_evidence(image=image, intended=IntendedUse(**allowed)))
    assert (finding.outcome, finding.message) == (Outcome.FLAG, words)


@pytest.mark.parametrize(
    ("allowed", "words"),
    [
        ({"age": (0, 18)}, "The age is in the band 40-49 years, and 0 to 18 years is allowed."),
        ({"spacing_mm": (2.0, 5.0)}, "The spacing is 1 x 1 mm, and 2 to 5 mm is allowed."),
        ({"ranges": {"SliceThickness": (0.5, 5)}}, "The slice thickness is 10, and 0.5 to 5 is allowed."),
        ({"ranges": {"KVP": (100, 140)}}, "The KVP is 80, and 100 to 140 is allowed."),
    ],
)
def test_a_number_out_of_range_is_flagged_with_what_was_found_and_what_is_allowed(allowed, words):
    finding = ranged(HEADER | {"SliceThickness": 10.0, "KVP": "80"}, **allowed)
    assert (finding.outcome, finding.message) == (Outcome.FLAG, words)


@pytest.mark.parametrize("value", [None, "thick", True])
def test_a_number_the_header_does_not_tell_is_open(value):
    assert ranged({"SliceThickness": value}, ranges={"SliceThickness": (1, 5)}).outcome is Outcome.NOT_EVALUABLE


def test_several_wrong_fields_are_all_named_and_the_worst_decides():
    image = make_image(modality="MR", metadata=HEADER)
    finding = wrong_input(make_evidence(image=image, intended=IntendedUse(modality=("CT",), view=("AP",))))
    assert finding.outcome is Outcome.CRITICAL
    assert finding.value == 2
    assert "modality is MR" in finding.message
    assert "view is PA" in finding.message


def test_a_field_the_header_leaves_open_is_never_a_pass():
    assert judged(header={}, body_part=("CHEST",)).outcome is Outcome.NOT_EVALUABLE
    both = judged(header={"ViewPosition": "PA"}, body_part=("CHEST",), view=("PA",))
    assert both.outcome is Outcome.NOTE
    assert "body part" in both.message


def test_a_nifti_file_has_no_modality_to_compare():
    image = make_image(modality="", format="nifti")
    assert (
        wrong_input(make_evidence(image=image, intended=IntendedUse(modality=("CT",)))).outcome is Outcome.NOT_EVALUABLE
    )


def test_unknown_spacing_is_open_but_a_known_axis_out_of_range_is_wrong():
    image = make_image(spacing_mm=(None, 9.0))
    intended = IntendedUse(spacing_mm=(0.5, 2.0))
    assert out_of_range(make_evidence(image=image, intended=intended)).outcome is Outcome.FLAG
    image = make_image(spacing_mm=(None, 1.0))
    assert out_of_range(make_evidence(image=image, intended=intended)).outcome is Outcome.NOT_EVALUABLE


def test_a_high_age_is_not_printed():
    finding = ranged(header={"PatientAge": "093Y"}, age=(18, 80))
    assert "93" not in finding.message
    assert "in the band 90+ years" in finding.message


@pytest.mark.parametrize(
    ("text", "years"),
    [
        ("045Y", 45),
        ("018M", 1.5),
        ("026W", 26 * 7 / 365.25),
        ("010D", 10 / 365.25),
        (31.0, 31),
        ("", None),
        (None, None),
    ],
)
def test_ages_are_read_in_the_units_of_the_header(text, years):
    assert age_years(text) == (None if years is None else pytest.approx(years))


def test_an_age_the_header_does_not_tell_is_open():
    finding = ranged(header={}, age=(18, 80))
    assert finding.outcome is Outcome.NOT_EVALUABLE
    assert "age" in finding.message
