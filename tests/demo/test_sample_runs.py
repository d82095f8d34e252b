"""The studies of the sample's audits: real files, labels with subgroups, differences that are really there."""

from __future__ import annotations

import csv
from collections import Counter

import numpy as np
import pytest

from audit_pipeline import load_study
from audit_pipeline.config import AuditConfig
from audit_pipeline.demo import sample_runs
from audit_pipeline.errors import LoadError

CASES = [sample_runs.case_of(number) for number in range(sample_runs.COHORT_STUDIES)]


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cohort")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sample_runs, "COHORT_STUDIES", 4)
        patch.setattr(sample_runs, "TRUNCATED", 1)
        patch.setattr(sample_runs, "INVERTED", 2)
        patch.setattr(sample_runs, "MARKED", 3)
        sample_runs.write_cohort(folder)
    return folder


def rows_of(folder):
    with (folder / "labels.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_sixty_studies_spread_over_sites_vendors_sexes_and_ages():
    assert len(CASES) == 60
    for group in ("site", "vendor", "sex", "age_band"):
        counts = Counter(getattr(case, group) for case in CASES)
        assert min(counts.values()) >= 8, (group, counts)


def test_a_case_is_drawn_from_its_number_alone():
    assert sample_runs.case_of(7) == sample_runs.case_of(7)
    assert sample_runs.readings("clear", 7) == sample_runs.readings("clear", 7)


def test_readers_mostly_agree_with_the_label():
    given = [sample_runs.readings("nodule", number) for number in range(60)]
    shares = [np.mean([row[place] == "nodule" for row in given]) for place in range(2)]
    assert all(0.8 < share <= 1 for share in shares)
    assert min(shares) < 1


def test_the_labels_file_names_every_study_with_its_subgroups(cohort):
    rows = rows_of(cohort)
    assert [row["study"] for row in rows] == [f"radiograph-{number:03d}" for number in range(4)]
    assert [row["label"] for row in rows] == ["nodule", "clear"] * 2
    assert tuple(rows[0]) == sample_runs.COLUMNS
    assert [row["sex"] for row in rows] == [case.sex for case in CASES[:4]]
    assert {row["period"] for row in rows} == set(sample_runs.PERIODS)


def test_the_planted_faults_are_in_the_files(cohort):
    with pytest.raises(LoadError):
        load_study(cohort / "radiograph-001.dcm")
    inverted, marked = (load_study(cohort / f"radiograph-00{number}.dcm").images[0] for number in (2, 3))
    assert inverted.metadata["PhotometricInterpretation"] == "MONOCHROME1"
    assert (marked.values[:30, :120] == 4095).sum() > 200


def test_the_detectors_of_vendor_c_are_noisy_and_unsharp_and_the_others_are_left_alone():
    edge = np.full((64, 64), 1000, dtype=np.float32)
    edge[:, 32:] = 2000
    assert sample_runs.detected(edge, "vendor A", 1) is edge
    seen = sample_runs.detected(edge, "vendor C", 1)
    assert 15 < seen[:, :20].std() < 30
    assert 1050 < seen[:, 31].mean() < 1500


def test_what_is_asked_of_the_cohort_is_a_valid_configuration():
    asked = AuditConfig.model_validate({"model": {"card": {}}, **sample_runs.cohort_settings()})
    assert asked.cohort.claims["nodule"].sensitivity == 0.9
    assert asked.cohort.gates.refused == 0.05
    assert asked.cohort.groups == ["sex", "age_band", "vendor", "site"]
