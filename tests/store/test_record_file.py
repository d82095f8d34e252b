"""Records: JSON and back without loss, and never a NaN."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from audit_pipeline.errors import StoreError
from audit_pipeline.findings import Curve, Finding, Outcome, Standing, Verdict
from audit_pipeline.records import MapStatistics, StackFacts, Status
from audit_pipeline.store.record_file import read_record, record_bytes
from audit_pipeline.study_record import (
    AnswerFacts,
    ExplanationFacts,
    Failure,
    ImageFacts,
    ModelFacts,
    PredictionFacts,
    StudyRecord,
)

MODEL = ModelFacts(
    name="net", version="1", task="binary", classes=("nodule",), card_sha256="c", weights_sha256="w", network="densenet"
)
FULL = StudyRecord(
    study="0123456789ab",
    status=Status.AUDITED,
    model=MODEL,
    files={"used": 3},
    image=ImageFacts(
        shape=(3, 4, 5),
        spacing_mm=(2.0, None, 1.0),
        affine=((1.0, 0.0, 0.0, 0.5),) * 4,
        orientation="HPL",
        modality="CT",
        unit="HU",
        format="dicom",
        source_digests=("a",),
        metadata={"KVP": 120.0, "BurnedInAnnotation": None},
        stack=StackFacts(slices=3, step_mm=2.0, residual_mm=0.0, largest_gap_ratio=1.0, smallest_gap_ratio=1.0),
        window=(-1000.0, 400.0),
    ),
    prediction=PredictionFacts(
        task="binary",
        logits={"nodule": 0.1 + 0.2},
        probabilities={"nodule": 1 / 3},
        predicted=(),
        thresholds={"nodule": 0.5},
        device="cpu",
        precision="fp32",
    ),
    explanations=(
        ExplanationFacts(
            method="gradcam",
            target=0,
            target_name="nodule",
            layer="features",
            grid=(2, 2, 2),
            cell_mm=(8.0, None, 4.0),
            statistics=MapStatistics(
                min=-1.0,
                max=2.0,
                mean=0.1,
                std=0.3,
                peak_value=2.0,
                peak_index=(1, 2, 3),
                peak_position_mm=(1.0, 2.0, 3.0),
                centre_index=None,
                mass_levels=(1.5, 0.5),
                positive_share=0.5,
            ),
            map="maps/gradcam-nodule.nii.gz",
            checks={"D05": Outcome.PASS},
            slice_shares=(0.25, 1 / 3, 0.0),
        ),
    ),
    answers=(
        AnswerFacts(
            group="harmless",
            name="turn in the plane",
            sentence="turned by 3.0 degrees",
            probabilities={"nodule": 0.1 + 0.2},
            amount=3.0,
            unit="degrees",
            unchanged=0.0,
        ),
        AnswerFacts(group="falsification", name="text_removed", sentence="Letters.", reason="There are none."),
    ),
    findings=(
        Finding(
            code="C01",
            name="near_threshold",
            family="C",
            outcome=Outcome.FLAG,
            message="ü",
            slices=(1,),
            curves=(
                Curve(
                    kind="deletion",
                    method="gradcam",
                    target=0,
                    shares=(0.0, 0.1),
                    logits=(1 / 3, -1.0),
                    null_low=(0.0, 0.1),
                    null_middle=(0.2, 0.3),
                    null_high=(0.4, 0.5),
                    null_shifts=5,
                ),
            ),
            standing=Standing(quantiles=(0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 2 / 3), studies=40, p_value=1 / 41),
        ),
    ),
    verdict=Verdict(prediction=Outcome.FLAG, explanation=Outcome.PASS, prediction_code="C01"),
    timings_s={"load": 0.25},
)


def test_a_full_record_survives_the_round_trip(tmp_path):
    place = tmp_path / "record.json"
    place.write_bytes(record_bytes(FULL))
    assert read_record(place) == FULL


def test_a_record_of_before_the_answers_is_still_read(tmp_path):
    content = json.loads(record_bytes(FULL))
    del content["answers"]
    content["findings"][0] = {
        key: value for key, value in content["findings"][0].items() if key not in {"curves", "standing"}
    }
    del content["explanations"][0]["slice_shares"]
    place = tmp_path / "record.json"
    place.write_text(json.dumps(content))
    read = read_record(place)
    assert (read.answers, read.findings[0].curves, read.findings[0].standing) == ((), (), None)
    assert read.prediction == FULL.prediction


def test_a_refused_record_survives_the_round_trip(tmp_path):
    record = StudyRecord(
        study="0" * 12,
        status=Status.REFUSED,
        model=MODEL,
        error=Failure(code="MissingSlicesError", message="gap", stage="load"),
    )
    place = tmp_path / "record.json"
    place.write_bytes(record_bytes(record))
    assert read_record(place) == record
    assert json.loads(place.read_bytes())["error"] == {"code": "MissingSlicesError", "message": "gap", "stage": "load"}


def test_the_schema_stands_first_and_words_are_plain():
    content = json.loads(record_bytes(FULL))
    assert next(iter(content)) == "schema"
    assert content["schema"] == "audit-pipeline/study/1"
    assert content["findings"][0]["outcome"] == "flag"
    assert content["prediction"]["logits"]["nodule"] == 0.1 + 0.2


def test_a_number_that_is_not_finite_cannot_be_written():
    with pytest.raises(ValueError, match="not JSON compliant"):
        record_bytes(replace(FULL, timings_s={"load": float("nan")}))


@pytest.mark.parametrize(
    ("content", "expected"),
    [(b"{", "damaged"), (b'{"schema": "other/2"}', "has schema 'other/2'"), (b"[]", "damaged")],
)
def test_a_damaged_or_foreign_record_is_an_error(tmp_path, content, expected):
    place = tmp_path / "record.json"
    place.write_bytes(content)
    with pytest.raises(StoreError, match=expected):
        read_record(place)
