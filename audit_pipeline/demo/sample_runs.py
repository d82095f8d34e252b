"""Audit what the demo does not: ``python -m audit_pipeline.demo.sample_runs RUNS``, the first half of ``make sample``.

Three runs on phantoms: radiographs with several findings at once, volumes that a network over slices reads, and a
cohort of 60 radiographs with subgroups, claims and release gates. They take some minutes.
"""

from __future__ import annotations

import csv
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage

from audit_pipeline.demo.audit import SITE_KEY, WEIGHTS, configuration
from audit_pipeline.demo.chest_findings import chest
from audit_pipeline.demo.cohort import write_clean_ct
from audit_pipeline.demo.lettering import write_marker
from audit_pipeline.demo.phantom import phantom
from audit_pipeline.demo.radiograph import STORED_MAX, radiograph
from audit_pipeline.execute.local import run_audit
from audit_pipeline.load.encode_dicom import Identity, dx_file
from audit_pipeline.records import Floats, sealed

FINDINGS, SLICES, COHORT = "findings_2d", "slices_2d", "cohort_60"
FINDINGS_SEEDS, SLICES_SEEDS = range(70_004, 70_010), range(71_000, 71_004)
COHORT_SEED, COHORT_STUDIES = 72_000, 60

SITES = {"north": "vendor A", "east": "vendor B", "south": "vendor C"}
"""Site -> vendor of its detectors; some studies of every site were made on one of vendor A."""

AGE_BANDS = ("40-49", "50-59", "60-69", "70-79")
PERIODS = ("first half", "second half")
READER_ERRORS = {"reader A": 0.03, "reader B": 0.08}
"""Reader -> share of the studies that this reader labels wrongly."""

COLUMNS = ("study", "label", "split", "patient", "site", "vendor", "sex", "age_band", "period", *READER_ERRORS)
TRUNCATED, INVERTED, MARKED = 17, 29, 41
"""Studies of the cohort with a planted fault."""

CLAIMS = {"nodule": {"sensitivity": 0.9, "specificity": 0.85, "auroc": 0.93, "margin": 0.1, "prevalence": 0.05}}
GATES = {"refused": 0.05, "critical": 0.05, "rejected_maps": 0.2}


@dataclass(frozen=True, slots=True)
class Case:
    """One study of the cohort: what the labels file says beside its label."""

    site: str
    vendor: str
    sex: str
    age_band: str


def main(arguments: Sequence[str]) -> None:
    """Write the phantoms below ``RUNS/sample-input`` and audit them into ``RUNS``, anew."""
    (runs,) = (Path(argument) for argument in arguments)
    studies = runs / "sample-input"
    for folder in (studies, *(runs / name for name in (FINDINGS, SLICES, COHORT))):
        shutil.rmtree(folder, ignore_errors=True)
    write_findings(studies / FINDINGS)
    write_clean_ct(studies / SLICES, SLICES_SEEDS)
    write_cohort(studies / COHORT)
    key = studies / "site.key"
    key.write_bytes(SITE_KEY)
    for name, card, title, more in (
        (FINDINGS, FINDINGS, "Several findings on phantom radiographs", findings_settings()),
        (SLICES, SLICES, "A network over slices on phantom chest CT", {}),
        (COHORT, "cxr_2d", "60 phantom radiographs of three sites", cohort_settings()),
    ):
        asked = configuration(title, WEIGHTS / f"{card}.yaml", studies / name, key, runs / name)
        run_audit(asked | more)


def findings_settings() -> dict[str, Any]:
    """Return what is asked of the radiographs with several findings: a map of every finding that is called."""
    return {"explain": {"methods": ["gradcam", "hirescam"], "targets": "predicted"}}


def cohort_settings() -> dict[str, Any]:
    """Return what is asked of the cohort beside the demo's settings: subgroups, claims, gates."""
    return {
        "cohort": {"groups": ["sex", "age_band", "vendor", "site"], "claims": CLAIMS, "gates": GATES},
        "report": {"html": "flagged"},
    }


def write_findings(folder: Path) -> None:
    """Write radiographs with the findings that their seeds draw, and their labels."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for number, seed in enumerate(FINDINGS_SEEDS):
        one = chest(seed)
        name = f"chest-{number:03d}"
        (folder / f"{name}.dcm").write_bytes(dx_file(one.seen.values, one.seen.spacing_mm, _identity("FX", number)))
        rows.append([name, "|".join(one.findings) or "normal", "test"])
    _write_labels(folder, ["study", "label", "split"], rows)


def write_cohort(folder: Path) -> None:
    """Write 60 radiographs, half with a nodule, of three sites; one is truncated, one inverted, one has a marker.

    The detectors of vendor C are noisier and less sharp, so that a difference between subgroups is there to be found.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for number in range(COHORT_STUDIES):
        case, seed = case_of(number), COHORT_SEED + number
        made = phantom(seed, nodule=number % 2 == 0)
        seen = radiograph(made, seed)
        values = detected(seen.values, case.vendor, seed)
        values = write_marker(values, "PORTABLE L") if number == MARKED else values
        photometric = "MONOCHROME1" if number == INVERTED else "MONOCHROME2"
        content = dx_file(values, seen.spacing_mm, _identity("CO", number), photometric=photometric)
        name = f"radiograph-{number:03d}"
        (folder / f"{name}.dcm").write_bytes(content[: len(content) // 2] if number == TRUNCATED else content)
        label = "nodule" if made.label else "clear"
        own = [case.site, case.vendor, case.sex, case.age_band, PERIODS[2 * number // COHORT_STUDIES]]
        rows.append([name, label, "test", f"p{number:03d}", *own, *readings(label, number)])
    _write_labels(folder, COLUMNS, rows)


def case_of(number: int) -> Case:
    """Return where a study of the cohort comes from, drawn from its number alone."""
    random = np.random.default_rng([COHORT_SEED, number])
    site = list(SITES)[int(random.integers(len(SITES)))]
    vendor = SITES[site] if random.random() < 0.8 else "vendor A"
    sex = "F" if random.random() < 0.5 else "M"
    return Case(site=site, vendor=vendor, sex=sex, age_band=AGE_BANDS[int(random.integers(len(AGE_BANDS)))])


def readings(label: str, number: int) -> list[str]:
    """Return what each reader said of a study: the label, or now and then the other one."""
    random = np.random.default_rng([COHORT_SEED, number, 1])
    other = "clear" if label == "nodule" else "nodule"
    return [other if random.random() < share else label for share in READER_ERRORS.values()]


def detected(values: Floats, vendor: str, seed: int) -> Floats:
    """Return what a detector of a vendor makes of a radiograph: that of vendor C is noisy and unsharp."""
    if vendor != "vendor C":
        return values
    noise = np.random.default_rng([seed, 51]).normal(0, 22, values.shape)
    return sealed(np.clip(np.rint(ndimage.gaussian_filter(values, 1.1) + noise), 0, STORED_MAX).astype(np.float32))


def _identity(kind: str, number: int) -> Identity:
    return Identity(
        seed=f"{kind}-{number}",
        patient_id=f"PHANTOM-{kind}-{number:03d}",
        patient_name=f"PHANTOM^{kind}{number:03d}",
        age="",  # the labels file has the age band
    )


def _write_labels(folder: Path, head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    with (folder / "labels.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(head)
        writer.writerows(rows)


if __name__ == "__main__":
    main(sys.argv[1:])
