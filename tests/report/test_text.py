from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import report_cases
from report_cases import VOLUME_FINDINGS, explanation, finding, radiograph_case, refused_record

from audit_pipeline.findings import Outcome
from audit_pipeline.records import Status
from audit_pipeline.report import audit_text, input_facts, map_words, numbers, story_text, text, vocabulary
from audit_pipeline.study_record import PredictionFacts


def prediction(probabilities, predicted, thresholds=None):
    return PredictionFacts(
        task="multilabel", logits=dict.fromkeys(probabilities, 0.0), probabilities=probabilities, predicted=predicted,
        thresholds=thresholds or {}, device="cpu", precision="fp32",
    )  # fmt: skip


def test_every_outcome_and_status_has_its_word():
    assert set(vocabulary.OUTCOME_WORDS) == set(Outcome) == set(vocabulary.WORST_FIRST)
    assert set(vocabulary.STATUS_WORDS) == set(Status)


@pytest.mark.parametrize("outcome", list(Outcome))
def test_every_verdict_has_a_meaning_and_only_a_pass_sounds_like_one(outcome):
    meaning = text.verdict_meaning("prediction", outcome)
    assert "prediction" in meaning
    assert ("No check spoke against" in meaning) == (outcome is Outcome.PASS)


def test_one_concluded_class_is_the_headline():
    facts = prediction({"a": 0.91234, "b": 0.08}, ("a",), {"a": 0.5})
    assert text.conclusion(facts) == ("a", ("probability 0.912, threshold 0.5",))


def test_several_concluded_classes_are_counted_and_the_most_probable_named():
    facts = prediction({"a": 0.6, "b": 0.9, "c": 0.7, "d": 0.8, "e": 0.65}, ("a", "b", "c", "d", "e"))
    headline, sentences = text.conclusion(facts)
    assert headline == "5 classes"
    assert sentences[0] == "b: probability 0.900, no threshold stated"
    assert sentences[-1] == "and 2 more classes"
    assert text.conclusion(replace(facts, predicted=("a", "b", "c", "d")))[1][-1] == "and 1 more class"


def test_no_concluded_class_names_the_highest():
    facts = prediction({"a": 0.2}, (), {"a": 0.31})
    assert text.conclusion(facts) == (
        "no class above its threshold",
        ("highest: a, probability 0.200, threshold 0.31",),
    )


def test_a_prediction_without_probabilities_says_so():
    assert text.conclusion(prediction({}, ())) == ("no class", ("The record holds no probabilities.",))
    assert text.prediction_cell(None) == "no prediction"
    assert text.prediction_cell(prediction({"a": 0.2}, ())) == "no class (highest: a 0.200)"


@pytest.mark.parametrize(
    ("outcome", "value", "expected"),
    [
        (Outcome.PASS, 0.1, "\u2264 0.5"),
        (Outcome.PASS, 0.9, "\u2265 0.5"),
        (Outcome.FLAG, 0.9, "\u2264 0.5"),
        (Outcome.CRITICAL, 0.1, "\u2265 0.5"),
        (Outcome.NOTE, 0.1, "0.5"),
        (Outcome.ERROR, 0.1, "0.5"),
        (Outcome.PASS, 0.5, "0.5"),
        (Outcome.NOT_EVALUABLE, None, "0.5"),
    ],
)
def test_the_allowed_side_of_a_limit_is_named_only_where_value_and_outcome_tell_it(outcome, value, expected):
    assert text.limit_words(finding("C04", outcome, "", value=value, limit=0.5)) == expected


def test_no_limit_is_a_dash():
    assert text.limit_words(finding("C04", Outcome.PASS, "", value=1.0)) == "\u2013"


def test_a_message_with_its_number_is_left_alone_and_one_without_gets_it():
    told = finding("C04", Outcome.FLAG, "It is 0.031.", value=0.031, limit=0.05, unit="share")
    assert text.finding_sentence(told) == "It is 0.031."
    silent = finding("C04", Outcome.FLAG, "Too close.", value=0.031, limit=0.05, unit="share")
    assert text.finding_sentence(silent) == "Too close. (value 0.0310 share, limit 0.05)"
    assert text.finding_sentence(replace(silent, limit=None, unit="")) == "Too close. (value 0.0310)"
    assert text.finding_sentence(replace(silent, message=" ", value=None)) == "No message was recorded."


def test_a_number_that_is_only_part_of_another_is_not_taken_for_the_value():
    tiny = finding("C04", Outcome.PASS, "10 positions deviate.", value=1.6e-13, limit=0.01)
    assert text.finding_sentence(tiny) == "10 positions deviate. (value 0, limit 0.01)"
    assert text.finding_sentence(replace(tiny, message="It is 0.")) == "It is 0."


def test_a_finding_without_a_title_is_called_by_its_name():
    assert text.finding_title(replace(VOLUME_FINDINGS[0], title="")) == "missing slices"


def test_more_findings_in_singular_plural_and_none():
    assert text.more_findings(0) == ""
    assert text.more_findings(1).startswith("1 more finding that matters:")
    assert text.more_findings(3).startswith("3 more findings that matter:")


@pytest.mark.parametrize(
    ("checks", "words"),
    [
        ({}, ""),
        ({"D05": Outcome.PASS, "D21": Outcome.FLAG}, ""),
        ({"D05": Outcome.FLAG}, "not evidence: failed D05"),
        ({"D21": Outcome.CRITICAL, "D02": Outcome.CRITICAL}, "not evidence: failed D02, D21"),
        ({"C04": Outcome.CRITICAL, "D21": Outcome.NOT_EVALUABLE}, ""),
    ],
)
def test_a_map_is_rejected_by_a_critical_explanation_check_or_a_flag_of_d05(checks, words):
    grid, _ = report_cases.coarse_map()
    assert text.rejection(explanation("gradcam", "nodule", grid, checks=checks)) == words


def test_no_map_is_not_rejected():
    assert text.rejection(None) == ""


def test_the_judgement_of_a_map_counts_what_was_not_evaluable_apart():
    grid, _ = report_cases.coarse_map()
    judged = {
        (): "not judged",
        (("D05", Outcome.PASS),): "1 check, none against",
        (("D05", Outcome.PASS), ("D02", Outcome.NOTE), ("D21", Outcome.NOT_EVALUABLE)): (
            "2 checks, none against; 1 not evaluable"
        ),
        (("D05", Outcome.PASS), ("D21", Outcome.FLAG)): "D21 flag",
    }
    for checks, words in judged.items():
        assert text.judged(explanation("gradcam", "nodule", grid, checks=dict(checks))) == words


def test_the_convention_is_claimed_only_when_the_letters_bear_it_out():
    panel = report_cases.radiograph_panel(plane="axial")
    assert text.convention([panel]).startswith("Radiological convention")
    turned = replace(panel, letters=("L", "R", "A", "P"))
    assert "Radiological" not in text.convention([panel, turned])
    assert "unknown" in text.convention([replace(panel, letters=("", "", "", ""))])
    assert "unknown" in text.convention([])


def test_the_place_of_the_evidence_is_in_mm_when_known_and_in_voxels_otherwise():
    grid, _ = report_cases.coarse_map()
    facts = explanation("hirescam", "nodule", grid)
    assert map_words.map_sentence(facts, report_cases.AFFINE).endswith("in the cell at L 70.0, P 25.0, H 140.0 mm.")
    unplaced = replace(facts, statistics=replace(facts.statistics, peak_position_mm=None))
    assert map_words.map_sentence(unplaced).endswith("in the cell at voxel (40, 70, 100).")
    assert "lies around voxel (40, 70, 100); it is highest" in map_words.map_sentence(unplaced)
    empty = replace(facts, statistics=replace(facts.statistics, max=0.0))
    assert map_words.map_sentence(empty) == "HiResCAM for nodule holds no positive evidence."
    failed = replace(facts, checks={"D21": Outcome.CRITICAL})
    assert map_words.map_sentence(failed) == "The HiResCAM map for nodule is not evidence: failed D21."


def test_the_cross_hair_stands_at_the_middle_of_the_evidence_and_not_at_the_highest_cell():
    grid, _ = report_cases.coarse_map()
    facts = explanation("hirescam", "nodule", grid)
    off = replace(facts, statistics=replace(facts.statistics, centre_index=(42.0, 66.0, 103.0)))
    moved = np.asarray(report_cases.AFFINE) @ (42.0, 66.0, 103.0, 1.0)
    assert map_words.centre_place(off, report_cases.AFFINE) == numbers.position(moved[:3])
    assert map_words.centre_place(off, None) == "voxel (42, 66, 103)"
    assert map_words.peak_place(off) == "L 70.0, P 25.0, H 140.0 mm"


def test_a_limit_is_signed_by_the_side_that_its_check_declares_whatever_the_outcome():
    beyond = finding("A17", Outcome.NOTE, "It moves.", value=0.9, limit=0.25, direction="above")
    assert text.limit_words(beyond) == "\u2264 0.25"
    assert text.limit_words(replace(beyond, outcome=Outcome.PASS, value=0.1)) == "\u2264 0.25"
    assert text.limit_words(replace(beyond, direction="below")) == "\u2265 0.25"


def test_a_pass_says_how_many_checks_could_not_answer():
    assert text.verdict_meaning("prediction", Outcome.PASS, 0) == "No check spoke against the prediction."
    one = text.verdict_meaning("prediction", Outcome.PASS, 1)
    assert one == "No check spoke against the prediction; 1 check could not be evaluated."
    assert "3 checks could not be evaluated" in text.verdict_meaning("explanation", Outcome.PASS, 3)
    assert "could not be evaluated" not in text.verdict_meaning("prediction", Outcome.FLAG, 3)


def test_the_cell_of_a_map_without_spacing_is_unknown():
    grid, _ = report_cases.coarse_map()
    assert text.cell(explanation("hirescam", "nodule", grid, cell_mm=(None, None))) == "size unknown"


def test_every_stage_has_an_instruction():
    assert all(text.what_to_do(stage) for stage in ("load", "prepare", "predict", "explain", "check", "anything"))
    assert text.without_result(refused_record()) != text.without_result(refused_record(status=Status.FAILED))


def test_many_source_files_are_counted():
    assert input_facts.source_digests(["a" * 64] * 3) == "SHA-256 of 3 files: aaaaaaaaaaaa, aaaaaaaaaaaa, aaaaaaaaaaaa"
    assert input_facts.source_digests(["a" * 64] * 5).endswith("and 2 more")


def test_raised_codes_are_listed_once_worst_first():
    assert text.raised(VOLUME_FINDINGS + VOLUME_FINDINGS) == "D19, D21, C04"
    assert text.raised(VOLUME_FINDINGS[:3]) == ""


def test_no_template_praises_or_claims_compliance():
    words = " ".join(str(value) for value in vars(vocabulary).values()) + text.convention([]) + str(radiograph_case())
    assert "complies" not in words
    assert "looks at" not in words


@pytest.mark.parametrize(
    ("counts", "phrase"),
    [
        ({}, "No study was found."),
        ({"found": 1, "audited": 1}, "Of 1 study found, 1 was audited;"),
        ({"found": 30, "audited": 27, "refused": 3}, "Of 30 studies found, 27 were audited and 3 refused;"),
        (
            {"found": 9, "audited": 0, "refused": 4, "failed": 3, "excluded": 2},
            "0 were audited and 4 refused, 3 failed and 2 excluded;",
        ),
    ],
)
def test_the_opening_counts_in_singular_plural_and_zero(counts, phrase):
    assert phrase in story_text.data({"counts": counts})
    assert "meant for this use: Flag CT." in story_text.question("spring", "net 1", "Flag CT.")
    assert "meant for" not in story_text.question("spring", "net 1", "")


def test_counts_that_do_not_add_up_are_said_to():
    assert "accounted for." in audit_text.balance({"found": 2, "audited": 1, "failed": 1})
    assert audit_text.balance({"found": 3, "audited": 1}) == "The counts do not add up: 3 found, 1 accounted for."


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        (None, "not evaluable: no cases"),
        ({"k": 0, "n": 0, "reason": "no positive case"}, "not evaluable: no positive case"),
        ({"k": 7, "n": 9, "low": 0.4, "high": 0.97}, "7 of 9"),
        ({"k": 19, "n": 20, "low": 0.764, "high": 0.991}, "0.950 (0.764 to 0.991), 19 of 20"),
        ({"k": 20, "n": 20, "low": None, "high": None}, "1.000 (no interval), 20 of 20"),
    ],
)
def test_proportions_are_fractions_below_20_cases_and_never_without_interval(facts, words):
    assert audit_text.proportion(facts) == words


def test_an_auroc_that_cannot_be_computed_gives_its_reason():
    assert audit_text.auroc({"auroc": None, "reason": "one class only"}) == "not evaluable: one class only"
    assert audit_text.auroc({"auroc": None}) == "not evaluable: no reason recorded"
    assert audit_text.auroc({"auroc": 0.91, "auroc_low": 0.8, "auroc_high": 0.99}) == "0.910 (0.800 to 0.990)"


def test_cohort_findings_rank_by_outcome_then_severity_then_number():
    outcomes = {
        "A17": {"flag": 20},
        "D19": {"critical": 1},
        "B07": {"critical": 1},
        "C04": {"flag": 3, "pass": 7},
        "D02": {"pass": 10},
        "X99": {"error": 2},
    }
    assert audit_text.most_important(outcomes, report_cases.MODES) == ["B07", "D19", "X99"]
    assert audit_text.most_important(outcomes, report_cases.MODES, 5)[-2:] == ["A17", "C04"]
    assert audit_text.cohort_finding({"flag": 3, "error": 1}, 10) == "Error in 1 and flag in 3 of 10 audited studies."


def test_the_level_of_the_intervals_is_named_only_when_known():
    assert audit_text.performance_note(0.9).startswith("In brackets: 90 % intervals.")
    assert audit_text.performance_note(None).startswith("In brackets: intervals.")


def test_labels_that_name_no_class_are_counted_in_singular_and_plural():
    assert "1 study has a label that names no class" in audit_text.performance_note(0.95, (), 1)
    assert "2 studies have a label that names no class" in audit_text.performance_note(0.95, ("DeLong",), 2)
    assert "names no class" not in audit_text.performance_note(0.95)
