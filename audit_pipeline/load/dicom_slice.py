"""One DICOM frame, decoded: values in real units with everything that the image made of it has to state."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from audit_pipeline.errors import HeaderError
from audit_pipeline.load.dicom_group import is_projection
from audit_pipeline.load.dicom_header import Header
from audit_pipeline.load.dicom_pixels import Pixels, as_encoded, pixels_of
from audit_pipeline.load.dicom_values import STORED, mapping_of, padding_of, stored_range, unit_of
from audit_pipeline.load.guard import translated
from audit_pipeline.load.settings import LoadSettings
from audit_pipeline.records import Floats, Mask


@dataclass(frozen=True, kw_only=True, slots=True)
class Slice:
    """What is known of a decoded frame beside its values.

    invalid : (H, W), True at padding and non-finite values; None when there is none
    mapping : "none", "rescale", "table" or "colour"
    stored_range : lowest and highest stored value that is finite
    """

    invalid: Mask | None = None
    unit: str = STORED
    mapping: str
    is_inverted: bool = False
    is_lossy: bool = False
    stored_range: tuple[float, float]
    repairs: tuple[str, ...] = ()


def write_slice(
    out: Floats,
    encoded: bytes | memoryview,
    header: Header,
    settings: LoadSettings,
    *,
    suv_factor: float | None = None,
) -> Slice:
    """Decode the frame of `header` into `out`; `suv_factor` turns its activity into uptake.

    Parameters
    ----------
    out : (H, W) float32, real values in the unit that is returned; or (H, W, 3), RGB 0 to 255

    Raises
    ------
    PixelDataError, CodecError, ColourError, RescaleError, HeaderError
        See `dicom_pixels` and `dicom_values`.
    """
    header, decided, is_lossy = as_encoded(header, encoded)
    pixels = pixels_of(encoded, header)
    if pixels.values.ndim == 3:
        out[...] = pixels.values
        found = Slice(mapping="colour", stored_range=(float(out.min()), float(out.max())))
    else:
        found = _write_grey(out, pixels, header, settings, suv_factor)
    return replace(found, repairs=(*header.repairs, *decided), is_lossy=is_lossy)


def _write_grey(
    out: Floats,
    pixels: Pixels,
    header: Header,
    settings: LoadSettings,
    suv_factor: float | None,
) -> Slice:
    finite = stored = pixels.values
    is_inverted = header.photometric == "MONOCHROME1" and settings.polarity == "display" and is_projection(header)
    with translated(HeaderError, "the header fields about pixel values cannot be read; export the file again"):
        stated = mapping_of(header.dataset, header)
        padding = padding_of(stored, pixels.raw, header.dataset, header)
        unit = unit_of(header.dataset, header, stated) if suv_factor is None else "SUVbw"
        mapping = stated if suv_factor is None else stated.scaled(suv_factor)
        mapping = mapping.mirrored(*stored_range(stored, header)) if is_inverted else mapping
        with np.errstate(over="ignore", invalid="ignore"):
            mapping.write(stored, out)
    if stored.dtype.kind == "f" or not mapping.is_tame:
        is_finite = np.isfinite(out)
        if not is_finite.all():
            finite = stored[is_finite]
            padding = ~is_finite if padding is None else padding | ~is_finite
    return Slice(
        invalid=padding if padding is not None and padding.any() else None,
        unit=unit,
        mapping=stated.kind,
        is_inverted=is_inverted,
        stored_range=(float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0),
    )
