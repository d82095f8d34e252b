"""Exactly one image goes to the model: every rule, every reason, and no value that may identify."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit_pipeline.config import InputSection
from audit_pipeline.errors import ConfigError, SeriesChoiceError
from audit_pipeline.load import choose_image
from audit_pipeline.load.candidate import plane_of
from audit_pipeline.load.chosen import settings_from
from audit_pipeline.load.select import choose, reasons, requested_tags, rules_in_words, validate_rules
from audit_pipeline.load.settings import LoadSettings
from audit_pipeline.records import Image, Study
from audit_pipeline.selection import SelectRules

SECRET = "DOE^JANE"


@dataclass
class Plan:
    """A candidate that is no `Image`: nothing has been decoded."""

    modality: str = "CT"
    shape: tuple = (10, 4, 4)
    spacing_mm: tuple = (2.5, 0.7, 0.7)
    affine: np.ndarray | None = None
    metadata: dict = field(default_factory=dict)
    selectors: dict = field(default_factory=dict)


def image(modality="CT", slices=10, **metadata):
    shape = (slices, 4, 4) if slices else (4, 4)
    return Image(
        values=np.zeros(shape, np.float32),
        affine=None,
        spacing_mm=(None,) * len(shape),
        modality=modality,
        unit="HU",
        format="dicom",
        metadata=metadata,
    )


def study(*images):
    return Study(images=images, files=())


def stacked(normal_axis, degrees=0.0, turned_about=None):
    """Return an affine whose slices lie along a world axis, turned by an angle about another one."""
    axes = np.roll(np.eye(3), 2 - normal_axis, axis=0)[[2, 0, 1]]
    if turned_about is not None:
        a, b = (axis for axis in range(3) if axis != turned_about)
        turn = np.eye(3)
        turn[[a, b], [a, b]] = np.cos(np.deg2rad(degrees))
        turn[a, b], turn[b, a] = -np.sin(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
        axes = axes @ turn.T
    affine = np.eye(4)
    affine[:3, :3] = axes.T * [2.5, 0.7, 0.7]
    return affine


def why(candidate, **rules):
    return reasons([candidate], SelectRules(**rules))[0]


def tag(keyword, **condition):
    return {"tags": [{"tag": keyword, **condition}]}


def test_the_only_image_that_fits_is_chosen():
    wanted = image("CT", 30)
    rules = SelectRules(modality=["CT"], min_slices=20, max_slices=40)
    assert choose_image(study(image("MR", 30), wanted, image("CT", 5), image("CT", 50)), rules) is wanted


def test_without_rules_a_single_image_is_chosen():
    only = image(slices=0)
    assert choose_image(study(only), SelectRules()) is only


def test_candidates_need_no_pixels():
    assert choose([Plan(modality="MR"), Plan()], SelectRules(modality="CT")) == 1


def test_every_candidate_is_told_why_it_fails():
    rules = SelectRules(modality=["CT", "PT"], min_slices=20, max_slices=40)
    with pytest.raises(SeriesChoiceError) as caught:
        choose_image(study(image("MR", 30), image("CT", 0), image("CT", 50), image("", 30)), rules)
    message = str(caught.value)
    assert "none of 4 images fits the rules" in message
    assert "MR 30 x 4 x 4: modality MR is not CT or PT" in message
    assert "CT 4 x 4: 1 slice is fewer than 20" in message
    assert "CT 50 x 4 x 4: 50 slices are more than 40" in message
    assert "modality unknown is not" in message


def test_all_rules_that_fail_are_named():
    assert why(Plan(modality="MR"), modality="CT", min_slices=20) == (
        "modality MR is not CT, and 10 slices are fewer than 20"
    )


@pytest.mark.parametrize(
    ("rules", "reason"),
    [
        ({"modality": "ct"}, ""),
        ({"body_part": ["chest", "LUNG"]}, ""),
        ({"body_part": "HEAD"}, "body part CHEST is not HEAD"),
        ({"dimensions": 3}, ""),
        ({"dimensions": 2}, "it is a volume, not a single image"),
        ({"slice_spacing_mm": [1, 3]}, ""),
        ({"slice_spacing_mm": {"max": 2}}, "slice spacing 2.5 mm is not at most 2 mm"),
        ({"slice_spacing_mm": {"min": 3}}, "slice spacing 2.5 mm is not at least 3 mm"),
        ({"pixel_spacing_mm": [0.5, 1]}, ""),
        ({"pixel_spacing_mm": [0.8, 1]}, "pixel spacing 0.7 x 0.7 mm is not 0.8 to 1 mm"),
        ({"image_type": ["axial", "ORIGINAL"]}, ""),
        ({"image_type": "LOCALIZER"}, r"image type ORIGINAL\PRIMARY\AXIAL lacks LOCALIZER"),
    ],
)
def test_each_rule_holds_or_says_why_not(rules, reason):
    candidate = Plan(metadata={"BodyPartExamined": "CHEST", "ImageType": "ORIGINAL\\PRIMARY\\AXIAL"})
    assert why(candidate, **rules) == reason


def test_what_is_unknown_does_not_fit_and_is_called_unknown():
    bare = Plan(modality="", shape=(4, 4), spacing_mm=(None, None))
    rules = {"modality": "CT", "body_part": "CHEST", "orientation": "axial", "image_type": "ORIGINAL"}
    reason = why(bare, **rules, slice_spacing_mm=[1, 2], pixel_spacing_mm=[1, 2], dimensions=3)
    for what in ("modality", "body part", "plane", "image type", "slice spacing", "pixel spacing"):
        assert f"{what} unknown" in reason
    assert "it is a single image, not a volume" in reason


def test_a_spacing_fitted_from_rounded_positions_still_meets_its_limit():
    assert why(Plan(spacing_mm=(2.4999, 0.7, 0.7)), slice_spacing_mm=[2.5, 5]) == ""
    assert why(Plan(spacing_mm=(2.49, 0.7, 0.7)), slice_spacing_mm=[2.5, 5]) != ""


@pytest.mark.parametrize(("axis", "plane"), [(0, "sagittal"), (1, "coronal"), (2, "axial")])
@pytest.mark.parametrize(("degrees", "is_named"), [(0, True), (14.9, True), (15.1, False), (45, False)])
def test_a_plane_is_named_within_15_degrees_and_oblique_beyond(axis, plane, degrees, is_named):
    affine = stacked(axis, degrees, turned_about=(axis + 1) % 3)
    expected = plane if is_named else "oblique"
    assert plane_of(Plan(affine=affine)) == expected
    assert why(Plan(affine=affine), orientation=expected) == ""


def test_the_plane_of_a_single_image_is_that_of_its_two_axes():
    affine = np.eye(4)
    affine[:3, 0], affine[:3, 1], affine[:3, 2] = [0, 0, -1], [0, 1, 0], [1, 0, 0]
    assert plane_of(Plan(shape=(4, 4), spacing_mm=(1.0, 1.0), affine=affine)) == "sagittal"


def test_a_tilted_gantry_keeps_the_plane_of_its_slices():
    affine = stacked(2)
    affine[1, 0] = 2.0  # the step leans, the slices stay upright
    assert plane_of(Plan(affine=affine)) == "axial"


def test_a_degenerate_affine_has_no_plane():
    assert plane_of(Plan(affine=np.zeros((4, 4)))) is None


CT = Plan(
    metadata={
        "KVP": 120.0,
        "ConvolutionKernel": "B30f",
        "ImageType": "ORIGINAL\\PRIMARY\\AXIAL",
        "ImagerPixelSpacing": "0.2\\0.4",
        "EchoTime": None,
        "LongOne": "a" * 300,
    }
)


@pytest.mark.parametrize(
    ("rule", "reason"),
    [
        (tag("KVP", equals=120), ""),
        (tag("KVP", equals="120"), ""),
        (tag("KVP", equals=100), "KVP is 120, not 100"),
        (tag("KVP", one_of=[100, 120]), ""),
        (tag("KVP", one_of=[80, "90"]), "KVP is 120, not 80 or 90"),
        (tag("KVP", min=100, max=130), ""),
        (tag("KVP", max=100), "KVP is 120, not at most 100"),
        (tag("ConvolutionKernel", equals="b30F"), ""),
        (tag("ConvolutionKernel", equals=0), "ConvolutionKernel is B30f, not 0"),
        (tag("ConvolutionKernel", matches="^B[34]0"), ""),
        (tag("ConvolutionKernel", matches="b99"), "ConvolutionKernel is B30f, not like 'b99'"),
        (tag("ConvolutionKernel", min=3), "ConvolutionKernel is B30f, not at least 3"),
        (tag("ConvolutionKernel", present=False), "ConvolutionKernel is present"),
        (tag("EchoTime", equals=5), "EchoTime differs between the slices"),
        (tag("EchoTime", present=True), ""),
        (tag("RepetitionTime", present=True), "RepetitionTime is absent"),
        (tag("RepetitionTime", present=False), ""),
        (tag("RepetitionTime", equals=5), "RepetitionTime is absent"),
    ],
)
def test_a_condition_on_a_field_holds_or_says_why_not(rule, reason):
    assert why(CT, **rule) == reason


@pytest.mark.parametrize(
    ("rule", "fits"),
    [
        (tag("ImageType", equals="PRIMARY"), True),
        (tag("ImageType", equals="ORIGINAL\\PRIMARY\\AXIAL"), True),
        (tag("ImageType", equals="ORIGINAL\\PRIMARY"), False),
        (tag("ImageType", matches="^AXIAL$"), True),
        (tag("ImageType", matches=r"^ORIGINAL\\.*AXIAL$"), True),
        (tag("ImagerPixelSpacing", min=0.1, max=0.5), True),
        (tag("ImagerPixelSpacing", min=0.3, max=0.5), False),
    ],
)
def test_of_several_values_one_or_all_joined_must_match_and_every_number_must_lie_within(rule, fits):
    assert (why(CT, **rule) == "") is fits


def test_a_value_that_is_too_long_matches_no_pattern():
    assert why(CT, **tag("LongOne", matches="a")).startswith("LongOne is aaa")


def test_levels_of_all_any_and_none_nest():
    rules = {
        "any": [{"modality": "MR"}, {"modality": "CT", "all": [{"min_slices": 5}, {"max_slices": 20}]}],
        "none": [tag("ConvolutionKernel", matches="^B6")],
    }
    assert why(CT, **rules) == ""
    assert why(Plan(modality="CT", shape=(30, 4, 4)), **rules) == (
        "no alternative holds: (modality CT is not MR); (30 slices are more than 20)"
    )
    assert why(Plan(metadata={"ConvolutionKernel": "B60f"}), **rules) == ("excluded as (ConvolutionKernel like '^B6')")


def test_rules_are_put_into_words():
    rules = SelectRules(
        modality=["CT", "MR"],
        orientation="axial",
        dimensions=3,
        min_slices=1,
        max_slices=300,
        pixel_spacing_mm=[None, 1],
        image_type=["ORIGINAL"],
        tags=[{"tag": "KVP", "min": 100}, {"tag": "SeriesDescription", "present": False}],
        any=[{"modality": "CT"}, {"body_part": "CHEST", "min_slices": 9}],
        none=[{"tags": [{"tag": "KVP", "one_of": [80, 90]}]}],
    )
    assert rules_in_words(rules) == (
        "modality CT or MR",
        "plane axial",
        "a volume",
        "at least 1 slice",
        "at most 300 slices",
        "pixel spacing at most 1 mm",
        "image type with ORIGINAL",
        "KVP at least 100",
        "SeriesDescription absent",
        "any of (modality CT); (body part CHEST, and at least 9 slices)",
        "none of (KVP 80 or 90)",
    )
    assert rules_in_words(SelectRules()) == ()


words = st.sampled_from(["CT", "MR", "PT"])
candidates = st.builds(
    Plan,
    modality=words,
    shape=st.tuples(st.integers(1, 40), st.just(4), st.just(4)),
    metadata=st.fixed_dictionaries({"KVP": st.sampled_from([80.0, 100.0, 120.0])}),
)
simple = st.one_of(
    st.builds(lambda word: {"modality": word}, words),
    st.builds(lambda number: {"min_slices": number}, st.integers(1, 40)),
    st.builds(lambda number: tag("KVP", max=number), st.integers(70, 130)),
)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(candidates, st.lists(simple, min_size=1, max_size=3))
def test_all_any_and_none_are_the_connectives_of_logic(candidate, levels):
    fits = [why(candidate, **one) == "" for one in levels]
    assert (why(candidate, all=levels) == "") is all(fits)
    assert (why(candidate, any=levels) == "") is any(fits)
    assert (why(candidate, none=levels) == "") is not any(fits)


def test_only_fields_outside_the_allow_list_are_requested_each_once():
    rules = SelectRules(
        **tag("KVP", min=3),
        any=[tag("SeriesDescription", matches="x"), tag("Stack", equals="y")],
        none=[{"all": [tag("SeriesDescription", matches="z"), tag("ContrastBolusAgent", present=True)]}],
    )
    assert requested_tags(rules) == ("SeriesDescription", "ContrastBolusAgent")


def test_no_message_quotes_a_value_from_outside_the_allow_list():
    plan = Plan(selectors={"SeriesDescription": SECRET, "PatientWeight": "88\\77"}, metadata={"KVP": 120.0})
    asked = [
        tag("SeriesDescription", equals="lung"),
        tag("SeriesDescription", matches="^lung"),
        tag("SeriesDescription", present=False),
        tag("PatientWeight", max=60),
    ]
    told = [why(plan, **rule) for rule in asked]
    assert told[0] == "SeriesDescription is not lung"
    assert told[1] == "SeriesDescription is not like '^lung'"
    for rules in [*asked, {}]:
        with pytest.raises(SeriesChoiceError) as caught:
            choose([plan, plan], SelectRules(**rules))
        assert not any(value in str(caught.value) for value in (SECRET, "88", "77"))


def test_a_requested_field_decides_the_choice():
    plans = [
        Plan(selectors={"SeriesDescription": "Lunge 1,0"}),
        Plan(selectors={"SeriesDescription": "Knochen"}),
        Plan(),
    ]
    rules = SelectRules(**tag("SeriesDescription", matches="(?i)lung"))
    assert choose(plans, rules) == 0
    assert reasons(plans, rules)[2] == "SeriesDescription is absent or differs between the slices"


@pytest.mark.parametrize(
    ("rules", "told"),
    [
        (
            tag("ConvolutionKernal", equals="x"),
            "tags.0.tag: 'ConvolutionKernal' is no keyword of DICOM PS3.6; did you mean",
        ),
        (tag("seriesdescription", equals="x"), "did you mean 'SeriesDescription'"),
        (tag("x9", equals="x"), "keywords are written like SeriesDescription"),
        (tag("PixelData", present=True), "PixelData holds no text or number"),
        (tag("RequestAttributesSequence", present=True), "holds no text or number"),
    ],
)
def test_rules_that_cannot_be_followed_are_refused_with_their_path(rules, told):
    with pytest.raises(ConfigError) as caught:
        validate_rules(SelectRules(**rules))
    assert told in str(caught.value)


def test_rules_that_can_be_followed_are_accepted():
    validate_rules(SelectRules(**tag("Stack", equals="EchoTime 1 of 2"), any=[tag("EchoTime", max=20)]))


def test_every_choice_of_the_configuration_reaches_the_loader():
    section = InputSection(
        select=tag("SeriesDescription", matches="x"),
        gaps="fill",
        polarity="stored",
        volume=2,
        prefer_affine="qform",
        uneven="resample",
        suv="body_weight",
        part="phase",
    )
    assert settings_from(section, 3) == LoadSettings(
        gaps="fill",
        polarity="stored",
        volume=2,
        prefer_affine="qform",
        uneven="resample",
        suv="body_weight",
        part="phase",
        selector_tags=("SeriesDescription",),
        workers=3,
    )
    assert settings_from(InputSection()) == LoadSettings()


def test_a_wrong_rule_stops_before_anything_is_loaded():
    with pytest.raises(ConfigError, match="did you mean 'EchoTime'"):
        settings_from(InputSection(select=tag("EchoTimes", max=3)))


AXIAL, SAGITTAL = stacked(2), stacked(0)


@pytest.mark.parametrize(
    ("fitting", "hint"),
    [
        ([Plan(), Plan("MR")], "select.modality would separate them: CT, MR"),
        ([Plan(affine=AXIAL), Plan(affine=SAGITTAL)], "select.orientation would separate them: axial, sagittal"),
        ([Plan(), Plan(shape=(30, 4, 4)), Plan()], "select.min_slices 11 would leave one"),
        (
            [Plan(shape=(5, 4, 4)), Plan(shape=(30, 4, 4)), Plan(shape=(30, 4, 4))],
            "select.max_slices 29 would leave one",
        ),
        ([Plan(), Plan(spacing_mm=(1.25, 0.7, 0.7))], "select.slice_spacing_mm with max 1.88 would leave one"),
        (
            [Plan(spacing_mm=(one, 0.7, 0.7)) for one in (1.0, 1.0, 5.0)],
            "select.slice_spacing_mm with min 3 would leave one",
        ),
        ([Plan(), Plan(spacing_mm=(2.5, 0.4, 0.4))], "select.pixel_spacing_mm with max 0.55 would leave one"),
        (
            [Plan(metadata={"ConvolutionKernel": one, "KVP": 120.0}) for one in ("B60f", "B30f")],
            "select.tags on ConvolutionKernel would separate them: B30f, B60f",
        ),
        (
            [Plan(metadata={"Stack": f"EchoTime {one} of 2"}) for one in (1, 2)],
            "select.tags on Stack would separate them: EchoTime 1 of 2, EchoTime 2 of 2",
        ),
        (
            [Plan(metadata={"EchoTime": one, "SoftwareVersions": str(one)}) for one in (5.0, 9.5)],
            "select.tags on EchoTime would separate them: 5, 9.5",
        ),
        (
            [Plan(metadata={"ContrastBolusAgent": one}) for one in ("yes", "no")],
            "select.tags on ContrastBolusAgent with present: true or false would separate them",
        ),
        (
            [Plan(metadata={"SoftwareVersions": one}) for one in ("VA", "VA", "VB")],
            "select.tags on SoftwareVersions, VB, would leave one",
        ),
        (
            [Plan(metadata={"SoftwareVersions": f"V{one}"}) for one in range(9)],
            "would separate them: V0, V1, V2, V3, V4, V5 and 3 more",
        ),
        ([Plan(metadata={"EchoTime": None}), Plan(spacing_mm=(None,) * 3)], "name one that does under select.tags"),
    ],
)
def test_several_that_fit_are_told_the_separating_rule(fitting, hint):
    with pytest.raises(SeriesChoiceError) as caught:
        choose(fitting, SelectRules())
    assert f"{len(fitting)} images fit the rules" in str(caught.value)
    assert hint in str(caught.value)


def test_twenty_candidates_make_one_readable_sentence():
    plans = [Plan("MR", (one % 3 + 10, 4, 4)) for one in range(12)] + [Plan(shape=(one + 2, 4, 4)) for one in range(8)]
    with pytest.raises(SeriesChoiceError) as caught:
        choose(plans, SelectRules(modality="CT", min_slices=40, body_part="CHEST"))
    assert str(caught.value) == (
        "none of 20 images fits the rules ("
        "4 times MR 10 x 4 x 4 and 4 times MR 11 x 4 x 4 and 4 times MR 12 x 4 x 4: modality MR is not CT, and more; "
        "CT 2 x 4 x 4 and CT 3 x 4 x 4 and CT 4 x 4 x 4 and 5 more kinds: body part unknown is not CHEST, and more"
        "); change input.select, with the help of inspect --explain-selection"
    )


def test_candidates_that_all_fail_differently_are_cut_to_the_first_six():
    plans = [Plan(shape=(one + 2, 4, 4)) for one in range(9)]
    with pytest.raises(SeriesChoiceError, match="3 more kinds") as caught:
        choose(plans, SelectRules(min_slices=40))
    assert str(caught.value).count("fewer than 40") == 6


def test_a_study_with_one_image_that_does_not_fit_is_told_so():
    with pytest.raises(SeriesChoiceError, match=r"the only image does not fit the rules \(CT 10 x 4 x 4: modality CT"):
        choose([Plan()], SelectRules(modality="MR"))
