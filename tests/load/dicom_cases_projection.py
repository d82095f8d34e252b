"""Pictures without a place in the patient: radiographs, colour, palettes, screens (rows 47, 54 to 56)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
from dicom_bench import Bench, put_pixels, save
from dicom_cases_codecs import compress, jpeg, jpeg_2000, rle
from dicom_cases_register import Truth, case
from pydicom.dataset import Dataset
from pydicom.uid import (
    ComputedRadiographyImageStorage,
    DigitalXRayImageStorageForPresentation,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLSLossless,
    RLELossless,
    SecondaryCaptureImageStorage,
    SegmentationStorage,
    UltrasoundImageStorage,
)

GREY = np.arange(6 * 8, dtype="u2").reshape(6, 8) * 60 + 100
BYTES = (np.arange(6 * 8) * 5).astype("u1").reshape(6, 8)
RGB = np.random.default_rng(2).integers(0, 255, (6, 8, 3), dtype="u1")
_CLASSES = {
    "DX": DigitalXRayImageStorageForPresentation,
    "CR": ComputedRadiographyImageStorage,
    "US": UltrasoundImageStorage,
    "OT": SecondaryCaptureImageStorage,
}


def picture(stored: np.ndarray, modality: str = "DX", *, bits_stored: int | None = None, **attributes: Any) -> Dataset:
    """Return an image with neither position nor spacing nor rescale."""
    data = Bench(count=1).slices()[0]
    for keyword in (
        "ImagePositionPatient",
        "ImageOrientationPatient",
        "PixelSpacing",
        "RescaleSlope",
        "RescaleIntercept",
        "FrameOfReferenceUID",
    ):
        delattr(data, keyword)
    data.Modality = modality
    data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = _CLASSES.get(modality, SecondaryCaptureImageStorage)
    put_pixels(data, stored, bits_stored=bits_stored)
    for keyword, value in attributes.items():
        setattr(data, keyword, value)
    return data


def colour(stored: np.ndarray, photometric: str = "RGB", planar: int = 0) -> Dataset:
    """Return a colour image; `stored` is (H, W, 3)."""
    data = picture(BYTES, "US")
    data.SamplesPerPixel, data.PhotometricInterpretation, data.PlanarConfiguration = 3, photometric, planar
    placed = np.moveaxis(stored, -1, 0) if planar else stored
    data.PixelData = np.ascontiguousarray(placed).tobytes()
    data.PixelData += b"\0" * (len(data.PixelData) % 2)
    return data


def shown(data: Dataset, expected: np.ndarray, **changes: Any) -> Callable[[Path], Truth]:
    """Return a case of one picture with the values it must have."""

    def write(folder: Path) -> Truth:
        save(folder, [data])
        return Truth(**({"pixels": (expected.astype("f4"),), "spacing_mm": (None, None), "tolerance": 1e-3} | changes))

    return write


def spaced(expected: tuple[float | None, ...], **attributes: Any) -> Callable[[Path], Truth]:
    """Return a case of one radiograph with spacing attributes."""
    return shown(picture(GREY, bits_stored=12, **attributes), GREY, spacing_mm=expected)


def _full_range(rgb: np.ndarray) -> np.ndarray:
    """Return YBR_FULL of RGB (PS3.3, C.7.6.3.1.2)."""
    matrix = np.array([[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]])
    return np.clip(np.rint(rgb @ matrix.T + [0, 128, 128]), 0, 255).astype("u1")


SMOOTH = np.stack([BYTES // 2 + 60, 200 - BYTES // 3, BYTES // 4 + 90], axis=-1).astype("u1")

case("a radiograph without any spacing", objective=False)(spaced((None, None)))
case("a radiograph with the spacing at the detector only", objective=False)(
    spaced((None, None), ImagerPixelSpacing=[0.14, 0.15])
)
case("a radiograph with a calibrated spacing", objective=False)(
    spaced((0.11, 0.12), ImagerPixelSpacing=[0.14, 0.15], PixelSpacing=[0.11, 0.12])
)
case("a radiograph whose spacing repeats that at the detector", objective=False)(
    spaced((None, None), ImagerPixelSpacing=[0.14, 0.15], PixelSpacing=[0.14, 0.15])
)
case("a radiograph whose equal spacing is marked as calibrated", objective=False)(
    spaced(
        (0.14, 0.15), ImagerPixelSpacing=[0.14, 0.15], PixelSpacing=[0.14, 0.15], PixelSpacingCalibrationType="FIDUCIAL"
    )
)
case("a radiograph with a spacing of zero", objective=False)(spaced((None, None), PixelSpacing=[0, 0]))
case("a radiograph in MONOCHROME1, shown with bright as dense", 47, flagged="A25", objective=False)(
    shown(picture(GREY, bits_stored=12, PhotometricInterpretation="MONOCHROME1"), 4095 - GREY.astype(int))
)
case("a radiograph in MONOCHROME1, kept as it is stored", 47, objective=False, polarity="stored")(
    shown(picture(GREY, bits_stored=12, PhotometricInterpretation="MONOCHROME1"), GREY)
)
case("a radiograph in MONOCHROME1 with an inverse presentation shape", flagged="A25", objective=False)(
    shown(
        picture(GREY, bits_stored=12, PhotometricInterpretation="MONOCHROME1", PresentationLUTShape="INVERSE"),
        4095 - GREY.astype(int),
    )
)
case("a radiograph in MONOCHROME1 with a rescale", flagged="A25", objective=False)(
    shown(
        picture(
            GREY, bits_stored=12, PhotometricInterpretation="MONOCHROME1", RescaleSlope="2", RescaleIntercept="-100"
        ),
        2.0 * (4095 - GREY.astype(int)) - 100,
    )
)
case("a signed radiograph in MONOCHROME1", flagged="A25", objective=False)(
    shown(
        picture((GREY.astype("i2") - 1000), bits_stored=12, PhotometricInterpretation="MONOCHROME1"),
        -1 - (GREY.astype(int) - 1000),
    )
)


def _compressed_monochrome1(folder: Path) -> Truth:
    data = picture(GREY, bits_stored=12, PhotometricInterpretation="MONOCHROME1")
    compress(data, jpeg_2000(GREY), JPEG2000Lossless)
    save(folder, [data])
    return Truth(pixels=((4095.0 - GREY).astype("f4"),), tolerance=1e-3)


case("a radiograph in MONOCHROME1 with JPEG 2000", flagged="A25", objective=False)(_compressed_monochrome1)


@case("two views in one series, which stay two images", objective=False)
def _(folder: Path) -> Truth:
    first, second = picture(GREY, bits_stored=12), picture(GREY[::-1].copy(), bits_stored=12)
    second.SOPInstanceUID = "2.25.7.1.2"
    save(folder, [first, second])
    return Truth(pixels=(GREY.astype("f4"), GREY[::-1].astype("f4")), tolerance=1e-3)


@case("a radiograph beside a CT series in one study", objective=False)
def _(folder: Path) -> Truth:
    data = picture(GREY, bits_stored=12)
    data.SeriesInstanceUID, data.SOPInstanceUID = "2.25.7.2", "2.25.7.2.1"
    save(folder / "a", Bench().slices())
    save(folder / "b", [data])
    return Truth(pictures=1)


for _planar in (0, 1):
    case(f"RGB with planar configuration {_planar}", 54, objective=False)(shown(colour(RGB, planar=_planar), RGB))
    case(f"YBR_FULL with planar configuration {_planar}", 54, objective=False)(
        shown(colour(_full_range(RGB), "YBR_FULL", _planar), RGB, tolerance=2.0)
    )


def _odd_rgb(folder: Path) -> Truth:
    small = np.ascontiguousarray(RGB[:5, :7])
    data = colour(small)
    data.Rows, data.Columns = 5, 7
    save(folder, [data])
    return Truth(pixels=(small.astype("f4"),), tolerance=1e-3)


case("RGB with an odd number of bytes", objective=False)(_odd_rgb)


def _subsampled(folder: Path) -> Truth:
    """Write YBR_FULL_422: two luminances, then one of each chrominance (PS3.3, C.7.6.3.1.2)."""
    rgb = np.repeat(SMOOTH[:, ::2], 2, axis=1)
    ybr = _full_range(rgb)
    pairs = np.stack([ybr[:, ::2, 0], ybr[:, 1::2, 0], ybr[:, ::2, 1], ybr[:, ::2, 2]], axis=-1)
    data = colour(RGB, "YBR_FULL_422")
    data.PixelData = np.ascontiguousarray(pairs).tobytes()
    save(folder, [data])
    return Truth(pixels=(rgb.astype("f4"),), tolerance=2.0)


case("YBR_FULL_422 without compression", 54, objective=False)(_subsampled)


def _rgb_16(folder: Path) -> Truth:
    data = colour(RGB)
    data.BitsAllocated = data.BitsStored = 16
    data.HighBit = 15
    data.PixelData = (RGB.astype("<u2") * 257).tobytes()
    data["PixelData"].VR = "OW"
    save(folder, [data])
    return Truth(pixels=(RGB.astype("f4"),), tolerance=1e-3)


case("RGB of 16 bits a sample, brought to 0 to 255", objective=False)(_rgb_16)


def _coloured(data: Dataset, stream: bytes, syntax: str, photometric: str = "RGB") -> Dataset:
    data.PhotometricInterpretation = photometric
    compress(data, stream, syntax)
    return data


case("RGB, run-length coded", 54, objective=False)(shown(_coloured(colour(RGB, planar=1), rle(RGB), RLELossless), RGB))
case("RGB in JPEG-LS", objective=False)(
    shown(_coloured(colour(RGB), bytes(imagecodecs.jpegls_encode(RGB)), JPEGLSLossless), RGB)
)
case("RGB in JPEG 2000 without a colour transform", objective=False)(
    shown(
        _coloured(
            colour(RGB),
            bytes(imagecodecs.jpeg2k_encode(RGB, codecformat="j2k", reversible=True, level=0, mct=False)),
            JPEG2000Lossless,
        ),
        RGB,
    )
)
case("YBR_RCT in JPEG 2000", objective=False)(
    shown(
        _coloured(
            colour(RGB),
            bytes(imagecodecs.jpeg2k_encode(RGB, codecformat="j2k", reversible=True, level=0, mct=True)),
            JPEG2000Lossless,
            "YBR_RCT",
        ),
        RGB,
    )
)
case("YBR_FULL_422 in JPEG baseline", 54, flagged="A35", objective=False)(
    shown(
        _coloured(
            colour(SMOOTH),
            bytes(
                imagecodecs.jpeg8_encode(SMOOTH, level=100, colorspace="RGB", outcolorspace="YCBCR", subsampling="444")
            ),
            JPEGBaseline8Bit,
            "YBR_FULL_422",
        ),
        SMOOTH,
        tolerance=6.0,
    )
)
case("a grey radiograph in JPEG baseline", flagged="A35", objective=False)(
    shown(_coloured(picture(BYTES), jpeg(BYTES), JPEGBaseline8Bit, "MONOCHROME2"), BYTES, tolerance=3.0)
)


def _palette(bits: int, first: int = 0) -> Dataset:
    table = np.random.default_rng(6).permutation(256)
    data = picture(BYTES, "US")
    data.PhotometricInterpretation = "PALETTE COLOR"
    for number, name in enumerate(("Red", "Green", "Blue")):
        setattr(data, f"{name}PaletteColorLookupTableDescriptor", [256, first, bits])
        entries = np.roll(table, number * 40) * (257 if bits == 16 else 1)
        setattr(data, f"{name}PaletteColorLookupTableData", entries.astype("<u2" if bits == 16 else "u1").tobytes())
    return data


def _looked_up() -> np.ndarray:
    table = np.random.default_rng(6).permutation(256)
    return np.stack([np.roll(table, number * 40)[BYTES] for number in range(3)], axis=-1)


case("palette colours of 16 bits", 55, objective=False)(shown(_palette(16), _looked_up(), tolerance=0.01))
case("palette colours of 8 bits", 55, objective=False)(shown(_palette(8), _looked_up(), tolerance=0.01))
case(
    "CMYK, which is no colour space of DICOM",
    refused="ColourError PixelDataError HeaderError",
    answerable=False,
    objective=False,
)(shown(colour(RGB, "CMYK"), RGB))


def _two_samples(folder: Path) -> Truth:
    data = colour(RGB)
    data.SamplesPerPixel = 2
    save(folder, [data])
    return Truth(pixels=(RGB.astype("f4"),))


case(
    "two samples a pixel",
    refused="ColourError PixelDataError HeaderError NotAStudyError",
    answerable=False,
    objective=False,
)(_two_samples)


@case(
    "colour slices with positions in one series with grey ones",
    right=True,
    flagged="A30",
    refused="ColourError MissingSlicesError",
    objective=False,
)
def _(folder: Path) -> Truth:
    slices = Bench(rows=6, columns=8).slices()
    slices[5].SamplesPerPixel, slices[5].PhotometricInterpretation, slices[5].PlanarConfiguration = 3, "RGB", 0
    slices[5].BitsAllocated = slices[5].BitsStored = 8
    slices[5].HighBit, slices[5].PixelRepresentation = 7, 0
    slices[5].PixelData = RGB.tobytes()
    save(folder, slices)
    return Truth(shapes=((5, 6, 8),), pictures=1)


@case("a segmentation of one bit a voxel alone", 56, refused="NotAStudyError", answerable=True, objective=False)
def _(folder: Path) -> Truth:
    data = Bench(count=1, rows=8, columns=8).slices()[0]
    data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = SegmentationStorage
    data.Modality, data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = "SEG", 1, 1, 0, 0
    data.PixelData = np.packbits(np.eye(8, dtype="u1"), bitorder="little").tobytes()
    save(folder, [data])
    return Truth(shapes=None)


def _one_bit(folder: Path) -> Truth:
    pattern = (np.indices((6, 8)).sum(0) % 3 == 0).astype("u1")
    data = picture(BYTES, "OT")
    data.BitsAllocated = data.BitsStored = 1
    data.HighBit = 0
    data.PixelData = np.packbits(pattern.ravel(), bitorder="little").tobytes()
    save(folder, [data])
    return Truth(pixels=(pattern.astype("f4"),), tolerance=0.0)


case("a picture of one bit a pixel, values 0 and 1", 56, objective=False)(_one_bit)


@case("a screen capture with positions that belong to something else", right=True, flagged="A28", objective=False)
def _(folder: Path) -> Truth:
    data = picture(BYTES, "CT")
    data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    save(folder, [data])
    return Truth(pixels=(BYTES.astype("f4"),), tolerance=0.0)


@case("an overlay in its own group beside a radiograph", objective=False)
def _(folder: Path) -> Truth:
    data = picture(GREY, bits_stored=12)
    data.add_new(0x60000010, "US", 6)
    data.add_new(0x60000011, "US", 8)
    data.add_new(0x60000100, "US", 1)
    data.add_new(0x60000102, "US", 0)
    data.add_new(0x60003000, "OW", b"\xff" * 6)
    save(folder, [data])
    return Truth(pixels=(GREY.astype("f4"),), tolerance=1e-3)


@case("an overlay in the unused bits of a radiograph", objective=False)
def _(folder: Path) -> Truth:
    overlay = (np.indices(GREY.shape).sum(0) % 2).astype("u2") << 14
    save(folder, [picture(GREY | overlay, bits_stored=12)])
    return Truth(pixels=(GREY.astype("f4"),), tolerance=1e-3)


@case("a radiograph with a display window and a display table", objective=False)
def _(folder: Path) -> Truth:
    save(folder, [picture(GREY, bits_stored=12, WindowCenter="2000", WindowWidth="100", VOILUTFunction="SIGMOID")])
    return Truth(pixels=(GREY.astype("f4"),), tolerance=1e-3)
