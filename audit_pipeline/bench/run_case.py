"""Clean runs: what the checks of the record see when nothing is wrong, in memory and as files on disk."""

from __future__ import annotations

from collections import Counter
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

from audit_pipeline import demo
from audit_pipeline.config import AuditConfig
from audit_pipeline.demo.cohort import write_clean_dx
from audit_pipeline.execute.local import run_audit
from audit_pipeline.execute.record_checks import STAGES, RunEvidence, settings_digest
from audit_pipeline.findings import Finding, Outcome, Verdict
from audit_pipeline.records import MapStatistics, Status
from audit_pipeline.study_record import (
    ExplanationFacts,
    Failure,
    ImageFacts,
    ModelFacts,
    PredictionFacts,
    StudyRecord,
)

WEIGHTS, CARD = "a" * 64, "b" * 64
DEVICE = "cuda (a graphics processor)"
METHODS = ("gradcam", "hirescam")
PLANNED = ("A19", "C01", "D05")
DAY = date(2026, 6, 1)
SCANNER = "North One"


FILE_STUDIES = 2
"""Studies of a run whose files are written; verifying draws as many study reports again."""


def write_runs(folder: Path, count: int, seed: int) -> tuple[Path, ...]:
    """Audit `count` small cohorts of radiographs with the embedded model, and return the folders of the runs."""
    card = Path(demo.__file__).parent / "weights" / "cxr_2d.yaml"
    runs = []
    for number in range(count):
        studies, output = folder / f"studies-{number}", folder / f"run-{number}"
        write_clean_dx(studies, [seed + FILE_STUDIES * number + place for place in range(FILE_STUDIES)])
        settings: dict[str, Any] = {
            "audit": {"name": "clean run", "level": "screen"}, "input": {"paths": [studies]}, "model": {"card": card},
            "report": {"html": "none"}, "run": {"device": "cpu", "output": output},
        }  # fmt: skip
        runs.append(run_audit(settings).folder)
    return tuple(runs)


def clean_run(count: int, random: np.random.Generator) -> RunEvidence:
    """Return a run over `count` studies, about one in ten of them refused, as it is when it was closed."""
    refused = random.random(count) < 0.1
    refused[0] = False
    records = tuple(record(f"{place:012x}", is_refused=bool(gone)) for place, gone in enumerate(refused))
    own = Counter(str(one.status) for one in records)
    configuration = AuditConfig.model_validate(
        {"model": {"card": {"name": "m", "version": "1", "sha256": CARD}}, "run": {"device": "cuda"}}
    ).model_dump(mode="json")
    run: dict[str, Any] = {
        "identity": {
            "settings": settings_digest(configuration), "model_card": CARD, "weights": WEIGHTS, "device": DEVICE,
        },
        "configuration": configuration,
        "model": {"version": "1", "card_sha256": CARD, "weights_sha256": WEIGHTS},
        "device": DEVICE,
        "checks": list(PLANNED),
        "code": {"sha256": "c" * 64, "installed": "wheel", "altered": 0},
        "counts": {"found": count, **{str(status): own[status] for status in Status}, "excluded": 0},
        "reaudit": {
            "by": "2027-01-01", "version": "1", "weights_sha256": WEIGHTS, "sites": ["A"], "scanners": [SCANNER],
        },
        "start": f"{DAY.isoformat()}T08:00:00+00:00",
    }  # fmt: skip
    return RunEvidence(run=run, records=records, today=DAY, ledger=(), reports=(), compared=count)


def record(key: str, *, is_refused: bool = False) -> StudyRecord:
    """Return the record of one study of the clean run."""
    model = ModelFacts(
        name="m", version="1", task="binary", classes=("nodule",), card_sha256=CARD, weights_sha256=WEIGHTS,
        network="densenet",
    )  # fmt: skip
    if is_refused:
        failure = Failure(code="MissingSlicesError", message="a slice is missing", stage="load")
        return StudyRecord(study=key, status=Status.REFUSED, model=model, error=failure)
    image = ImageFacts(
        shape=(8, 8), spacing_mm=(1.0, 1.0), affine=None, orientation="", modality="DX", unit="", format="dicom",
        source_digests=(), metadata={"ManufacturerModelName": SCANNER},
    )  # fmt: skip
    prediction = PredictionFacts(
        task="binary", logits={"nodule": 0.0}, probabilities={"nodule": 0.5}, predicted=(), thresholds={},
        device=DEVICE, precision="fp32",
    )  # fmt: skip
    findings = tuple(
        Finding(code=code, name=code, family=code[0], outcome=Outcome.PASS, message="") for code in PLANNED
    )
    return StudyRecord(
        study=key, status=Status.AUDITED, model=model, image=image, prediction=prediction,
        explanations=tuple(_map(method) for method in METHODS), findings=findings,
        verdict=Verdict(prediction=Outcome.PASS, explanation=Outcome.PASS), facts={"site": "A"},
        timings_s=dict.fromkeys(STAGES, 0.1),
    )  # fmt: skip


def _map(method: str) -> ExplanationFacts:
    statistics = MapStatistics(
        min=0.0, max=1.0, mean=0.5, std=0.1, peak_value=1.0, peak_index=(0, 0), peak_position_mm=None,
        centre_index=None, mass_levels=None, positive_share=1.0,
    )  # fmt: skip
    return ExplanationFacts(
        method=method, target=0, target_name="nodule", layer="last", grid=(2, 2), cell_mm=(None, None),
        statistics=statistics, map="maps/none.nii.gz",
    )  # fmt: skip
