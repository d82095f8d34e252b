"""Which files belong together: names, folders, copies, strangers, patients (rows 1 to 3, 6, 12, 16 to 18, 33, 34)."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import numpy as np
from dicom_bench import Bench, plant, save
from dicom_cases_register import Truth, case, truth_of, write_bench
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.fileset import FileSet
from pydicom.uid import (
    BasicTextSRStorage,
    EncapsulatedPDFStorage,
    ExplicitVRLittleEndian,
    GrayscaleSoftcopyPresentationStateStorage,
    KeyObjectSelectionDocumentStorage,
    RawDataStorage,
    RTDoseStorage,
    RTStructureSetStorage,
    SegmentationStorage,
    TwelveLeadECGWaveformStorage,
)


def without_pixels(sop_class: str, modality: str, uid: str = "2.25.7.9.1") -> Dataset:
    """Return an object of the bench's study that is no image."""
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID = sop_class
    data.SOPInstanceUID, data.Modality = uid, modality
    data.StudyInstanceUID, data.SeriesInstanceUID = "2.25.7", f"{uid}.1"
    data.PatientID, data.PatientName, data.PatientBirthDate = "BENCH-1", "BENCH^ONE", "19500101"
    return data


@case("file names in random order", 1)
def _(folder: Path) -> Truth:
    names = [f"IM{number:04d}.dcm" for number in range(6)]
    random.Random(5).shuffle(names)
    save(folder, Bench().slices(), names)
    return Truth()


@case("file names without a suffix, with spaces, quotes and dashes at their start", 1)
def _(folder: Path) -> Truth:
    save(folder, Bench().slices(), ["-o", "a b", "it's", '"q"', "x;y", "$HOME"])
    return Truth()


@case("file names that claim to be other formats", 1)
def _(folder: Path) -> Truth:
    save(folder, Bench().slices(), ["a.nii", "b.nii.gz", "c.zip", "d.txt", "e.hdr", "f.tar.gz"])
    return Truth()


@case("InstanceNumber runs against the positions", 2)
def _(folder: Path) -> Truth:
    slices = Bench().slices()
    for number, data in enumerate(slices):
        data.InstanceNumber = 6 - number
    save(folder, slices)
    return Truth()


@case("InstanceNumber is absent", 3)
def _(folder: Path) -> Truth:
    slices = Bench().slices()
    for data in slices:
        del data.InstanceNumber
    save(folder, slices)
    return Truth()


@case("InstanceNumber is the same in every slice")
def _(folder: Path) -> Truth:
    slices = Bench().slices()
    for data in slices:
        data.InstanceNumber = 1
    save(folder, slices)
    return Truth()


@case("InstanceNumber, AcquisitionNumber and ContentTime differ from slice to slice")
def _(folder: Path) -> Truth:
    slices = Bench().slices()
    for number, data in enumerate(slices):
        data.InstanceNumber = (number * 5) % 7
        data.AcquisitionNumber, data.ContentTime = 6 - number, f"1000{number * 7 % 6:02d}.000"
    save(folder, slices)
    return Truth()


@case("the same file twice in one folder", 6)
def _(folder: Path) -> Truth:
    paths = save(folder, Bench().slices())
    shutil.copy(paths[2], folder / "copy")
    return Truth()


@case("the whole series once more in another folder")
def _(folder: Path) -> Truth:
    save(folder / "first", Bench().slices())
    shutil.copytree(folder / "first", folder / "backup of first")
    return Truth()


@case("a copy of one object in another transfer syntax", right=True, flagged="A29 A30", refused="SopConflictError")
def _(folder: Path) -> Truth:
    slices = Bench().slices()
    save(folder, slices)
    slices[3].file_meta.TransferSyntaxUID = "1.2.840.10008.1.2"
    save(folder / "more", [slices[3]])
    return Truth()


@case(
    "a copy of the last slice whose second half is missing",
    right=True,
    flagged="A30",
    refused="IncompleteSeriesError SopConflictError",
)
def _(folder: Path) -> Truth:
    paths = save(folder, Bench().slices())
    content = paths[5].read_bytes()
    (folder / "cut").write_bytes(content[: len(content) - 60])
    return Truth()


@case("two different images under one SOPInstanceUID", refused="SopConflictError", answerable=False)
def _(folder: Path) -> Truth:
    slices = Bench().slices()
    save(folder, slices)
    plant(slices[2], offset=70.0)
    save(folder / "other", [slices[2]])
    return Truth()


@case(
    "a slice copied under a new SOPInstanceUID with the same pixels and position",
    right=True,
    flagged="A30",
    refused="AmbiguousStackError",
)
def _(folder: Path) -> Truth:
    slices = Bench().slices()
    save(folder, slices)
    slices[2].SOPInstanceUID = "2.25.7.1.77"
    save(folder / "copy", [slices[2]])
    return Truth()


@case(
    "every slice copied under new SOPInstanceUIDs with the same pixels",
    right=True,
    flagged="A30",
    refused="AmbiguousStackError",
)
def _(folder: Path) -> Truth:
    slices = Bench().slices()
    save(folder, slices)
    for data in slices:
        data.SOPInstanceUID += ".5"
    save(folder / "copy", slices)
    return Truth()


@case("two series in one folder at different places", 12)
def _(folder: Path) -> Truth:
    first, second = Bench(), Bench(series_uid="2.25.7.2", origin=(-20, -15, 99), count=4)
    save(folder, [*first.slices(), *second.slices()])
    return Truth(shapes=((6, 7, 9), (4, 7, 9)), offsets=(0.0, 0.0))


@case("two series with the same positions interleaved in one folder", 12)
def _(folder: Path) -> Truth:
    first, second = Bench().slices(), Bench(series_uid="2.25.7.2").slices()
    for data in second:
        plant(data, offset=40.0)
    mixed = [data for pair in zip(first, second, strict=True) for data in pair]
    save(folder, mixed)
    return Truth(shapes=((6, 7, 9), (6, 7, 9)), offsets=(0.0, 40.0))


@case("two series, one of them with a damaged slice", flagged="A30")
def _(folder: Path) -> Truth:
    save(folder / "a", Bench().slices())
    paths = save(folder / "b", Bench(series_uid="2.25.7.2", count=4).slices())
    paths[1].write_bytes(paths[1].read_bytes()[:-40])
    return Truth(refusals=("IncompleteSeriesError", "PixelDataError"))


@case("two studies in one folder")
def _(folder: Path) -> Truth:
    save(folder, [*Bench().slices(), *Bench(study_uid="2.25.8", series_uid="2.25.8.1").slices()])
    return Truth(shapes=((6, 7, 9), (6, 7, 9)), offsets=(0.0, 0.0), sources=2)


@case(
    "every slice is a series of its own",
    16,
    right=True,
    flagged="A30",
    refused="SeriesChoiceError IncompleteSeriesError",
)
def _(folder: Path) -> Truth:
    slices = Bench().slices()
    for number, data in enumerate(slices):
        data.SeriesInstanceUID = f"2.25.7.1.{number}"
    save(folder, slices)
    return Truth(shapes=((7, 9),) * 6, offsets=(0.0,) * 6)


@case("another patient ID in one slice of the series", 17, refused="PatientMixError", objective=False)
def _(folder: Path) -> Truth:
    slices = Bench().slices()
    slices[4].PatientID = "BENCH-2"
    save(folder, slices)
    return Truth()


@case("another birth date in one slice of the series", 17, refused="PatientMixError", objective=False)
def _(folder: Path) -> Truth:
    slices = Bench().slices()
    slices[4].PatientBirthDate = "19500102"
    save(folder, slices)
    return Truth()


@case(
    "half of the series from another patient, the other half of the volume",
    17,
    refused="PatientMixError",
    objective=False,
)
def _(folder: Path) -> Truth:
    slices = Bench().slices()
    for data in slices[3:]:
        data.PatientID, data.PatientName, data.StudyInstanceUID = "BENCH-2", "BENCH^TWO", "2.25.8"
    save(folder, slices)
    return Truth()


@case("the patient ID of one slice has a space behind it")
def _(folder: Path) -> Truth:
    slices = Bench().slices()
    slices[4].PatientID = "BENCH-1  "
    save(folder, slices)
    return Truth()


@case("a series of another patient in the same study", refused="PatientMixError", objective=False)
def _(folder: Path) -> Truth:
    second = Bench(series_uid="2.25.7.2").slices()
    for data in second:
        data.PatientID = "BENCH-2"
    save(folder, [*Bench().slices(), *second])
    return Truth()


@case("two frames of reference in one series", 18, objective=False)
def _(folder: Path) -> Truth:
    slices = Bench().slices()
    for data in slices[3:]:
        data.FrameOfReferenceUID = "2.25.98"
    save(folder, slices)
    return Truth(shapes=((3, 7, 9), (3, 7, 9)), offsets=(0.0, 0.0))


@case("half of the slices in a folder inside, with names in Chinese, Greek and accents", 33)
def _(folder: Path) -> Truth:
    slices = Bench().slices()
    save(folder, slices[:3], ["é.dcm", "ß", "脳 1"])
    save(folder / "Ωμέγα" / "ünter", slices[3:], ["é.dcm", "ß", "脳 1"])
    return Truth()


@case("a folder twelve levels deep with one slice a level")
def _(folder: Path) -> Truth:
    slices = Bench(count=12).slices()
    for data in slices:
        folder /= "d"
        save(folder, [data])
    return Truth(shapes=((12, 7, 9),))


@case("text, empty, hidden, random, SR and PDF files among the slices", 34)
def _(folder: Path) -> Truth:
    save(folder, Bench().slices())
    (folder / "README.txt").write_text("nothing here", encoding="utf-8")
    (folder / ".DS_Store").write_bytes(b"\x00\x00\x00\x01Bud1" + bytes(40))
    (folder / "empty").write_bytes(b"")
    (folder / "noise").write_bytes(np.random.default_rng(0).bytes(3000))
    (folder / "Thumbs.db").write_bytes(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(500))
    report = without_pixels(BasicTextSRStorage, "SR")
    paper = without_pixels(EncapsulatedPDFStorage, "DOC", "2.25.7.9.2")
    paper.EncapsulatedDocument, paper.MIMETypeOfEncapsulatedDocument = b"%PDF-1.4 ", "application/pdf"
    save(folder / "other", [report, paper])
    return Truth()


@case("key objects, presentation states, RT structures, waveforms and raw data beside the slices", 34)
def _(folder: Path) -> Truth:
    save(folder, Bench().slices())
    classes = {
        KeyObjectSelectionDocumentStorage: "KO",
        GrayscaleSoftcopyPresentationStateStorage: "PR",
        RTStructureSetStorage: "RTSTRUCT",
        TwelveLeadECGWaveformStorage: "ECG",
        RawDataStorage: "RAW",
    }
    save(folder / "x", [without_pixels(uid, kind, f"2.25.7.9.{n}") for n, (uid, kind) in enumerate(classes.items())])
    return Truth()


@case("a segmentation and a dose grid with pixels beside the slices", 34, objective=False)
def _(folder: Path) -> Truth:
    save(folder, Bench().slices())
    others = []
    for number, (uid, kind) in enumerate({SegmentationStorage: "SEG", RTDoseStorage: "RTDOSE"}.items()):
        data = Bench(series_uid=f"2.25.7.{number + 3}", count=1).slices()[0]
        data.SOPClassUID, data.Modality, data.NumberOfFrames = uid, kind, 1
        data.file_meta.MediaStorageSOPClassUID = uid
        others.append(data)
    save(folder / "other", others)
    return Truth()


@case("a DICOMDIR beside its files")
def _(folder: Path) -> Truth:
    slices = Bench().slices()
    for data in slices:
        data.StudyDate, data.StudyTime, data.StudyID, data.AccessionNumber = "20200101", "120000", "1", ""
        data.SeriesNumber = 1
    paths = save(folder.parent / "source", slices)
    files = FileSet()
    for path in paths:
        files.add(path)
    files.write(folder)
    shutil.rmtree(folder.parent / "source")
    return Truth()


@case("a DICOMDIR alone", refused="NotAStudyError", answerable=False, objective=False)
def _(folder: Path) -> Truth:
    slices = Bench(count=1).slices()
    slices[0].StudyDate, slices[0].StudyTime, slices[0].StudyID, slices[0].AccessionNumber = "20200101", "12", "1", ""
    slices[0].SeriesNumber = 1
    files = FileSet()
    files.add(save(folder.parent / "source", slices)[0])
    files.write(folder.parent / "whole")
    shutil.copy(folder.parent / "whole" / "DICOMDIR", folder / "DICOMDIR")
    shutil.rmtree(folder.parent / "source")
    shutil.rmtree(folder.parent / "whole")
    return Truth(sources=0)


@case("nothing but a structured report", refused="NotAStudyError", answerable=False, objective=False)
def _(folder: Path) -> Truth:
    save(folder, [without_pixels(BasicTextSRStorage, "SR")])
    return Truth()


@case("random bytes under DICOM names", refused="NotAStudyError HeaderError", answerable=False, objective=False)
def _(folder: Path) -> Truth:
    for number in range(5):
        (folder / f"{number}.dcm").write_bytes(np.random.default_rng(number).bytes(4000))
    return Truth()


@case("more damaged files than sound ones", refused="NotAStudyError", answerable=False)
def _(folder: Path) -> Truth:
    for path in save(folder, Bench().slices())[:4]:
        path.write_bytes(path.read_bytes()[:180])
    return Truth()


@case("a symbolic link to a slice and to the folder itself")
def _(folder: Path) -> Truth:
    paths = save(folder, Bench().slices())
    (folder / "link").symlink_to(paths[0])
    (folder / "loop").symlink_to(folder)
    return Truth()


@case("a third reconstruction in the series, with larger pixels at the same places", flagged="A30")
def _(folder: Path) -> Truth:
    fine, coarse = Bench(), Bench(rows=4, columns=5, spacing=(3.0, 1.5), count=6)
    others = coarse.slices()
    for number, data in enumerate(others):
        data.SOPInstanceUID = f"2.25.7.1.{number + 50}"
    save(folder, [*fine.slices(), *others])
    return Truth(shapes=((6, 7, 9), (6, 4, 5)), offsets=(0.0, 0.0))


@case("SOPInstanceUID is absent in every slice", right=True, flagged="A29 A28", refused="HeaderError")
def _(folder: Path) -> Truth:
    slices = Bench().slices()
    for data in slices:
        del data.SOPInstanceUID
    save(folder, slices)
    return Truth()


@case(
    "SeriesInstanceUID is empty in every slice", right=True, flagged="A29 A28", refused="HeaderError SeriesChoiceError"
)
def _(folder: Path) -> Truth:
    slices = Bench().slices()
    for data in slices:
        data.SeriesInstanceUID = ""
    save(folder, slices)
    return Truth()


@case("StudyInstanceUID is empty in every slice", right=True, flagged="A29 A28", refused="HeaderError")
def _(folder: Path) -> Truth:
    slices = Bench().slices()
    for data in slices:
        data.StudyInstanceUID = ""
    save(folder, slices)
    return Truth()


@case("a patient name in ISO 2022 Japanese with all three groups")
def _(folder: Path) -> Truth:
    slices = Bench().slices()
    for data in slices:
        data.SpecificCharacterSet = ["", "ISO 2022 IR 87"]
        data.PatientName = "BENCH^ONE=山田^太郎=やまだ^たろう"
    save(folder, slices)
    return Truth()


@case("no oddity at all")
def _(folder: Path) -> Truth:
    return write_bench(folder, unit="HU")


@case("three hundred slices of a few pixels")
def _(folder: Path) -> Truth:
    bench = Bench(count=300, rows=2, columns=3, step=(0, 0, 0.5))
    return write_bench(folder, bench)


@case("a series of MR slices without RescaleSlope")
def _(folder: Path) -> Truth:
    slices = Bench().slices()
    for data in slices:
        plant(data, slope=1.0, intercept=0.0)
        del data.RescaleSlope, data.RescaleIntercept
        data.SOPClassUID, data.Modality = "1.2.840.10008.5.1.4.1.1.4", "MR"
    save(folder, slices)
    return truth_of(Bench(), tolerance=0.51, unit="stored value")
