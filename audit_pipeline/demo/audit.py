"""The demo: the two embedded cohorts written to disk and audited with the embedded models."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from audit_pipeline.demo.cohort import write_ct_cohort, write_dx_cohort
from audit_pipeline.execute.closing import AuditResult, OnProgress
from audit_pipeline.execute.local import run_audit

WEIGHTS = Path(__file__).parent / "weights"
SITE_KEY = b"audit-pipeline demo: not a secret\n"
"""The phantoms have no identity to protect, and a fixed key gives every demo the same pseudonyms."""

AUDITS = (
    ("ct", "ct_3d", "Demonstration on phantom chest CT"),
    ("dx", "cxr_2d", "Demonstration on phantom radiographs"),
)


def run_demo(output: Path, on_progress: OnProgress | None = None) -> list[AuditResult]:
    """Write the phantoms to ``output/input`` and audit them into ``output/ct_3d`` and ``output/cxr_2d``.

    Raises
    ------
    StoreError
        A run folder below `output` holds another audit.
    """
    studies = output / "input"
    shutil.rmtree(studies, ignore_errors=True)
    write_ct_cohort(studies / "ct")
    write_dx_cohort(studies / "dx")
    key = studies / "site.key"
    key.write_bytes(SITE_KEY)
    return [
        run_audit(
            configuration(name, WEIGHTS / f"{card}.yaml", studies / cohort, key, output / card), on_progress=on_progress
        )
        for cohort, card, name in AUDITS
    ]


def configuration(name: str, card: Path | dict[str, Any], studies: Path, key: Path, output: Path) -> dict[str, Any]:
    """Return what the demo asks of an audit with an embedded card."""
    return {
        "audit": {"name": name},
        "input": {"paths": [studies], "labels": studies / "labels.csv"},
        "model": {"card": card},
        "explain": {"methods": ["gradcam", "hirescam"], "targets": "top2"},
        "run": {"site_key": key, "output": output},
    }
