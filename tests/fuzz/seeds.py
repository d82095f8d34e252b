"""Small sound files of every kind, from which the mutators start; identifying fields hold the canary."""

from __future__ import annotations

import bz2
import gc
import gzip
import io
import lzma
import struct
import tarfile
import tempfile
import warnings
import zipfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

import imagecodecs
import nibabel
import numpy as np
from pydicom import uid
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.fileset import FileSet

from tests.fuzz.invariants import CANARY
from tests.load.dicom_bench import Bench, plant, put_pixels

SHAPE = {"rows": 5, "columns": 6}


def file_bytes(data: Dataset) -> bytes:
    """Return a data set as a file."""
    stream = io.BytesIO()
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID
    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID
    data.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def slice_of_series(number: int = 0, **changes: object) -> Dataset:
    """Return one slice of a CT series of three."""
    data = Bench(count=3, **SHAPE).slices()[number]
    data.PatientID = data.PatientName = data.AccessionNumber = CANARY
    data.ReferringPhysicianName, data.StudyDescription = f"{CANARY}^A", CANARY
    for keyword, value in changes.items():
        setattr(data, keyword, value)
    return data


@cache
def companions() -> tuple[bytes, ...]:
    """Return the sound slices beside the mutated one."""
    return tuple(file_bytes(slice_of_series(number)) for number in (1, 2))


def _compressed(encode: Callable[[np.ndarray], bytes], syntax: str, dtype: str = "u2") -> bytes:
    data = slice_of_series()
    frame = encode(plant(data, dtype=dtype, slope=0.02 if dtype[1] == "2" else 0.5))
    data.PixelData = encapsulate([frame])
    data["PixelData"].VR = "OB"
    data["PixelData"].is_undefined_length = True
    data.file_meta.TransferSyntaxUID = syntax
    return file_bytes(data)


def run_length(stored: np.ndarray) -> bytes:
    """Return a DICOM run-length frame of 16-bit pixels (PS3.5, annex G)."""
    planes = [np.ascontiguousarray(stored >> shift & 0xFF).astype("u1") for shift in (8, 0)]
    packed = [b"".join(imagecodecs.packbits_encode(row) for row in plane) for plane in planes]
    packed = [one + b"\0" * (len(one) % 2) for one in packed]
    return struct.pack("<16I", 2, 64, 64 + len(packed[0]), *[0] * 13) + b"".join(packed)


def _jpeg_2000(stored: np.ndarray) -> bytes:
    return bytes(imagecodecs.jpeg2k_encode(stored, codecformat="j2k", reversible=True))


@cache
def codec_seeds() -> dict[str, bytes]:
    """Return compressed files, one a codec."""
    ht = _jpeg_2000
    if hasattr(imagecodecs, "htj2k_encode"):
        ht = lambda stored: bytes(imagecodecs.htj2k_encode(stored))  # noqa: E731
    return {
        "rle": _compressed(run_length, uid.RLELossless),
        "jpeg": _compressed(lambda one: bytes(imagecodecs.jpeg8_encode(one)), uid.JPEGBaseline8Bit, "u1"),
        "jpeg_lossless": _compressed(
            lambda one: bytes(imagecodecs.jpeg8_encode(one, lossless=True, predictor=1, bitspersample=16)),
            uid.JPEGLosslessSV1,
        ),
        "jpeg_ls": _compressed(lambda one: bytes(imagecodecs.jpegls_encode(one)), uid.JPEGLSLossless),
        "jpeg_2000": _compressed(_jpeg_2000, uid.JPEG2000Lossless),
        "jp2": _compressed(lambda one: bytes(imagecodecs.jpeg2k_encode(one, codecformat="jp2")), uid.JPEG2000),
        "htj2k": _compressed(ht, uid.HTJ2KLossless),
    }


@cache
def dicom_seeds() -> dict[str, bytes]:
    """Return files of every encoding and object that the loader reads."""
    found = {"explicit": file_bytes(slice_of_series())}
    for name, syntax in (("implicit", uid.ImplicitVRLittleEndian), ("deflated", uid.DeflatedExplicitVRLittleEndian)):
        data = slice_of_series()
        data.file_meta.TransferSyntaxUID = syntax
        found[name] = file_bytes(data)
    data = slice_of_series()
    data.file_meta.TransferSyntaxUID = uid.ExplicitVRBigEndian
    data.PixelData = np.frombuffer(data.PixelData, "<u2").byteswap().tobytes()
    found["big endian"] = file_bytes(data)
    found |= {"enhanced": _enhanced(), "pet": _pet(), "palette": _palette(), "colour": _colour()}
    found |= {"loop": _loop(), "radiograph": _radiograph(), "table": _table(), "directory": directory()}
    return found | {name: codec_seeds()[name] for name in ("rle", "jpeg_2000", "jpeg")}


def _enhanced() -> bytes:
    frames = Bench(count=3, **SHAPE).slices()
    data = slice_of_series(SOPClassUID=uid.EnhancedCTImageStorage, NumberOfFrames=3, SeriesInstanceUID="2.25.8.1")
    for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "RescaleSlope"):
        delattr(data, keyword)
    measures, plane, values, shared = Dataset(), Dataset(), Dataset(), Dataset()
    measures.PixelSpacing, plane.ImageOrientationPatient = [1.5, 0.75], [1, 0, 0, 0, 1, 0]
    values.RescaleSlope, values.RescaleIntercept, values.RescaleType = "0.02", "10", "HU"
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = [measures], [plane]
    shared.PixelValueTransformationSequence = [values]
    data.SharedFunctionalGroupsSequence = [shared]
    groups = []
    for number, frame in enumerate(frames, start=1):
        group, position, content = Dataset(), Dataset(), Dataset()
        position.ImagePositionPatient = frame.ImagePositionPatient
        content.StackID, content.InStackPositionNumber, content.DimensionIndexValues = "1", number, [1, number]
        group.PlanePositionSequence, group.FrameContentSequence = [position], [content]
        groups.append(group)
    data.PerFrameFunctionalGroupsSequence = groups
    data.PixelData = b"".join(frame.PixelData for frame in frames)
    return file_bytes(data)


def _pet() -> bytes:
    data = slice_of_series(Modality="PT", SOPClassUID=uid.PositronEmissionTomographyImageStorage, Units="BQML")
    data.CorrectedImage, data.DecayCorrection, data.PatientWeight = ["ATTN", "DECY"], "START", "70"
    data.SeriesDate = data.AcquisitionDate = "20200102"
    data.SeriesTime = data.AcquisitionTime = "100000"
    dose = Dataset()
    dose.RadionuclideTotalDose, dose.RadionuclideHalfLife = "1e8", "6586.2"
    dose.RadiopharmaceuticalStartTime = "090000"
    data.RadiopharmaceuticalInformationSequence = [dose]
    return file_bytes(data)


def _palette() -> bytes:
    data = slice_of_series(Modality="US", PhotometricInterpretation="PALETTE COLOR")
    put_pixels(data, np.arange(30, dtype="u1").reshape(5, 6))
    for name in ("Red", "Green", "Blue"):
        setattr(data, f"{name}PaletteColorLookupTableDescriptor", [32, 0, 16])
        setattr(data, f"{name}PaletteColorLookupTableData", np.arange(32, dtype="<u2").tobytes())
    return file_bytes(data)


def _colour() -> bytes:
    data = slice_of_series(Modality="OT", SOPClassUID=uid.SecondaryCaptureImageStorage, SamplesPerPixel=3)
    put_pixels(data, np.arange(90, dtype="u1").reshape(5, 18))
    data.Columns, data.PhotometricInterpretation, data.PlanarConfiguration = 6, "YBR_FULL", 0
    return file_bytes(data)


def _loop() -> bytes:
    data = slice_of_series(Modality="US", SOPClassUID=uid.UltrasoundMultiFrameImageStorage, NumberOfFrames=2)
    put_pixels(data, np.arange(60, dtype="u1").reshape(10, 6))
    data.Rows = 5
    return file_bytes(data)


def _radiograph() -> bytes:
    data = slice_of_series(Modality="CR", SOPClassUID=uid.ComputedRadiographyImageStorage)
    data.PhotometricInterpretation, data.ImagerPixelSpacing, data.PatientAge = "MONOCHROME1", [1.5, 0.75], "045Y"
    put_pixels(data, np.arange(30, dtype="u2").reshape(5, 6), bits_stored=12)
    data.PixelPaddingValue = 7
    return file_bytes(data)


def _table() -> bytes:
    data, item = slice_of_series(Modality="CR"), Dataset()
    put_pixels(data, np.arange(30, dtype="u2").reshape(5, 6))
    item.LUTDescriptor, item.ModalityLUTType = [32, 0, 16], "OD"
    item.LUTData = np.arange(32, dtype="<u2").tobytes()
    data.ModalityLUTSequence = [item]
    return file_bytes(data)


@cache
def directory() -> bytes:
    """Return a DICOMDIR that lists two slices."""
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        # a file set leaves its own temporary folder to the garbage collector, which complains
        warnings.simplefilter("ignore")
        _write_directory(folder)
        gc.collect()
        return (Path(folder) / "DICOMDIR").read_bytes()


def _write_directory(folder: str) -> None:
    files = FileSet()
    for number in (1, 2):
        data = slice_of_series(number, PatientID="P", StudyDate="20200101", StudyTime="120000", StudyID="1")
        data.SeriesNumber = data.InstanceNumber = number
        data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID
        files.add(FileDataset(io.BytesIO(), data, file_meta=FileMetaDataset(data.file_meta), preamble=bytes(128)))
    files.write(folder)


@cache
def nifti_seeds() -> dict[str, bytes]:
    """Return NIfTI files, plain."""
    rng = np.random.default_rng(0)
    affine = np.array([[-2.0, 0, 0, 10], [0, 1.5, 0.2, -20], [0, -0.2, 3, 5], [0, 0, 0, 1]])

    def made(shape: tuple[int, ...], dtype: str, kind: type = nibabel.Nifti1Image) -> bytes:
        image = kind(rng.integers(0, 100, shape).astype(dtype), affine)
        image.set_qform(affine, 1)
        image.set_sform(affine, 1)
        image.header.set_xyzt_units("mm")
        return bytes(image.to_bytes())

    big = nibabel.Nifti1Image(np.zeros((4, 3, 2), ">i2"), affine, nibabel.Nifti1Header(endianness=">"))
    colour = np.zeros((4, 3, 2), np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")]))
    return {
        "int16": made((4, 3, 2), "i2"),
        "float32": made((4, 3, 2), "f4"),
        "float64": made((4, 3, 2), "f8"),
        "uint32": made((4, 3, 2), "u4"),
        "plane": made((4, 3), "u1"),
        "four dimensions": made((4, 3, 2, 2), "i2"),
        "complex": made((4, 3, 2), "c8"),
        "nifti 2": made((4, 3, 2), "i2", nibabel.Nifti2Image),
        "big endian": bytes(big.to_bytes()),
        "colour": bytes(nibabel.Nifti1Image(colour, affine).to_bytes()),
    }


MEMBERS = ("a.dcm", "study/b.dcm", "study/c.nii")


def members() -> list[tuple[str, bytes]]:
    """Return what is packed: two slices and a volume."""
    return list(zip(MEMBERS, (*companions(), nifti_seeds()["int16"]), strict=True))


def zipped(files: list[tuple[str, bytes]], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """Return a zip archive."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        for name, content in files:
            archive.writestr(zipfile.ZipInfo(name), content, method)
    return stream.getvalue()


def tarred(files: list[tuple[str, bytes]], kind: int = tarfile.GNU_FORMAT) -> bytes:
    """Return a tar archive."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=kind) as archive:
        for name, content in files:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return stream.getvalue()


PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "tar": bytes,
    "tar.gz": lambda content: gzip.compress(content, mtime=0),
    "tar.bz2": bz2.compress,
    "tar.xz": lzma.compress,
}


@cache
def archive_seeds() -> dict[str, bytes]:
    """Return archives of every kind."""
    plain = tarred(members())
    found = {name: pack(plain) for name, pack in PACKERS.items()}
    found |= {"zip": zipped(members()), "stored zip": zipped(members(), zipfile.ZIP_STORED)}
    return found | {"bzip2 zip": zipped(members(), zipfile.ZIP_BZIP2), "pax": tarred(members(), tarfile.PAX_FORMAT)}
