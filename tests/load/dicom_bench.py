"""A bench of DICOM series whose every voxel is a known function of its place in the patient.

A reader is right only when value and position agree: ``expected_hu(position)`` must come back at the delivered affine.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from audit_pipeline.geometry import transform_points
from audit_pipeline.records import Image

GRADIENT = np.array([1.0, 0.5, 2.0])
SLOPE, INTERCEPT = 0.02, 10.0


def expected_hu(positions_mm: np.ndarray) -> np.ndarray:
    """Return the value planted at LPS+ positions."""
    return positions_mm @ GRADIENT + 30.0


@dataclass
class Bench:
    """A stack of CT slices; `step` is the vector from one slice to the next."""

    right: Sequence[float] = (1.0, 0.0, 0.0)
    down: Sequence[float] = (0.0, 1.0, 0.0)
    origin: Sequence[float] = (-20.0, -15.0, 7.0)
    step: Sequence[float] = (0.0, 0.0, 2.5)
    count: int = 6
    rows: int = 7
    columns: int = 9
    spacing: tuple[float, float] = (1.5, 0.75)
    series_uid: str = "2.25.7.1"
    study_uid: str = "2.25.7"
    positions: list[np.ndarray] = field(default_factory=list)

    def slices(self) -> list[Dataset]:
        """Return one data set per slice, in order of position."""
        return [self.slice_at(np.asarray(self.origin) + k * np.asarray(self.step), k) for k in range(self.count)]

    def slice_at(self, position: np.ndarray, number: int) -> Dataset:
        """Return the slice whose first pixel is at `position`."""
        row, column = np.mgrid[: self.rows, : self.columns]
        right, down = np.asarray(self.right), np.asarray(self.down)
        places = position + row[..., None] * down * self.spacing[0] + column[..., None] * right * self.spacing[1]
        data = Dataset()
        data.file_meta = FileMetaDataset()
        data.file_meta.MediaStorageSOPClassUID = CTImageStorage
        data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        data.SOPClassUID = CTImageStorage
        data.SOPInstanceUID = f"{self.series_uid}.{number + 1}"
        data.StudyInstanceUID, data.SeriesInstanceUID = self.study_uid, self.series_uid
        data.FrameOfReferenceUID = "2.25.99"
        data.PatientID, data.PatientName, data.PatientBirthDate = "BENCH-1", "BENCH^ONE", "19500101"
        data.Modality, data.BodyPartExamined = "CT", "CHEST"
        data.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
        data.InstanceNumber = number + 1
        data.ImagePositionPatient = [float(f"{one:.6f}") for one in position]
        data.ImageOrientationPatient = [float(f"{one:.8f}") for one in (*right, *down)]
        data.PixelSpacing = list(self.spacing)
        data.RescaleSlope, data.RescaleIntercept = str(SLOPE), str(INTERCEPT)
        data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
        put_pixels(data, np.rint((expected_hu(places) - INTERCEPT) / SLOPE).astype(np.int16))
        return data


def put_pixels(data: Dataset, stored: np.ndarray, *, bits_stored: int | None = None) -> None:
    """Give `data` native pixels."""
    data.Rows, data.Columns = stored.shape[:2]
    data.BitsAllocated = stored.dtype.itemsize * 8
    data.BitsStored = bits_stored or data.BitsAllocated
    data.HighBit = data.BitsStored - 1
    data.PixelRepresentation = int(stored.dtype.kind == "i")
    data.PixelData = stored.tobytes() + b"\0" * (stored.nbytes % 2)
    data["PixelData"].VR = "OW" if stored.dtype.itemsize == 2 else "OB"


def save(folder: Path, slices: Sequence[Dataset], names: Sequence[str] | None = None) -> list[Path]:
    """Write the slices to `folder`; the default names are in reverse order of position, so that names mean nothing."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for number, data in enumerate(slices):
        path = folder / (names[number] if names else f"{len(slices) - number:03d}")
        data.file_meta.MediaStorageSOPInstanceUID = data.get("SOPInstanceUID", "2.25.1")
        data.save_as(path, enforce_file_format=True)
        paths.append(path)
    return paths


def largest_error(image: Image) -> float:
    """Return the largest difference between the delivered values and those planted at the delivered positions."""
    index = np.stack(np.meshgrid(*(np.arange(size) for size in image.shape), indexing="ij"), axis=-1)
    if len(image.shape) == 2:
        index = np.concatenate([index, np.zeros((*index.shape[:-1], 1))], axis=-1)
    assert image.affine is not None
    difference = np.abs(image.values - expected_hu(transform_points(image.affine, index)))
    return float(difference[~image.invalid].max() if image.invalid is not None else difference.max())
