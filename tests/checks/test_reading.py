"""The digest of a finding's inputs follows what the detector read, and nothing else."""

from dataclasses import replace

import numpy as np
import pytest
from evidence_factories import focal, make_evidence, make_explanation, make_prediction, make_prepared

from audit_pipeline.checks import run_checks
from audit_pipeline.checks.reading import Digests, Reading
from audit_pipeline.config import ChecksSection


def digests(evidence, **settings):
    return {one.code: one.inputs for one in run_checks(evidence, ChecksSection(**settings), level="screen")}


def test_a_reading_remembers_the_parts_in_alphabetical_order():
    reading = Reading(make_evidence())
    assert reading.prediction is not None
    assert reading.image is not None
    assert reading.parts == ("image", "prediction")


def test_another_prediction_changes_the_digests_of_the_checks_that_read_it_alone():
    evidence = make_evidence(make_explanation(focal((7, 7), (3, 3))))
    before, after = digests(evidence), digests(replace(evidence, prediction=make_prediction((0.8, 0.2))))
    assert before["C01"] != after["C01"]
    assert before["A15"] == after["A15"]


def test_one_voxel_changes_the_digest_of_what_reads_the_input():
    values = np.linspace(0, 1, 1024, dtype=np.float32).reshape(1, 32, 32)
    other = values.copy()
    other[0, 5, 5] += 1e-6
    one, two = (Digests(make_evidence(prepared=make_prepared(given))) for given in (values, other))
    assert one.of(("prepared",), [], 1) != two.of(("prepared",), [], 1)
    assert one.of(("image",), [], 1) == two.of(("image",), [], 1)


@pytest.mark.parametrize(("settings", "version"), [([("margin", 0.1)], 1), ([], 2)])
def test_settings_and_the_version_of_the_detector_belong_to_the_digest(settings, version):
    known = Digests(make_evidence())
    assert known.of(("image",), [], 1) != known.of(("image",), settings, version)


def test_settings_of_the_configuration_change_the_digest():
    evidence = make_evidence(make_explanation(focal((7, 7), (3, 3))))
    assert digests(evidence)["C01"] != digests(evidence, near_threshold={"margin": 0.1})["C01"]
