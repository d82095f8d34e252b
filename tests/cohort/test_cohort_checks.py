"""The checks of the cohort: planted faults are named, clean cohorts are quiet, missing input is never a pass."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from audit_pipeline.bench.cohort_case import clean_cohort
from audit_pipeline.bench.plants_cohort import COHORT_PLANTS
from audit_pipeline.cohort.catalogue import cohort_catalogue
from audit_pipeline.cohort.record import LeftOut, Plan
from audit_pipeline.cohort.run import run_cohort_checks
from audit_pipeline.config import Claim, CohortSection
from audit_pipeline.findings import Outcome

BY_CODE = {entry.mode.code: entry for entry in cohort_catalogue().values()}
EXPECTED = {f"E{number:02d}" for number in range(1, 22)} | {"A23", "D26", "D27"}


def judged(code, cohort, **settings):
    return BY_CODE[code].function(cohort, **settings)


@pytest.fixture(scope="module")
def clean():
    return clean_cohort(240, np.random.default_rng(5))


@pytest.fixture(scope="module")
def clean_findings(clean):
    return {one.finding.code: one for one in run_cohort_checks(clean, CohortSection())}


def test_the_catalogue_holds_every_mode_of_the_cohort():
    assert set(BY_CODE) == EXPECTED
    assert {plant.code for plant in COHORT_PLANTS.values()} == EXPECTED


@pytest.mark.parametrize("name", COHORT_PLANTS)
def test_an_unmistakable_fault_is_found(name):
    plant = COHORT_PLANTS[name]
    cohort = plant.plant(plant.count, 5, np.random.default_rng(3))
    found = judged(plant.code, cohort)
    assert str(found.finding.outcome) in plant.outcomes, found.finding.message


@pytest.mark.parametrize("code", sorted(EXPECTED - {"E02", "E16"}))
def test_a_clean_cohort_passes(clean_findings, code):
    assert clean_findings[code].finding.outcome is Outcome.PASS, clean_findings[code].finding.message


def test_losses_without_a_pattern_are_at_most_noted(clean_findings):
    assert clean_findings["E16"].finding.outcome in {Outcome.PASS, Outcome.NOTE}


def test_groups_that_could_hide_a_gap_are_noted_in_a_clean_cohort(clean_findings):
    assert clean_findings["E02"].finding.outcome is Outcome.NOTE


@pytest.mark.parametrize("code", sorted(EXPECTED))
def test_every_number_comes_with_its_cases_and_every_table_fits_its_head(clean_findings, code):
    found = clean_findings[code]
    assert found.n > 0
    assert found.finding.message.endswith(".")
    for table in found.tables:
        assert all(len(row) == len(table.head) for row in table.rows)


BARE = {
    "subgroups": {}, "sites": (), "periods": (), "readers": {}, "causes": (), "header": {}, "features": None,
    "thumbnails": None, "panel": {}, "measures": {}, "outcomes": {}, "maps": None, "targets": None, "pixels": (),
    "plan": Plan(), "baseline": None, "thresholds": {},
}  # fmt: skip


@pytest.mark.parametrize("code", sorted(EXPECTED - {"E08", "E11", "E15", "E16", "E20"}))
def test_missing_input_is_not_evaluable_and_never_a_pass(clean, code):
    empty = ("",) * len(clean.keys)
    bare = replace(clean, **{**BARE, "sites": empty, "periods": empty, "patients": empty, "splits": empty})
    found = judged(code, bare)
    assert found.finding.outcome is Outcome.NOT_EVALUABLE, found.finding.message


@pytest.mark.parametrize("code", ["E01", "E03", "E04", "E08", "E09", "E11", "E15", "E19", "E20", "E21"])
def test_without_labels_nothing_is_said_about_performance(clean, code):
    unlabelled = replace(clean, is_labelled=np.zeros(len(clean.keys), dtype=bool))
    assert judged(code, unlabelled).finding.outcome is Outcome.NOT_EVALUABLE


def test_fewer_than_ten_of_a_class_are_never_judged(clean):
    rows = np.flatnonzero(clean.truth[:, 1] & ~clean.is_development)
    labelled = clean.is_labelled & ~clean.truth[:, 1]
    labelled[rows[:9]] = True
    few = replace(clean, is_labelled=labelled)
    for code in ("E01", "E04", "E06", "E08", "E11"):
        found = judged(code, few).finding
        assert found.outcome is not Outcome.FLAG, found.message
        assert found.value is None or code == "E01"


def test_a_gap_in_a_declared_group_says_group_metric_and_size():
    cohort = COHORT_PLANTS["blind_in_one_group"].plant(600, 5, np.random.default_rng(3))
    found = judged("E01", replace(cohort, plan=replace(cohort.plan, groups=("Manufacturer",))))
    assert "sensitivity of nodule where manufacturer is" in found.finding.message
    planned = [row for row in found.tables[0].rows if row[8] == "planned"]
    assert {row[1] for row in planned} == {"Manufacturer"}
    assert found.is_planned
    assert not judged("E01", cohort).is_planned


@pytest.mark.parametrize("variant", ["border_removed", "text_removed", "padding_changed", "padding_widened", "grained"])
def test_a_model_that_gets_worse_without_its_surroundings_reads_them(clean, variant):
    kept = replace(clean, panel={variant: clean.probabilities})
    lost = replace(clean, panel={variant: np.random.default_rng(1).permutation(clean.probabilities)})
    assert judged("E06", kept).finding.outcome is Outcome.PASS
    found = judged("E06", lost).finding
    assert found.outcome is Outcome.FLAG
    assert ("noise softened" if variant == "grained" else variant.replace("_", " ")) in found.message
    whole = judged("E06", lost)
    assert whole.low < whole.finding.value < whole.high


@pytest.mark.parametrize(("variant", "told"), [("constant", "even grey"), ("noise", "noise alone")])
def test_a_model_that_tells_the_classes_without_any_image_is_flagged(clean, variant, told):
    blank = replace(clean, panel={variant: np.random.default_rng(1).permutation(clean.probabilities)})
    assert judged("E06", blank).finding.outcome is Outcome.PASS
    found = judged("E06", replace(clean, panel={variant: clean.probabilities})).finding
    assert found.outcome is Outcome.FLAG
    assert f"with {told}" in found.message


def test_a_band_of_age_is_a_fact_of_the_person_and_no_shortcut(clean):
    groups = np.where(clean.probabilities[:, 1] > np.median(clean.probabilities[:, 1]), "a", "b")

    def outcome(column):
        return judged("E05", replace(clean, subgroups={column: tuple(groups)}, header={}, sites=())).finding.outcome

    assert [outcome(column) for column in ("scanner", "age_band")] == [Outcome.CRITICAL, Outcome.NOTE]


def test_repeated_patients_widen_what_is_said(clean):
    rows = np.arange(len(clean.keys))
    order = np.lexsort((clean.probabilities[:, 1], clean.truth[:, 1]))
    patients = np.empty(rows.size, dtype=object)
    patients[order] = [f"p{place // 4}" for place in rows]
    alone, together = judged("E15", clean), judged("E15", replace(clean, patients=tuple(patients)))
    for one, other in zip(alone.tables[0].rows, together.tables[0].rows, strict=True):
        assert one[2].value == other[2].value
        assert other[3] > 1.2 * one[3]


def test_copies_inside_one_split_are_duplicates_and_no_leak():
    cohort = COHORT_PLANTS["counted_twice"].plant(100, 5, np.random.default_rng(3))
    assert judged("A23", cohort).finding.outcome is Outcome.FLAG
    assert judged("E14", cohort).finding.outcome is Outcome.PASS


def test_equal_inputs_are_found_by_digest_alone(clean):
    pixels = list(clean.pixels)
    pixels[-1] = pixels[0]
    found = judged("E14", replace(clean, pixels=tuple(pixels), thumbnails=None))
    assert found.finding.outcome is Outcome.CRITICAL
    assert found.tables[0].rows[0][4] == "equal input"
    assert "without (n =" in found.finding.message


def test_a_shortcut_that_carries_the_area_is_critical():
    draw = np.random.default_rng(4)
    cohort = clean_cohort(500, draw)
    sign = np.where(draw.random(len(cohort.keys)) < np.where(cohort.truth[:, 1], 0.85, 0.15), 1.0, -1.0)
    odds = sign + draw.normal(0, 1, sign.size)
    both = np.column_stack([1 / (1 + np.exp(odds)), 1 / (1 + np.exp(-odds))])
    marked = tuple("marker" if one > 0 else "none" for one in sign)
    planted = replace(cohort, probabilities=both, called=both >= 0.5, subgroups={"marker": marked})
    found = judged("E05", planted)
    assert found.finding.outcome is Outcome.CRITICAL, found.finding.message


def test_facts_of_the_person_are_noted_and_not_flagged():
    cohort = COHORT_PLANTS["manufacturer_read"].plant(400, 5, np.random.default_rng(3))
    aged = replace(cohort, header={}, subgroups={"age": tuple(map(str, cohort.header["Manufacturer"]))})
    assert judged("E05", aged).finding.outcome is Outcome.NOTE


def test_a_baseline_is_preferred_and_periods_are_compared_without_one(clean):
    with_baseline, alone = judged("E13", clean), judged("E13", replace(clean, baseline=None))
    assert "baseline" in with_baseline.finding.message
    assert "earlier periods" in alone.finding.message


def test_exclusions_of_unknown_label_are_counted_against_the_model(clean):
    lost = tuple(LeftOut(key=f"l{place}", reason="x") for place in range(80))
    found = judged("E16", replace(clean, left_out=lost))
    assert found.finding.outcome is Outcome.FLAG
    assert "worst case" in found.finding.message


def test_a_single_reader_is_flagged(clean):
    one = {"reader_1": clean.readers["reader_1"]}
    assert judged("E12", replace(clean, readers=one)).finding.outcome is Outcome.FLAG


def test_any_two_readers_stand_with_intervals_and_those_that_never_differ_without(clean):
    draw = np.random.default_rng(2)
    first = draw.integers(0, 2, len(clean.keys)).astype(str)
    third = np.where(draw.random(first.size) < 0.9, first, "0")
    readers = {name: tuple(values) for name, values in (("a", first), ("b", first), ("c", third))}
    rows = judged("E12", replace(clean, readers=readers)).tables[0].rows
    same, kappa, _ = rows[0][2:]
    assert (same.k, same.n, kappa.value, kappa.low) == (first.size, first.size, 1.0, None)
    assert "never differ" in kappa.reason
    for cell in rows[1][2:]:
        assert cell.low < cell.value < cell.high
        assert cell.n == first.size


def test_two_sites_are_noted(clean):
    two = replace(clean, sites=tuple("A" if place % 2 else "B" for place in range(len(clean.keys))))
    found = judged("E17", replace(two, splits=("test",) * len(clean.keys)))
    assert found.finding.outcome is Outcome.NOTE


def test_repeats_that_do_not_resemble_each_other_are_only_noted(clean):
    rows = np.random.default_rng(2).permutation(len(clean.keys)) // 2
    found = judged("E18", replace(clean, patients=tuple(f"p{row}" for row in rows)))
    assert found.finding.outcome is Outcome.NOTE


def test_a_claim_decides_whether_a_small_sample_is_flagged_or_noted():
    small = clean_cohort(40, np.random.default_rng(1))
    assert judged("E15", small).finding.outcome is Outcome.FLAG
    assert judged("E15", replace(small, plan=Plan())).finding.outcome is Outcome.NOTE


def test_the_half_width_is_compared_with_what_the_claim_wants_and_is_none_without_an_interval(clean):
    wanting = replace(clean, plan=Plan(claims={"nodule": Claim(half_width=0.001)}))
    found = judged("E15", wanting).finding
    assert found.limit == 0.001
    widths = [row[3] for row in judged("E15", wanting).tables[0].rows]
    assert found.value == max(widths) > found.limit
    few = clean_cohort(12, np.random.default_rng(1))
    assert judged("E15", few).finding.value is None
    assert "10 of each are needed" in judged("E15", few).finding.message


@pytest.mark.parametrize("code", sorted(EXPECTED))
def test_a_value_says_what_it_is(clean_findings, code):
    found = clean_findings[code].finding
    assert found.value is None or found.unit, found


def test_a_class_of_a_multilabel_model_is_asked_on_its_own(clean):
    several = replace(clean, task="multilabel", plan=Plan(claims={"clear": Claim(sensitivity=0.99, margin=0.0)}))
    assert [one.name for one in several.questions] == ["clear", "nodule"]
    assert judged("E09", several).finding.outcome is Outcome.FLAG
