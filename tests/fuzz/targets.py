"""The fuzz targets: where each starts, how it changes what it starts from, and what it does with the result."""

from __future__ import annotations

import random
import shutil
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from audit_pipeline.load import LoadSettings
from tests.fuzz import mutators, seeds
from tests.fuzz.invariants import check_folder


@dataclass(frozen=True, kw_only=True)
class Target:
    """One fuzz target.

    one : writes the bytes as a file into an empty folder, loads the folder and checks every invariant; returns a word
    """

    seeds: Callable[[], Mapping[str, bytes]]
    mutate: Callable[[random.Random, bytes], bytes]
    one: Callable[[bytes, Path], str]

    def made(self, rng: random.Random) -> bytes:
        """Return the bytes that belong to the state of `rng`."""
        return self.mutate(rng, rng.choice(list(self.seeds().values())))


def _emptied(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def _choices(data: bytes) -> int:
    """Return a number that the content decides, so that a file alone reproduces what was done with it."""
    return zlib.crc32(data)


def headers(data: bytes, folder: Path) -> str:
    """Load one DICOM file, half of the time beside two sound slices of the series it was made from."""
    (_emptied(folder) / "a").write_bytes(data)
    choice = _choices(data)
    if choice & 1:
        for number, content in enumerate(seeds.companions()):
            (folder / f"b{number}").write_bytes(content)
    settings = LoadSettings(
        suv="body_weight" if choice & 2 else None,
        gaps="fill" if choice & 4 else "refuse",
        uneven="resample" if choice & 8 else "refuse",
        volume=1 if choice & 16 else None,
    )
    return check_folder(folder, settings)


def frames(data: bytes, folder: Path) -> str:
    """Load one compressed DICOM file."""
    (_emptied(folder) / "a").write_bytes(data)
    return check_folder(folder)


def nifti(data: bytes, folder: Path) -> str:
    """Load one NIfTI file, which may be compressed; half of the time as the header of a pair."""
    choice = _choices(data)
    if choice & 7 == 0:
        (_emptied(folder) / "a.hdr").write_bytes(data)
        (folder / "a.img").write_bytes(bytes(500))
    else:
        (_emptied(folder) / "a.nii").write_bytes(data)
    settings = LoadSettings(
        volume=1 if choice >> 5 & 3 == 0 else None,
        prefer_affine="sform" if choice & 8 else None,
        part="magnitude" if choice & 16 else None,
    )
    return check_folder(folder, settings)


def archives(data: bytes, folder: Path) -> str:
    """Load a folder that holds one archive."""
    (_emptied(folder) / "a.bin").write_bytes(data)
    return check_folder(folder)


def directories(data: bytes, folder: Path) -> str:
    """Load a medium whose DICOMDIR is faulty, first by its folder and then by the DICOMDIR."""
    (_emptied(folder) / "DICOMDIR").write_bytes(data)
    place = folder / "PT000000" / "ST000000" / "SE000000"
    place.mkdir(parents=True)
    for number, content in enumerate(seeds.companions()):
        (place / f"IM00000{number}").write_bytes(content)
    return check_folder(folder)


TARGETS: Mapping[str, Target] = {
    "headers": Target(seeds=seeds.dicom_seeds, mutate=mutators.mutated_dicom, one=headers),
    "frames": Target(seeds=seeds.codec_seeds, mutate=mutators.mutated_frame, one=frames),
    "nifti": Target(seeds=seeds.nifti_seeds, mutate=mutators.mutated_nifti, one=nifti),
    "archives": Target(seeds=seeds.archive_seeds, mutate=mutators.mutated_archive, one=archives),
    "directories": Target(
        seeds=lambda: {"directory": seeds.directory()}, mutate=mutators.mutated_dicom, one=directories
    ),
}
