"""From a DICOM file to its stored values: limits first, one decoder, then only the bits that count.

Reference: DICOM PS3.5, section 8 (encoding of pixel data) and annex A (transfer syntaxes).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom import config
from pydicom.encaps import get_frame
from pydicom.pixels import get_decoder
from pydicom.pixels.processing import apply_color_lut
from pydicom.uid import UID, RLELossless

from audit_pipeline.errors import CodecError, ColourError, LimitError, PixelDataError
from audit_pipeline.load.codestream import frame_size
from audit_pipeline.load.dicom_elements import uid_name
from audit_pipeline.load.dicom_index import Header, expected_bytes
from audit_pipeline.load.guard import translated
from audit_pipeline.load.lookup import table_entries
from audit_pipeline.load.settings import LoadSettings

PLUGINS = ("pylibjpeg", "pyjpegls", "pillow", "pydicom")
"""Decoders in order of preference; GDCM never decodes inside this process."""

_NEEDED = {
    "JPEG 2000": "pylibjpeg and pylibjpeg-openjpeg",
    "JPEG-LS": "pyjpegls",
    "RLE": "pylibjpeg and pylibjpeg-rle",
    "JPEG": "pylibjpeg and pylibjpeg-libjpeg (GPL)",
}
Stored = NDArray[np.generic]


def refuse_oversized(header: Header, settings: LoadSettings) -> None:
    """Refuse a frame that would need more memory than the limits allow, before anything is allocated.

    Raises
    ------
    LimitError
        Too many pixels, or far more than a file of this size can hold.
    """
    pixels = header.rows * header.columns
    if pixels > settings.frame_pixels:
        raise LimitError(
            f"a frame of {header.rows} x {header.columns} pixels is announced; at most {settings.frame_pixels} pixels "
            "are read"
        )
    needed = expected_bytes(header)
    if needed > settings.inflated_limit(header.file_bytes):
        raise LimitError(f"{needed} bytes of pixels are announced by a file of {header.file_bytes} bytes")


@dataclass(frozen=True, kw_only=True, slots=True)
class Pixels:
    """Decoded pixels of one frame.

    values : (H, W) integers with exactly the stored bits, (H, W) floats, or (H, W, 3) float32 RGB from 0 to 255
    raw : what the decoder returned, unused bits included
    repairs : what was decided where frame and header disagree
    """

    values: Stored
    raw: Stored
    repairs: tuple[str, ...] = ()


def pixels_of(dataset: pydicom.Dataset, header: Header) -> Pixels:
    """Return the stored values of a single-frame image.

    Raises
    ------
    CodecError
        No installed decoder reads the transfer syntax.
    PixelDataError
        The pixel data is damaged or contradicts the header.
    ColourError
        The photometric interpretation is not one that becomes grey or RGB.
    """
    name = uid_name(header.transfer_syntax)
    with translated(PixelDataError, f"the pixel data ({name}) cannot be decoded; transfer the file again"):
        repairs = () if header.is_native or header.transfer_syntax == RLELossless else _compared(dataset, header)
        decoder = _decoder(header.transfer_syntax)
        plugin = _plugin(decoder, header)
        # the unused bits are cleaned below, for every decoder alike
        raw, found = decoder.as_array(dataset, index=0, decoding_plugin=plugin, correct_unused_bits=False)
        raw = raw.astype(raw.dtype.newbyteorder("="), copy=False)
        values = _values(raw, str(found["photometric_interpretation"]), dataset, header)
    return Pixels(values=values, raw=raw, repairs=repairs)


def _values(raw: Stored, photometric: str, dataset: pydicom.Dataset, header: Header) -> Stored:
    if header.photometric == "PALETTE COLOR":
        return _palette(cleaned(raw, header), dataset)
    if header.samples == 1:
        return raw if raw.dtype.kind == "f" else cleaned(raw, header)
    return _colour(raw, photometric, header)


def _decoder(syntax: str) -> Any:
    try:
        return get_decoder(UID(syntax, config.IGNORE))
    except NotImplementedError as error:
        raise CodecError(
            "the transfer syntax is private or retired and has no decoder; export the file as explicit VR little endian"
        ) from error


def _plugin(decoder: Any, header: Header) -> str:
    if header.is_native:
        return ""
    name = uid_name(header.transfer_syntax)
    usable = [one for one in PLUGINS if one in decoder.available_plugins]
    # Pillow's JPEG library reads 8 bits only
    if not usable or (usable[0] == "pillow" and header.transfer_syntax.endswith(".4.51") and header.bits[1] > 8):
        needed = next(packages for family, packages in _NEEDED.items() if family in f"{name} JPEG")
        raise CodecError(
            f"no installed decoder reads {name} with {header.bits[1]} bits; install {needed}, "
            "or export the file uncompressed"
        )
    return str(usable[0])


def _compared(dataset: pydicom.Dataset, header: Header) -> tuple[str, ...]:
    """Compare the frame's own header with the file's before a decoder allocates for it."""
    size = frame_size(get_frame(dataset.PixelData, 0, number_of_frames=1))
    if size is None:
        raise PixelDataError("the compressed frame has no readable header; transfer the file again")
    if (size.rows, size.columns, size.samples) != (header.rows, header.columns, header.samples):
        raise PixelDataError(
            f"the compressed frame holds {size.rows} x {size.columns} pixels of {size.samples} samples, "
            f"the header announces {header.rows} x {header.columns} of {header.samples}; export the file again"
        )
    differs = size.is_signed is not None and size.is_signed != header.is_signed
    return ("sign of the compressed values taken from the header",) if differs else ()


def cleaned(values: Stored, header: Header) -> NDArray[np.integer[Any]]:
    """Return decoded integers with only their stored bits, sign-extended (PS3.5, 8.1.1).

    The bits above the high bit may hold overlays or rubbish; in native and run-length coded data the stored bits may
    also sit above bit 0.
    """
    allocated = values.dtype.itemsize * 8
    _, stored, high = header.bits
    positioned = header.is_native or header.transfer_syntax == RLELossless
    shift = high + 1 - stored if positioned and header.bits[0] > 1 else 0
    width = min(stored, allocated)
    if width == allocated and not shift:
        return np.asarray(values.view(f"{'i' if header.is_signed else 'u'}{values.dtype.itemsize}"))
    raw = values.view(f"u{values.dtype.itemsize}").astype(np.int64)
    raw = (raw >> shift) & ((1 << width) - 1)
    if header.is_signed:
        half = 1 << (width - 1)
        raw = (raw ^ half) - half
    return raw


def _palette(values: NDArray[np.integer[Any]], dataset: pydicom.Dataset) -> Stored:
    """Return RGB of palette indices (PS3.3, C.7.6.3.1.5 and C.7.6.3.1.6)."""
    if "SegmentedRedPaletteColorLookupTableData" in dataset:
        coloured = apply_color_lut(values.astype(np.uint32), dataset)
        return np.asarray(coloured[..., :3] * np.float32(255.0 / np.iinfo(coloured.dtype).max), dtype=np.float32)
    planes = []
    for colour in ("Red", "Green", "Blue"):
        length, first, bits = (int(one) for one in dataset[f"{colour}PaletteColorLookupTableDescriptor"].value)
        length = length or 65_536
        data = dataset[f"{colour}PaletteColorLookupTableData"].value
        table = table_entries(data, length, is_little=bool(dataset.original_encoding[1]))
        entries = np.clip(values.astype(np.int64) - first, 0, length - 1)
        planes.append(table[entries] * (255.0 / ((1 << bits) - 1)))
    return np.stack(planes, axis=-1).astype(np.float32)


def _colour(values: Stored, photometric: str, header: Header) -> Stored:
    if photometric != "RGB" or header.samples != 3:
        raise ColourError(
            f"{header.samples} samples in {photometric or 'an unnamed colour space'} cannot be shown as RGB; "
            "export the image as RGB"
        )
    # PS3.3, C.7.6.3.1.2: RGB samples are unsigned and use the range of the stored bits
    top = float((1 << header.bits[1]) - 1)
    return np.asarray(np.clip(values.astype(np.float32) * np.float32(255.0 / top), 0.0, 255.0), dtype=np.float32)
