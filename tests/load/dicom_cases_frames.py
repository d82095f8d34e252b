"""Multi-frame objects that contradict themselves, are compressed, or are no volume (rows 40, 41, 70)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
from dicom_bench import Bench, plant, put_pixels, save
from dicom_cases_codecs import jpeg_2000, rle
from dicom_cases_multiframe import enhanced, frames_of, item, shuffled, whole
from dicom_cases_register import Truth, case
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, encapsulate_extended
from pydicom.uid import (
    ExplicitVRBigEndian,
    HTJ2KLossless,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    MultiFrameGrayscaleWordSecondaryCaptureImageStorage,
    NuclearMedicineImageStorage,
    RLELossless,
    UltrasoundMultiFrameImageStorage,
    XRayAngiographicImageStorage,
)

_CONTRADICTION = "PixelDataError HeaderError IncompleteSeriesError MultiFrameError NotAStudyError"


def arrays(data: Dataset) -> np.ndarray:
    """Return the stored pixels of all frames."""
    count = int(data.NumberOfFrames)
    kind = f"<{'i' if data.PixelRepresentation else 'u'}{data.BitsAllocated // 8}"
    return np.frombuffer(data.PixelData, kind)[: count * data.Rows * data.Columns].reshape(
        count, data.Rows, data.Columns
    )


def compressed(
    data: Dataset,
    encode: Callable[[np.ndarray], bytes],
    syntax: str,
    *,
    fragments: int = 1,
    has_offsets: bool = True,
    is_extended: bool = False,
) -> Dataset:
    """Return the object with every frame compressed."""
    streams = [bytes(encode(np.ascontiguousarray(frame))) for frame in arrays(data)]
    if is_extended:
        data.PixelData, data.ExtendedOffsetTable, data.ExtendedOffsetTableLengths = encapsulate_extended(streams)
    else:
        data.PixelData = encapsulate(streams, fragments_per_frame=fragments, has_bot=has_offsets)
    data["PixelData"].VR = "OB"
    data["PixelData"].is_undefined_length = True
    data.file_meta.TransferSyntaxUID = syntax
    return data


def _volume() -> Dataset:
    return enhanced(shuffled(frames_of(6)))


case("enhanced CT, run-length coded, frames in random order")(whole(compressed(_volume(), rle, RLELossless)))
case("enhanced CT in JPEG 2000, frames in random order")(whole(compressed(_volume(), jpeg_2000, JPEG2000Lossless)))
case("enhanced CT in JPEG 2000 without an offset table")(
    whole(compressed(_volume(), jpeg_2000, JPEG2000Lossless, has_offsets=False))
)
case("enhanced CT in JPEG 2000, three fragments a frame, with an offset table")(
    whole(compressed(_volume(), jpeg_2000, JPEG2000Lossless, fragments=3))
)
case("enhanced CT in JPEG 2000, three fragments a frame, without an offset table", right=True, refused=_CONTRADICTION)(
    whole(compressed(_volume(), jpeg_2000, JPEG2000Lossless, fragments=3, has_offsets=False))
)
case("enhanced CT in JPEG 2000 with an extended offset table")(
    whole(compressed(_volume(), jpeg_2000, JPEG2000Lossless, is_extended=True))
)
case("enhanced CT in HTJ2K")(
    whole(compressed(_volume(), lambda frame: imagecodecs.htj2k_encode(frame, reversible=True), HTJ2KLossless))
)


def _unsigned() -> Dataset:
    data = _volume()
    stored = arrays(data)
    assert stored.min() >= 0
    data.PixelRepresentation = 0
    return data


case("enhanced CT in JPEG-LS")(whole(compressed(_unsigned(), imagecodecs.jpegls_encode, JPEGLSLossless)))


def _broken_frame(number: int) -> Dataset:
    data = _unsigned()
    streams = [bytes(imagecodecs.jpegls_encode(np.ascontiguousarray(frame))) for frame in arrays(data)]
    streams[number] = streams[number][: len(streams[number]) // 4 * 2]
    data.PixelData = encapsulate(streams)
    data["PixelData"].VR = "OB"
    data["PixelData"].is_undefined_length = True
    data.file_meta.TransferSyntaxUID = JPEGLSLossless
    return data


case("enhanced CT in JPEG-LS with one broken frame", refused=_CONTRADICTION, answerable=False)(whole(_broken_frame(3)))


@case("enhanced CT in implicit VR")
def _(folder: Path) -> Truth:
    data = _volume()
    data.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    save(folder, [data])
    return Truth()


@case("enhanced CT in big endian")
def _(folder: Path) -> Truth:
    data = _volume()
    data.PixelData = arrays(data).astype(">i2").tobytes()
    data["PixelData"].VR = "OW"
    data.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
    save(folder, [data])
    return Truth()


def _altered(change: Callable[[Dataset], Any]) -> Dataset:
    data = enhanced(frames_of(6))
    change(data)
    return data


case("NumberOfFrames larger than the data", 40, refused=_CONTRADICTION, answerable=False)(
    whole(_altered(lambda data: setattr(data, "NumberOfFrames", 8)))
)
case("NumberOfFrames smaller than the data", 40, refused=_CONTRADICTION, answerable=False)(
    whole(_altered(lambda data: setattr(data, "NumberOfFrames", 4)))
)
case(
    "NumberOfFrames and functional groups smaller than the data",
    40,
    refused=_CONTRADICTION,
    flagged="A29",
    answerable=False,
)(
    whole(
        _altered(
            lambda data: (
                setattr(data, "NumberOfFrames", 4),
                data.PerFrameFunctionalGroupsSequence.__delitem__(slice(4, None)),
            )
        ),
        shapes=((4, 7, 9),),
    )
)
case("fewer functional groups than frames", refused=_CONTRADICTION, answerable=False)(
    whole(_altered(lambda data: data.PerFrameFunctionalGroupsSequence.pop()))
)
case("more functional groups than frames", refused=_CONTRADICTION, answerable=False)(
    whole(_altered(lambda data: data.PerFrameFunctionalGroupsSequence.append(data.PerFrameFunctionalGroupsSequence[0])))
)
case("NumberOfFrames is zero", refused=_CONTRADICTION, answerable=False)(
    whole(_altered(lambda data: setattr(data, "NumberOfFrames", 0)))
)
case(
    "NumberOfFrames is absent in an enhanced object",
    refused=_CONTRADICTION,
    answerable=False,
    right=True,
    flagged="A29",
)(whole(_altered(lambda data: delattr(data, "NumberOfFrames"))))
case("NumberOfFrames is negative", refused=_CONTRADICTION, answerable=False)(
    whole(_altered(lambda data: setattr(data, "NumberOfFrames", -6)))
)
case("enhanced CT cut in its fourth frame", refused=_CONTRADICTION, answerable=False)(
    lambda folder: _cut(folder, 7 * 9 * 2 * 2 + 10)
)


def _cut(folder: Path, lacking: int) -> Truth:
    (path,) = save(folder, [enhanced(frames_of(6))])
    path.write_bytes(path.read_bytes()[:-lacking])
    return Truth()


case("enhanced CT of one frame without a position", refused="NoGeometryError", answerable=False)(
    whole(_altered(lambda data: data.PerFrameFunctionalGroupsSequence[3].__delattr__("PlanePositionSequence")))
)
case("enhanced CT without orientation", refused="OrientationError", answerable=False)(
    whole(_altered(lambda data: data.SharedFunctionalGroupsSequence[0].__delattr__("PlaneOrientationSequence")))
)
case("enhanced CT without pixel spacing", refused="NoGeometryError", answerable=False)(
    whole(_altered(lambda data: data.SharedFunctionalGroupsSequence[0].__delattr__("PixelMeasuresSequence")))
)
case("enhanced CT with a frame without rescale", refused="RescaleError", answerable=False, objective=False)(
    whole(
        _altered(lambda data: data.PerFrameFunctionalGroupsSequence[2].__delattr__("PixelValueTransformationSequence"))
    )
)
case("enhanced CT with a slope of zero in one frame", refused="RescaleError", answerable=False)(
    whole(
        _altered(
            lambda data: setattr(
                data.PerFrameFunctionalGroupsSequence[2].PixelValueTransformationSequence[0], "RescaleSlope", "0"
            )
        )
    )
)
case(
    "enhanced CT with empty items among its functional groups",
    refused="NoGeometryError " + _CONTRADICTION,
    answerable=False,
)(whole(_altered(lambda data: setattr(data.PerFrameFunctionalGroupsSequence[1], "PlanePositionSequence", []))))


def _top_level_too(data: Dataset) -> None:
    # a converter left the classic attributes of its first slice behind
    data.ImagePositionPatient, data.PixelSpacing = [0, 0, 0], [9, 9]
    data.ImageOrientationPatient = [0, 1, 0, 0, 0, -1]
    data.RescaleSlope, data.RescaleIntercept = "5", "5"


case("enhanced CT with contradicting attributes at the top level")(whole(_altered(_top_level_too)))


def _both_groups(data: Dataset) -> None:
    # PS3.3, C.7.6.16.1.1 forbids it; the frame's own group is the more specific
    data.SharedFunctionalGroupsSequence[0].PixelValueTransformationSequence = item(
        RescaleSlope="7", RescaleIntercept="7", RescaleType="HU"
    )


case(
    "enhanced CT with a rescale both shared and per frame",
    right=True,
    flagged="A29",
    refused="RescaleError HeaderError",
)(whole(_altered(_both_groups)))
case("enhanced CT of one frame")(whole(enhanced(frames_of(1)), shapes=((7, 9),)))


@case("NumberOfFrames 1 in every file of a classic series")
def _(folder: Path) -> Truth:
    slices = Bench().slices()
    for data in slices:
        data.NumberOfFrames = 1
    save(folder, slices)
    return Truth()


@case("an empty NumberOfFrames in every file of a classic series")
def _(folder: Path) -> Truth:
    slices = Bench().slices()
    for data in slices:
        data.NumberOfFrames = None
    save(folder, slices)
    return Truth()


@case(
    "a classic CT of two frames, whose second has no place",
    refused="SeriesChoiceError MultiFrameError PixelDataError NoGeometryError",
    answerable=False,
    objective=False,
)
def _(folder: Path) -> Truth:
    data = Bench(count=1).slices()[0]
    data.NumberOfFrames = 2
    data.PixelData = data.PixelData[:126] * 2
    save(folder, [data])
    return Truth()


@case("a Siemens mosaic", 41, refused="MosaicError", answerable=True)
def _(folder: Path) -> Truth:
    data = Bench(count=1, rows=8, columns=8).slices()[0]
    data.ImageType, data.Modality = ["ORIGINAL", "PRIMARY", "M", "MOSAIC"], "MR"
    save(folder, [data])
    return Truth(shapes=None)


@case("a series of mosaics, each a time point", 41, refused="MosaicError", answerable=True)
def _(folder: Path) -> Truth:
    slices = Bench(rows=8, columns=8).slices()
    for number, data in enumerate(slices):
        data.ImageType, data.Modality = ["ORIGINAL", "PRIMARY", "FMRI", "NONE", "ND", "MOSAIC"], "MR"
        data.AcquisitionNumber = number + 1
    save(folder, slices)
    return Truth(shapes=None)


CINE = np.arange(5 * 6 * 8, dtype="u1").reshape(5, 6, 8)


def cine(modality: str, sop_class: str, frames: np.ndarray = CINE) -> Dataset:
    """Return a moving picture without a place in the patient."""
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
    data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = sop_class
    data.Modality, data.NumberOfFrames, data.FrameTime = modality, len(frames), "40"
    put_pixels(data, frames[0])
    data.PixelData = frames.tobytes()
    return data


_CINES = {
    "an angiogram": ("XA", XRayAngiographicImageStorage),
    "an ultrasound clip": ("US", UltrasoundMultiFrameImageStorage),
    "a multi-frame screen capture": ("OT", MultiFrameGrayscaleWordSecondaryCaptureImageStorage),
}
for _name, (_modality, _class) in _CINES.items():
    case(
        f"{_name} of five frames, with no frame chosen", refused="SeriesChoiceError", answerable=True, objective=False
    )(whole(cine(_modality, _class), pixels=(CINE[0].astype("f4"),)))
    case(f"{_name} of five frames, the fourth chosen", objective=False, volume=3)(
        whole(cine(_modality, _class), pixels=(CINE[3].astype("f4"),), spacing_mm=(None, None), tolerance=0.0)
    )
    case(
        f"{_name} of five frames, a sixth chosen",
        refused="SeriesChoiceError",
        answerable=False,
        objective=False,
        volume=5,
    )(whole(cine(_modality, _class), pixels=(CINE[0].astype("f4"),)))
case("an angiogram in JPEG-LS, the second frame chosen", objective=False, volume=1)(
    whole(
        compressed(cine("XA", XRayAngiographicImageStorage), imagecodecs.jpegls_encode, JPEGLSLossless),
        pixels=(CINE[1].astype("f4"),),
        tolerance=0.0,
    )
)
_RGB = np.random.default_rng(2).integers(0, 255, (4, 6, 8, 3), dtype="u1")


def _colour_clip() -> Dataset:
    data = cine("US", UltrasoundMultiFrameImageStorage, CINE[:4])
    data.SamplesPerPixel, data.PhotometricInterpretation, data.PlanarConfiguration = 3, "RGB", 0
    data.PixelData = _RGB.tobytes()
    return data


case("a colour ultrasound clip, the third frame chosen", objective=False, volume=2)(
    whole(_colour_clip(), pixels=(_RGB[2].astype("f4"),), tolerance=0.01)
)


@case(
    "an angiogram that goes around, with one table position",
    refused="SeriesChoiceError",
    answerable=True,
    objective=False,
)
def _(folder: Path) -> Truth:
    data = cine("XA", XRayAngiographicImageStorage)
    data.PositionerMotion, data.PositionerPrimaryAngle = "DYNAMIC", "-90"
    data.ImagerPixelSpacing = [0.3, 0.3]
    save(folder, [data])
    return Truth(pixels=(CINE[0].astype("f4"),))


@case("a tomogram of nuclear medicine in one object", refused="MultiFrameError", answerable=True, objective=False)
def _(folder: Path) -> Truth:
    data = cine("NM", NuclearMedicineImageStorage, CINE.astype("u2"))
    data.ImageType = ["ORIGINAL", "PRIMARY", "RECON TOMO", "EMISSION"]
    data.NumberOfSlices, data.SpacingBetweenSlices, data.PixelSpacing = 5, "4", [4, 4]
    save(folder, [data])
    return Truth(pixels=(CINE[0].astype("f4"),))


@case("dynamic planar scintigraphy", refused="MultiFrameError", answerable=True, objective=False)
def _(folder: Path) -> Truth:
    data = cine("NM", NuclearMedicineImageStorage, CINE.astype("u2"))
    data.ImageType = ["ORIGINAL", "PRIMARY", "DYNAMIC", "EMISSION"]
    save(folder, [data])
    return Truth(pixels=(CINE[0].astype("f4"),))


@case(
    "a breast tomosynthesis in one object",
    right=True,
    flagged="A28",
    refused="SeriesChoiceError MultiFrameError",
    objective=False,
)
def _(folder: Path) -> Truth:
    data = enhanced(frames_of(6), Bench(right=(0, 1, 0), down=(0, 0, -1), step=(1, 0, 0)))
    data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.13.1.3"
    data.Modality = "MG"
    save(folder, [data])
    return Truth()


@case(
    "an enhanced ultrasound volume by plane positions in a frame of its own",
    right=True,
    refused="SeriesChoiceError MultiFrameError NoGeometryError",
    objective=False,
)
def _(folder: Path) -> Truth:
    data = cine("US", "1.2.840.10008.5.1.4.1.1.6.2")
    save(folder, [data])
    return Truth(pixels=(CINE[0].astype("f4"),))


@case("padding in every frame of an enhanced CT", right=True, flagged="A31", objective=False)
def _(folder: Path) -> Truth:
    data = enhanced(frames_of(6))
    stored = arrays(data).copy()
    stored[:, 0] = -3000
    data.PixelData = stored.tobytes()
    data.PixelPaddingValue = -3000
    data["PixelPaddingValue"].VR = "SS"
    save(folder, [data])
    return Truth(invalid=1 / 7 + 1e-6)


@case("signed 12-bit frames without sign extension in an enhanced MR")
def _(folder: Path) -> Truth:
    data = enhanced(frames_of(6), modality="MR", bits_stored=12)
    stored = arrays(data) - 1500
    data.PixelData = (stored & 0x0FFF).astype("<i2").tobytes()
    for frame in data.PerFrameFunctionalGroupsSequence:
        frame.PixelValueTransformationSequence[0].RescaleIntercept = str(10.0 + 1500 * 0.02)
    save(folder, [data])
    return Truth()


@case("an enhanced CT of two patients in two files of one series", refused="PatientMixError", objective=False)
def _(folder: Path) -> Truth:
    one, other = enhanced(frames_of(6)), enhanced(frames_of(6))
    other.SOPInstanceUID, other.PatientID = "2.25.7.1.2", "BENCH-2"
    save(folder, [one, other])
    return Truth()


@case("the same enhanced object twice under two names")
def _(folder: Path) -> Truth:
    save(folder, [enhanced(frames_of(6))] * 2)
    return Truth()


@case(
    "classic and enhanced form of one series under one series UID",
    refused="AmbiguousStackError SopConflictError",
    right=True,
    flagged="A30",
)
def _(folder: Path) -> Truth:
    data = enhanced(frames_of(6))
    data.SOPInstanceUID = "2.25.7.1.60"
    slices = Bench().slices()
    for one in slices:
        plant(one)
    save(folder / "a", slices)
    save(folder / "b", [data])
    return Truth(shapes=((6, 7, 9),) * 2, offsets=(0.0, 0.0))
