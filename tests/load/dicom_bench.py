"""A bench of DICOM series whose every voxel is a known function of its place in the patient.

A reader is right only when value and position agree: ``expected_hu(position)`` must come back at the delivered affine.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from pydicom.datadict import tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.tag import Tag
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


def planted(data: Dataset, *, offset: float = 0.0) -> np.ndarray:
    """Return the values that belong at the pixels of a slice, whose header still holds its true geometry."""
    row, column = np.mgrid[: data.Rows, : data.Columns]
    cosines = np.array([float(one) for one in data.ImageOrientationPatient])
    between_rows, between_columns = (float(one) for one in data.PixelSpacing)
    places = np.array([float(one) for one in data.ImagePositionPatient])
    places = places + row[..., None] * cosines[3:] * between_rows + column[..., None] * cosines[:3] * between_columns
    return expected_hu(places) + offset


def plant(
    data: Dataset,
    *,
    offset: float = 0.0,
    slope: float = SLOPE,
    intercept: float = INTERCEPT,
    dtype: str = "i2",
    bits_stored: int | None = None,
) -> np.ndarray:
    """Encode the values of a slice anew, `offset` higher, and return what was stored."""
    stored = np.rint((planted(data, offset=offset) - intercept) / slope)
    bits = bits_stored or 8 * np.dtype(dtype).itemsize
    bottom = -(1 << (bits - 1)) if np.dtype(dtype).kind == "i" else 0
    assert bottom <= stored.min()
    assert stored.max() < bottom + (1 << bits)
    data.RescaleSlope, data.RescaleIntercept = f"{slope:.10g}", f"{intercept:.10g}"
    stored = stored.astype(dtype)
    put_pixels(data, stored, bits_stored=bits_stored)
    return stored


def raw(data: Dataset, keyword: str, value: bytes, vr: str) -> None:
    """Put the bytes of a value into `data` as they are, however wrong."""
    tag = Tag(tag_for_keyword(keyword))
    value += b" " * (len(value) % 2)
    data[tag] = RawDataElement(tag, vr, len(value), value, 0, False, True)


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


def excess(values: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """Return by how much each voxel exceeds the value planted at its position; `values` is (D, H, W) or (H, W)."""
    index = np.stack(np.meshgrid(*(np.arange(size) for size in values.shape), indexing="ij"), axis=-1)
    if values.ndim == 2:
        index = np.concatenate([index, np.zeros((*index.shape[:-1], 1))], axis=-1)
    return values - expected_hu(transform_points(affine, index))


def largest_error(image: Image) -> float:
    """Return the largest difference between the delivered values and those planted at the delivered positions."""
    assert image.affine is not None
    difference = np.abs(excess(image.values, image.affine))
    return float(difference[~image.invalid].max() if image.invalid is not None else difference.max())
