"""The demo cohorts: clean studies, and studies with one planted fault each, written as real files with labels."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from audit_pipeline.demo.lettering import write_marker
from audit_pipeline.demo.phantom import Phantom, phantom
from audit_pipeline.demo.radiograph import radiograph
from audit_pipeline.load.encode_dicom import Identity, ct_files, dx_file
from audit_pipeline.load.encode_nifti import nifti_bytes

FIRST_SEED = 1_000
"""Demo phantoms are drawn from here on; training, tuning, reference and held-out phantoms lie far above."""

HIGHEST_COHORT = 8
CLEAN_CT, NIFTI_CT, CLEAN_DX = 16, 4, 8


@dataclass(frozen=True, slots=True)
class Label:
    """One row of ``labels.csv``."""

    study: str
    label: str
    fault: str


def write_ct_cohort(folder: Path, seed: int = 0) -> None:
    """Write 16 clean chest CTs (12 DICOM series, 4 NIfTI files; half with a nodule) and four with a planted fault.

    The faults: one slice missing, a series declared as MR, a truncated file, two patients in one series.
    """
    labels: list[Label] = []
    for number in range(CLEAN_CT):
        made = phantom(_seed(seed, number), nodule=number % 2 == 0)
        if number < CLEAN_CT - NIFTI_CT:
            labels.append(_write_series(folder, number, made, _files(made, number)))
        else:
            labels.append(_write_nifti(folder, number, made))
    for number, fault in enumerate(("missing slice", "wrong modality", "truncated file", "two patients"), CLEAN_CT):
        made = phantom(_seed(seed, number), nodule=number % 2 == 0)
        labels.append(_write_series(folder, number, made, _faulty_files(made, number, fault), fault))
    _write_labels(folder, labels)


def write_dx_cohort(folder: Path, seed: int = 0) -> None:
    """Write 8 clean chest radiographs (half with a nodule), one inverted against its header, one with a marker."""
    labels: list[Label] = []
    for number in range(CLEAN_DX + 2):
        made = phantom(_seed(seed, 100 + number), nodule=number % 2 == 0)
        seen = radiograph(made, _seed(seed, 100 + number))
        fault = {CLEAN_DX: "inverted", CLEAN_DX + 1: "burned-in marker"}.get(number, "")
        values = write_marker(seen.values, "PORTABLE L") if fault == "burned-in marker" else seen.values
        photometric = "MONOCHROME1" if fault == "inverted" else "MONOCHROME2"
        name = f"radiograph-{number:03d}"
        content = dx_file(values, seen.spacing_mm, _identity("DX", number), photometric=photometric)
        _write(folder / f"{name}.dcm", content)
        labels.append(Label(name, _name(made), fault))
    _write_labels(folder, labels)


def write_clean_ct(folder: Path, seeds: Sequence[int]) -> None:
    """Write a clean chest CT for every phantom seed, every sixth as a NIfTI file, half of them with a nodule."""
    labels = []
    for number in seeds:
        made = phantom(number, nodule=(number + number // 6) % 2 == 0)
        if number % 6 == 5:
            labels.append(_write_nifti(folder, number, made))
        else:
            labels.append(_write_series(folder, number, made, _files(made, number)))
    _write_labels(folder, labels)


def write_clean_dx(folder: Path, seeds: Sequence[int]) -> None:
    """Write a clean chest radiograph for every phantom seed, half of them with a nodule."""
    labels = []
    for number in seeds:
        made = phantom(number, nodule=number % 2 == 0)
        seen = radiograph(made, number)
        content = dx_file(seen.values, seen.spacing_mm, _identity("DX", number))
        _write(folder / f"radiograph-{number:03d}.dcm", content)
        labels.append(Label(f"radiograph-{number:03d}", _name(made), ""))
    _write_labels(folder, labels)


def _name(made: Phantom) -> str:
    return "nodule" if made.label else "clear"


def _seed(seed: int, number: int) -> int:
    """Return the phantom of a study; a cohort seed above 8 would reach the phantoms of the training."""
    if not 0 <= seed <= HIGHEST_COHORT:
        raise ValueError(f"the seed of a cohort lies between 0 and {HIGHEST_COHORT}, found {seed}")
    return FIRST_SEED * (seed + 1) + number


def _identity(kind: str, number: int) -> Identity:
    return Identity(
        seed=f"{kind}-{number}",
        patient_id=f"PHANTOM-{kind}-{number:03d}",
        patient_name=f"PHANTOM^{kind}{number:03d}",
    )


def _files(made: Phantom, number: int) -> list[bytes]:
    return ct_files(made.values, made.affine, _identity("CT", number))


def _faulty_files(made: Phantom, number: int, fault: str) -> list[bytes]:
    identity = _identity("CT", number)
    middle = len(made.values) // 2
    if fault == "wrong modality":
        return ct_files(made.values, made.affine, identity, modality="MR")
    files = _files(made, number)
    if fault == "missing slice":
        del files[middle]
    elif fault == "truncated file":
        files[middle] = files[middle][: len(files[middle]) * 2 // 3]
    else:
        other = Identity(
            seed=identity.seed, patient_id="PHANTOM-CT-999", patient_name="PHANTOM^OTHER", birth_date="19500101"
        )
        files[middle:] = ct_files(made.values, made.affine, other)[middle:]
    return files


def _write_series(folder: Path, number: int, made: Phantom, files: Sequence[bytes], fault: str = "") -> Label:
    """Write the slices under names whose order says nothing about their position."""
    name = f"study-{number:03d}"
    order = np.random.default_rng([number, 9]).permutation(len(files))
    for place, content in zip(order, files, strict=True):
        _write(folder / name / f"IM{place:04d}", content)
    return Label(name, _name(made), fault)


def _write_nifti(folder: Path, number: int, made: Phantom) -> Label:
    name = f"study-{number:03d}"
    _write(folder / f"{name}.nii.gz", nifti_bytes(made.values, made.affine, (None, None, None)))
    return Label(name, _name(made), "")


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def _write_labels(folder: Path, labels: Sequence[Label]) -> None:
    with (folder / "labels.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["study", "label", "split", "fault"])
        writer.writerows([one.study, one.label, "test", one.fault] for one in labels)
