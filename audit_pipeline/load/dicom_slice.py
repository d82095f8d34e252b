"""One DICOM file, decoded: values in real units with everything that the image made of it has to state."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from io import BytesIO

import numpy as np
import pydicom
from pydicom.uid import UID

from audit_pipeline.errors import HeaderError
from audit_pipeline.load.dicom_group import is_projection
from audit_pipeline.load.dicom_index import Header
from audit_pipeline.load.dicom_metadata import metadata_of
from audit_pipeline.load.dicom_pixels import Pixels, pixels_of, refuse_oversized
from audit_pipeline.load.dicom_values import STORED, mapping_of, padding_of, real_values, unit_of
from audit_pipeline.load.guard import translated
from audit_pipeline.load.settings import LoadSettings
from audit_pipeline.records import Floats, Mask, Scalar


@dataclass(frozen=True, kw_only=True, slots=True)
class Slice:
    """A decoded file.

    values : (H, W) float32 in `unit`, or (H, W, 3) RGB 0 to 255
    invalid : (H, W), True at padding and non-finite values; None when there is none
    digest : SHA-256 of the file
    mapping : "none", "rescale", "table" or "colour"
    """

    values: Floats
    invalid: Mask | None = None
    unit: str = STORED
    mapping: str
    is_inverted: bool = False
    stored_range: tuple[float, float]
    digest: str = ""
    metadata: Mapping[str, Scalar] = field(default_factory=dict)
    repairs: tuple[str, ...] = ()
    has_calibrated_spacing: bool = False


def read_slice(header: Header, settings: LoadSettings) -> Slice:
    """Return the decoded file of `header`.

    Raises
    ------
    LimitError, PixelDataError, CodecError, ColourError, RescaleError, HeaderError
        See `dicom_pixels` and `dicom_values`.
    """
    refuse_oversized(header, settings)
    with translated(HeaderError, "the file cannot be read a second time; check the disk"):
        content = header.path.read_bytes()
        dataset = pydicom.dcmread(BytesIO(content), force=True)
        if "TransferSyntaxUID" not in dataset.file_meta:
            dataset.file_meta.TransferSyntaxUID = UID(header.transfer_syntax)
        metadata = metadata_of(dataset, header.transfer_syntax)
        calibrated = _is_calibrated(dataset)
    pixels = pixels_of(dataset, header)
    decoded = _colour_slice(pixels) if pixels.values.ndim == 3 else _grey_slice(pixels, dataset, header, settings)
    return replace(
        decoded,
        digest=hashlib.sha256(content).hexdigest(),
        metadata=metadata,
        repairs=(*header.repairs, *pixels.repairs),
        has_calibrated_spacing=calibrated,
    )


def _colour_slice(pixels: Pixels) -> Slice:
    values = np.asarray(pixels.values, dtype=np.float32)
    return Slice(values=values, mapping="colour", stored_range=(float(values.min()), float(values.max())))


def _grey_slice(pixels: Pixels, dataset: pydicom.Dataset, header: Header, settings: LoadSettings) -> Slice:
    stored = pixels.values
    with translated(HeaderError, "the header fields about pixel values cannot be read; export the file again"):
        mapping = mapping_of(dataset, header)
        is_inverted = header.photometric == "MONOCHROME1" and settings.polarity == "display" and is_projection(header)
        padding = padding_of(stored, pixels.raw, dataset, header)
        with np.errstate(over="ignore", invalid="ignore"):
            values = real_values(stored, mapping, header, is_inverted=is_inverted).astype(np.float32)
        unit = unit_of(dataset, header, mapping)
    is_finite = np.isfinite(values)
    finite = stored if is_finite.all() else stored[is_finite]
    if finite is not stored:
        padding = ~is_finite if padding is None else padding | ~is_finite
    return Slice(
        values=values,
        invalid=padding if padding is not None and padding.any() else None,
        unit=unit,
        mapping=mapping.kind,
        is_inverted=is_inverted,
        stored_range=(float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0),
    )


def _is_calibrated(dataset: pydicom.Dataset) -> bool:
    """Whether PixelSpacing of a projection image is a size in the patient and not at the detector (PS3.3, 10.7.1.3)."""
    detector = dataset.get("ImagerPixelSpacing")
    return (
        detector is None or bool(dataset.get("PixelSpacingCalibrationType")) or detector != dataset.get("PixelSpacing")
    )
