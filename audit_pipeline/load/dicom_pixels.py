"""From a DICOM file to its stored values: limits first, one decoder a transfer syntax, then only the bits that count.

Reference: DICOM PS3.5, section 8 (encoding of pixel data) and annex A (transfer syntaxes).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom import uid as syntaxes
from pydicom.pixels import get_decoder
from pydicom.pixels.processing import apply_color_lut, convert_color_space
from pydicom.uid import UID, RLELossless

from audit_pipeline.errors import CodecError, ColourError, PixelDataError
from audit_pipeline.load.codec_pool import POOL, CompressedFrame, seconds_for
from audit_pipeline.load.codestream import frame_size, is_whole
from audit_pipeline.load.dicom_elements import text, uid_name
from audit_pipeline.load.dicom_header import Header, frame_bytes
from audit_pipeline.load.guard import translated
from audit_pipeline.load.lookup import refuse_long_segments, table_entries
from audit_pipeline.load.sniff import HEAD_BYTES

FAMILIES = {
    syntaxes.RLELossless: "rle",
    syntaxes.JPEGBaseline8Bit: "jpeg",
    syntaxes.JPEGExtended12Bit: "jpeg",
    syntaxes.JPEGLossless: "jpeg",
    syntaxes.JPEGLosslessSV1: "jpeg",
    syntaxes.JPEGLSLossless: "jpeg_ls",
    syntaxes.JPEGLSNearLossless: "jpeg_ls",
    syntaxes.JPEG2000Lossless: "jpeg_2000",
    syntaxes.JPEG2000: "jpeg_2000",
    syntaxes.HTJ2KLossless: "htj2k",
    syntaxes.HTJ2KLosslessRPCL: "htj2k",
    syntaxes.HTJ2K: "htj2k",
}
"""Which codec reads a transfer syntax; see `codec_worker.DECODERS`."""
_LOSSY_JPEG = (syntaxes.JPEGBaseline8Bit, syntaxes.JPEGExtended12Bit)
_ALWAYS_LOSSY = (*_LOSSY_JPEG, syntaxes.JPEGLSNearLossless)
"""The other lossy transfer syntaxes may hold reversible frames (PS3.5, 10.3 and 10.4)."""
Stored = NDArray[np.generic]


@dataclass(frozen=True, kw_only=True, slots=True)
class Pixels:
    """Decoded pixels of one frame.

    values : (H, W) integers with exactly the stored bits, (H, W) floats, or (H, W, 3) float32 RGB from 0 to 255
    raw : what the decoder returned, unused bits included
    """

    values: Stored
    raw: Stored


def as_encoded(header: Header, encoded: bytes | memoryview) -> tuple[Header, tuple[str, ...], bool]:
    """Return the header with the sign that the frame has, what had to be decided for it, and whether there is loss.

    A JPEG 2000 frame that says its samples are signed holds negative numbers, whatever the header says. One that says
    they are not, below a header that says they are, holds the words of the header as they stand in memory.
    """
    is_lossy = text(header.dataset, "LossyImageCompression") == "01" or header.transfer_syntax in _ALWAYS_LOSSY
    size = None if header.is_native else frame_size(bytes(encoded[:HEAD_BYTES]))
    if size is None:
        return header, (), is_lossy
    is_lossy = is_lossy or size.is_reversible is False
    if size.is_signed in (None, header.is_signed):
        return header, (), is_lossy
    if size.is_signed:
        return replace(header, is_signed=True), ("sign of the compressed values taken from the frame",), is_lossy
    return header, ("sign of the compressed values taken from the header",), is_lossy


def pixels_of(encoded: bytes | memoryview, header: Header) -> Pixels:
    """Return the stored values of one frame from its bytes in the file.

    Raises
    ------
    CodecError
        The transfer syntax is private, retired or none of an image.
    PixelDataError
        The pixel data is damaged or contradicts the header.
    ColourError
        The photometric interpretation is not one that becomes grey or RGB.
    """
    name = uid_name(header.transfer_syntax)
    with translated(PixelDataError, f"the pixel data ({name}) cannot be decoded; transfer the file again"):
        raw = _native(encoded, header) if header.is_native else _decompressed(bytes(encoded), header)
        return Pixels(values=_values(raw, header), raw=raw)


def _native(encoded: bytes | memoryview, header: Header) -> Stored:
    allocated = header.bits[0]
    if header.samples == 1 and allocated in {8, 16, 32} and header.pixel_keyword == "PixelData" and not header.is_big:
        stored = np.frombuffer(encoded, dtype=f"<u{allocated // 8}", count=header.rows * header.columns)
        return stored.reshape(header.rows, header.columns)
    return _by_pydicom(encoded, header)


def _by_pydicom(encoded: bytes | memoryview, header: Header) -> Stored:
    """Return native samples whose layout needs more than a look: colour, single bits, big endian, floats."""
    if header.frames > 1 and (header.bits[0] == 1 or (header.is_big and frame_bytes(header) % 2)):
        raise PixelDataError("frames that do not begin at a whole word are not read; export the file as little endian")
    single = pydicom.Dataset({tag: header.dataset.get_item(tag) for tag in header.dataset.keys()})  # noqa: SIM118
    single.file_meta = pydicom.dataset.FileMetaDataset()
    single.file_meta.TransferSyntaxUID = UID(header.plain_syntax)
    single.set_original_encoding(*header.dataset.original_encoding)
    single.NumberOfFrames = 1
    setattr(single, header.pixel_keyword, bytes(encoded))
    if header.pixel_vr:
        single[header.pixel_keyword].VR = header.pixel_vr
    raw, _ = get_decoder(single.file_meta.TransferSyntaxUID).as_array(single, raw=True, correct_unused_bits=False)
    return np.asarray(raw.astype(raw.dtype.newbyteorder("="), copy=False))


def _decompressed(encoded: bytes, header: Header) -> Stored:
    family = FAMILIES.get(UID(header.transfer_syntax))
    if family is None:
        name = uid_name(header.transfer_syntax) or "private or retired"
        raise CodecError(f"the transfer syntax ({name}) has no decoder; export the file as explicit VR little endian")
    if family != "rle":
        _refuse_unlike(encoded, header)
    allocated = max(header.bits[0], 8) // 8
    expected = header.rows * header.columns * header.samples * allocated
    frame = CompressedFrame(
        family=family,
        content=encoded,
        expected_bytes=expected,
        dtype=f"<u{allocated}",
        colour_space=_colour_space(encoded, header),
    )
    # a codec may answer with wider samples than the header allocates
    pixels = header.rows * header.columns
    decoded = POOL.decode(frame, most_bytes=4 * pixels * header.samples, seconds=seconds_for(pixels))
    return _shaped(decoded, header, is_planar=family == "rle")


def _shaped(decoded: NDArray[Any], header: Header, *, is_planar: bool) -> Stored:
    size = (header.rows, header.columns)
    if decoded.size != size[0] * size[1] * header.samples:
        raise PixelDataError("the compressed frame holds another number of samples than the header; export it again")
    if header.samples == 1:
        return decoded.reshape(size)
    if is_planar:
        return np.moveaxis(decoded.reshape(header.samples, *size), 0, -1)
    return decoded.reshape(*size, header.samples)


def _colour_space(encoded: bytes, header: Header) -> str | None:
    """Return what a lossy colour JPEG holds: as its Adobe marker says, else as the header says (PS3.5, 8.2.1)."""
    if header.samples != 3 or header.transfer_syntax not in _LOSSY_JPEG:
        return None
    marker = encoded.find(b"Adobe", 0, 4096)
    # the last byte of the marker: 0 untransformed, 1 YCbCr
    transform = encoded[marker + 11] if 0 <= marker < len(encoded) - 11 else None
    if transform is not None:
        return "YCBCR" if transform == 1 else "RGB"
    return "RGB" if header.photometric == "RGB" else "YCBCR"


def _refuse_unlike(encoded: bytes, header: Header) -> None:
    """Compare the frame's own header with the file's before a decoder allocates for it."""
    size = frame_size(encoded)
    if size is None or not is_whole(encoded):
        lacking = "readable header" if size is None else "end: it was cut"
        raise PixelDataError(f"the compressed frame has no {lacking}; transfer the file again")
    if (size.rows, size.columns, size.samples) != (header.rows, header.columns, header.samples):
        raise PixelDataError(
            f"the compressed frame holds {size.rows} x {size.columns} pixels of {size.samples} samples, "
            f"the header announces {header.rows} x {header.columns} of {header.samples}; export the file again"
        )


def _values(raw: Stored, header: Header) -> Stored:
    if header.photometric == "PALETTE COLOR":
        return _palette(cleaned(raw, header), header.dataset)
    if header.samples == 1:
        return raw if raw.dtype.kind == "f" else cleaned(raw, header)
    return _colour(raw, header)


def cleaned(values: Stored, header: Header) -> NDArray[np.integer[Any]]:
    """Return decoded integers with only their stored bits, sign-extended (PS3.5, 8.1.1).

    The bits above the high bit may hold overlays or rubbish; in native and run-length coded data the stored bits may
    also sit above bit 0.
    """
    _, stored, high = header.bits
    if values.dtype.kind == "u" and values.dtype.itemsize * 8 < stored:
        # a stream of fewer bits than the header stores: what it holds is not negative
        values = values.astype(np.uint16 if stored <= 16 else np.uint32)
    allocated = values.dtype.itemsize * 8
    positioned = header.is_native or header.transfer_syntax == RLELossless
    shift = high + 1 - stored if positioned and header.bits[0] > 1 else 0
    width = min(stored, allocated)
    if width == allocated and not shift:
        return np.asarray(values.view(f"{'i' if header.is_signed else 'u'}{values.dtype.itemsize}"))
    # left to the top and right again: the rubbish falls off, the sign fills up
    kind = f"{'i' if header.is_signed else 'u'}{values.dtype.itemsize}"
    lifted = np.left_shift(values.view(f"u{values.dtype.itemsize}"), allocated - width - shift)
    return np.asarray(np.right_shift(lifted.view(kind), allocated - width))


def _palette(values: NDArray[np.integer[Any]], dataset: pydicom.Dataset) -> Stored:
    """Return RGB of palette indices (PS3.3, C.7.6.3.1.5 and C.7.6.3.1.6)."""
    if "SegmentedRedPaletteColorLookupTableData" in dataset:
        refuse_long_segments(dataset)
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


def _colour(values: Stored, header: Header) -> Stored:
    if header.samples != 3 or header.photometric not in _RGB_AFTER_DECODING | _FULL_RANGE_YBR:
        raise ColourError(
            f"{header.samples} samples in {_space_name(header.photometric)} cannot be shown as RGB; "
            "export the image as RGB"
        )
    decoded_to_rgb = header.photometric in _RGB_AFTER_DECODING or header.transfer_syntax in _LOSSY_JPEG
    rgb = values if decoded_to_rgb else convert_color_space(values, "YBR_FULL", "RGB")
    # PS3.3, C.7.6.3.1.2: RGB samples are unsigned and use the range of the stored bits
    top = float((1 << header.bits[1]) - 1)
    return np.asarray(np.clip(rgb.astype(np.float32) * np.float32(255.0 / top), 0.0, 255.0), dtype=np.float32)


def _space_name(photometric: str) -> str:
    """Return a defined term as it stands; any other text of a header may identify."""
    if photometric in _OTHER_SPACES | _RGB_AFTER_DECODING | _FULL_RANGE_YBR:
        return photometric
    return "another colour space" if photometric else "an unnamed colour space"


_RGB_AFTER_DECODING = frozenset(("RGB", "YBR_RCT", "YBR_ICT"))
"""JPEG 2000 undoes its own colour transforms (PS3.5, 8.2.4)."""
_FULL_RANGE_YBR = frozenset(("YBR_FULL", "YBR_FULL_422"))
_OTHER_SPACES = frozenset(
    ("MONOCHROME1", "MONOCHROME2", "PALETTE COLOR", "HSV", "ARGB", "CMYK", "XYB", "YBR_PARTIAL_422", "YBR_PARTIAL_420")
)
"""Terms of PS3.3, C.7.6.3.1.2, retired ones included, that are not read as colour."""
