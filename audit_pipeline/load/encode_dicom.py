"""DICOM written: single-frame CT and digital radiographs of phantoms, the same bytes for the same numbers.

The writer is the mirror of the reader and exists for the demo and the tests. Everything that identifies a patient is
made up from a seed text; dates are left empty.
"""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass

import numpy as np
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import (
    UID,
    CTImageStorage,
    DigitalXRayImageStorageForPresentation,
    ExplicitVRLittleEndian,
    MRImageStorage,
)

from audit_pipeline.records import Floats, Matrix

RESCALE_INTERCEPT_HU = -1024
BITS_STORED = 12
STORAGE = {"CT": CTImageStorage, "MR": MRImageStorage}


@dataclass(frozen=True, kw_only=True, slots=True)
class Identity:
    """Who a phantom pretends to be. `seed` decides the UIDs; `age` is an age string (PS3.5, 6.2, VR AS) or empty."""

    seed: str
    patient_id: str
    patient_name: str
    birth_date: str = ""
    age: str = "050Y"


def uid(*parts: object) -> str:
    """Return a unique identifier under the root 2.25 that depends on `parts` only (PS3.5, B.2).

    >>> uid("a", 1) == uid("a", 1) != uid("a", 2)
    True
    """
    digest = hashlib.sha256("|".join(str(part) for part in parts).encode()).digest()
    return f"2.25.{int.from_bytes(digest[:16], 'big')}"


def ct_files(
    values_hu: Floats, affine: Matrix, identity: Identity, *, modality: str = "CT", body_part: str = "CHEST"
) -> list[bytes]:
    """Return one CT (or MR) Image Storage instance per slice, in slice order.

    Parameters
    ----------
    values_hu : (D, H, W) float32, HU; stored as 12 bits with intercept -1024
    affine : (4, 4), index -> mm in LPS+; its slice axis must be the normal of the other two
    modality : "CT" or "MR"
    """
    row_step, column_step = affine[:3, 1], affine[:3, 2]
    spacing = [float(np.linalg.norm(row_step)), float(np.linalg.norm(column_step))]
    orientation = [*(column_step / spacing[1]), *(row_step / spacing[0])]
    thickness = float(np.linalg.norm(affine[:3, 0]))
    files = []
    for index, values in enumerate(values_hu):
        dataset = _dataset(STORAGE[modality], identity, modality, index, body_part)
        dataset.FrameOfReferenceUID = uid(identity.seed, "frame")
        dataset.PositionReferenceIndicator = ""
        dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
        dataset.ImagePositionPatient = _decimals(affine[:3, 3] + index * affine[:3, 0])
        dataset.ImageOrientationPatient = _decimals(orientation)
        dataset.PixelSpacing = _decimals(spacing)
        dataset.SliceThickness = _decimals([thickness])[0]
        if modality == "CT":
            dataset.KVP = "120"
            dataset.RescaleIntercept = str(RESCALE_INTERCEPT_HU)
            dataset.RescaleSlope = "1"
            dataset.RescaleType = "HU"
            dataset.WindowCenter, dataset.WindowWidth = "-350", "1300"
        _set_pixels(dataset, values - RESCALE_INTERCEPT_HU, "MONOCHROME2")
        files.append(_bytes(dataset))
    return files


def dx_file(
    values: Floats,
    spacing_mm: tuple[float, float],
    identity: Identity,
    *,
    photometric: str = "MONOCHROME2",
    view_position: str = "PA",
) -> bytes:
    """Return one Digital X-Ray Image Storage - For Presentation instance.

    Parameters
    ----------
    values : (H, W) float32, stored values 0 to 4095, written as they are
    spacing_mm : calibrated distance between rows and between columns
    photometric : what the file declares about the stored values
    """
    dataset = _dataset(DigitalXRayImageStorageForPresentation, identity, "DX", 0, "CHEST")
    dataset.ImageType = ["ORIGINAL", "PRIMARY", ""]
    dataset.ViewPosition = view_position
    dataset.PatientOrientation = ["L", "F"]
    dataset.ImageLaterality = "U"
    dataset.PresentationIntentType = "FOR PRESENTATION"
    dataset.PresentationLUTShape = "INVERSE" if photometric == "MONOCHROME1" else "IDENTITY"
    dataset.PixelSpacing = _decimals(spacing_mm)
    dataset.ImagerPixelSpacing = _decimals([side * 1.1 for side in spacing_mm])
    dataset.PixelSpacingCalibrationType = "GEOMETRY"
    dataset.PixelIntensityRelationship = "LOG"
    dataset.PixelIntensityRelationshipSign = 1
    dataset.BurnedInAnnotation = "NO"
    dataset.LossyImageCompression = "00"
    dataset.KVP = "120"
    _set_pixels(dataset, values, photometric)
    return _bytes(dataset)


def _dataset(storage: UID, identity: Identity, modality: str, index: int, body_part: str) -> FileDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = storage
    meta.MediaStorageSOPInstanceUID = UID(uid(identity.seed, modality, "instance", index))
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = UID(uid("audit_pipeline"))
    dataset = FileDataset("", {}, file_meta=meta, preamble=bytes(128))
    dataset.SOPClassUID = meta.MediaStorageSOPClassUID
    dataset.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    for keyword in ("StudyDate", "StudyTime", "AccessionNumber", "ReferringPhysicianName", "StudyID", "PatientSex"):
        setattr(dataset, keyword, "")
    dataset.Modality = modality
    dataset.Manufacturer = "audit_pipeline phantom"
    dataset.PatientName = identity.patient_name
    dataset.PatientID = identity.patient_id
    dataset.PatientBirthDate = identity.birth_date
    dataset.PatientAge = identity.age
    dataset.BodyPartExamined = body_part
    dataset.StudyInstanceUID = uid(identity.seed, "study")
    dataset.SeriesInstanceUID = uid(identity.seed, "series")
    dataset.SeriesNumber = "1"
    dataset.InstanceNumber = str(index + 1)
    return dataset


def _set_pixels(dataset: FileDataset, stored: Floats, photometric: str) -> None:
    highest = 2**BITS_STORED - 1
    pixels = np.clip(np.rint(stored), 0, highest).astype("<u2")
    dataset.Rows, dataset.Columns = pixels.shape
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = photometric
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, BITS_STORED, BITS_STORED - 1
    dataset.PixelRepresentation = 0
    dataset.PixelData = pixels.tobytes()
    dataset["PixelData"].VR = "OW"


def _decimals(numbers: object) -> list[str]:
    """Return decimal strings of at most 16 characters (PS3.5, 6.2, VR DS); below 1e-20 a number is written as 0."""
    # ten digits fit as long as the exponent has two
    return [f"{round(float(number), 20):.10g}" for number in np.asarray(numbers, dtype=np.float64)]


def _bytes(dataset: FileDataset) -> bytes:
    stream = io.BytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    return stream.getvalue()
