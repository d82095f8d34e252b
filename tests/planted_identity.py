"""Identity planted wherever a study can hold it, and the search for it in whatever a run has written.

Every text, date, time and UID of the data dictionary gets a value of its own with a mark that nothing else has; the
search opens everything that holds other things: archives, compressed streams, tables, PDF objects, attachments.
"""

from __future__ import annotations

import base64
import csv
import gzip
import html
import io
import json
import re
import subprocess
import zipfile
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import nibabel
import numpy as np
import pikepdf
from pyarrow import parquet
from pydicom import dcmread
from pydicom.config import disable_value_validation
from pydicom.datadict import DicomDictionary, keyword_for_tag, tag_for_keyword
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileDataset
from pydicom.sequence import Sequence as Items

from audit_pipeline.load.dicom_metadata import TEXT_FIELDS

MARK = "ZQXKVJ"
"""In every planted text, with a number behind it."""

FAMILY, GIVEN, IDEOGRAPHS = "Zqxkvj\u00e5strand", "\u00dcnalg\u00f6del", ("\u9f8d\u6fa4", "\u592a\u90ce")
NAME = f"{FAMILY}^{GIVEN}={IDEOGRAPHS[0]}^{IDEOGRAPHS[1]}"
RECORD_NUMBER, BIRTH, ACCESSION = f"{MARK}-ID-4711", "18750312", f"{MARK}ACC"
AGE = "047Y"
UID_ROOT = "2.25.773197731977"
CLOCK = "131719.77"
READER, SITE = "Vqreaderova", "Wqhospitalby"
FOLDER = f"{FAMILY} {GIVEN} {IDEOGRAPHS[0]}{IDEOGRAPHS[1]}"

TEXTS = frozenset({"PN", "LO", "SH", "LT", "ST", "UT", "UC", "AE", "CS", "DA", "TM", "DT", "UI", "AS", "UR"})
NEEDED = frozenset({
    "SpecificCharacterSet", "SOPClassUID", "Modality", "PhotometricInterpretation", "ImageType", "RescaleType",
    "PresentationLUTShape", "PixelSpacingCalibrationType", "LossyImageCompression", "BurnedInAnnotation",
    "PatientOrientation", "ContrastBolusAgent",
})  # fmt: skip
"""Fields that say what the pixels are: with other words the study would be refused."""

REPEATING = ("ViewPosition", "BodyPartExamined", "Manufacturer", "ManufacturerModelName", "SoftwareVersions",
             "ConvolutionKernel", "ScanningSequence", "Laterality", "ImageLaterality")  # fmt: skip
"""Fields of the allow-list that get the identity of the patient itself: it must not travel under their name."""

SEARCHED = {
    "mark": MARK, "family": FAMILY, "given": GIVEN, "given in part": "nalg\u00f6del", "ideographs": IDEOGRAPHS[0],
    "second ideographs": IDEOGRAPHS[1], "uid": "773197731977", "clock": CLOCK, "spoken clock": "13:17:19",
    "age": AGE, "reader": READER, "site": SITE, "issued": "Zqissuer",
}  # fmt: skip
DATES = re.compile(
    rb"(?<!\d)18[67]\d[-/. ]?(0[1-9]|1[0-2])[-/. ]?(0[1-9]|[12]\d|3[01])(?!\d)|[0-3]\d\.[01]\d\.18[67]\d"
)
"""Every planted date lies in the sixties or seventies of that century."""


def planted(number: int, vr: str) -> str:
    """The value number `number` for an element of this representation."""
    day = (date(1860, 1, 1) + timedelta(days=number)).strftime("%Y%m%d")
    text = f"{MARK}{number:05d}"
    return {
        "PN": f"{text}F^{text}G", "DA": day, "DT": f"{day}{CLOCK}", "TM": CLOCK, "AS": AGE,
        "UI": f"{UID_ROOT}{number:05d}", "UR": f"http://{text}.example/",
    }.get(vr, text)  # fmt: skip


def plant_everywhere(dataset: Dataset) -> list[str]:
    """Fill every text of the dictionary that does not say what the pixels are; return the keywords."""
    dataset.SpecificCharacterSet = "ISO_IR 192"
    filled = []
    allowed = {*NEEDED, *(one for one in TEXT_FIELDS if one not in REPEATING)}
    for number, (tag, (vr, _, _, _, keyword)) in enumerate(sorted(DicomDictionary.items())):
        if vr not in TEXTS or not keyword or tag >> 16 in (0, 2) or keyword in allowed:
            continue
        dataset.add_new(tag, vr, planted(number % 7000, vr))
        filled.append(keyword)
    for keyword in REPEATING:
        setattr(dataset, keyword, NAME.split("=", maxsplit=1)[0] if keyword != "ViewPosition" else RECORD_NUMBER)
    dataset.ConvolutionKernel, dataset.SoftwareVersions = FAMILY, "1875-03-12"
    dataset.PatientName, dataset.PatientID, dataset.PatientBirthDate = NAME, RECORD_NUMBER, BIRTH
    dataset.IssuerOfPatientID, dataset.AccessionNumber, dataset.PatientAge = "Zqissuer", ACCESSION, AGE
    filled += _plant_sequences(dataset) + _plant_private(dataset) + _plant_overlay(dataset)
    return filled


def _plant_sequences(dataset: Dataset) -> list[str]:
    """Give the sequences that name persons and other studies an item with names, and items in it."""
    inner = Dataset()
    inner.PatientName, inner.PatientID, inner.StudyDate = NAME, RECORD_NUMBER, "18731224"
    inner.CodeMeaning, inner.ReferencedSOPInstanceUID = f"{MARK}SEQ", f"{UID_ROOT}1"
    names = (
        "ReferencedStudySequence", "RequestAttributesSequence", "OtherPatientIDsSequence",
        "ReferringPhysicianIdentificationSequence",
        "ProcedureCodeSequence", "PatientSpeciesCodeSequence", "ContributingEquipmentSequence",
        "OriginalAttributesSequence",
        "IssuerOfAccessionNumberSequence", "InstitutionCodeSequence", "DigitalSignaturesSequence",
    )  # fmt: skip
    for keyword in names:
        item = Dataset()
        item.update(inner)
        item.RequestedProcedureCodeSequence = Items([inner])
        setattr(dataset, keyword, Items([item]))
    return list(names)


def _plant_private(dataset: Dataset) -> list[str]:
    block = dataset.private_block(0x0019, f"{MARK} PRIVATE", create=True)
    for element, (vr, value) in enumerate([("LO", NAME), ("DA", "18731224"), ("UN", NAME.encode()), ("UI", UID_ROOT)]):
        block.add_new(element, vr, value)
    return ["private"]


def _plant_overlay(dataset: Dataset) -> list[str]:
    """Add an overlay plane with a frame in its bitmap and words in its fields (PS3.3, C.9.2)."""
    rows, columns = dataset.Rows, dataset.Columns
    bitmap = np.zeros((rows, columns), dtype=np.uint8)
    bitmap[5:-5:4] = 1
    fields = [
        (0x0010, "US", rows), (0x0011, "US", columns), (0x0022, "LO", f"{MARK}OVERLAY"), (0x0040, "CS", "G"),
        (0x0050, "SS", [1, 1]), (0x0100, "US", 1), (0x0102, "US", 0), (0x1500, "LO", f"{MARK}LABEL"),
        (0x3000, "OW", np.packbits(bitmap.ravel(), bitorder="little").tobytes()),
    ]  # fmt: skip
    for element, vr, value in fields:
        dataset.add_new((0x6000, element), vr, value)
    return ["overlay"]


def with_identity(content: bytes) -> tuple[FileDataset, bytes]:
    """Return an instance with identity everywhere, as a data set and as a file; UIDs are those of one study."""
    with disable_value_validation():
        return _with_identity(dcmread(io.BytesIO(content)))


def _with_identity(dataset: FileDataset) -> tuple[FileDataset, bytes]:
    number = int(dataset.InstanceNumber)
    plant_everywhere(dataset)
    dataset.SOPInstanceUID = f"{UID_ROOT}9{number:04d}"
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.file_meta.ImplementationVersionName = f"{MARK}VER"
    dataset.file_meta.SourceApplicationEntityTitle = f"{MARK}AE"
    dataset.preamble = f"{NAME} {RECORD_NUMBER}".encode().ljust(128, b"\0")[:128]
    stream = io.BytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    return dataset, stream.getvalue()


def with_identity_in(content: bytes, keyword: str, number: int) -> bytes:
    """Return an instance of a study of its own with the name of the patient also where the reader looks first."""
    with disable_value_validation():
        dataset = dcmread(io.BytesIO(content))
        dataset.SpecificCharacterSet = "ISO_IR 192"
        dataset.PatientName, dataset.PatientID, dataset.StudyDescription = NAME, RECORD_NUMBER, MARK
        dataset.StudyInstanceUID, dataset.SeriesInstanceUID = f"{UID_ROOT}5{number}", f"{UID_ROOT}6{number}"
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = f"{UID_ROOT}8{number}"
        if keyword == "TransferSyntaxUID":
            stream = io.BytesIO()
            dataset.save_as(stream, enforce_file_format=True)
            return stream.getvalue().replace(b"1.2.840.10008.1.2.1\0", f"{UID_ROOT}1"[:20].encode(), 1)
        value = UID_ROOT if keyword == "SOPClassUID" else f"{FAMILY}^{MARK}"
        dataset[keyword] = DataElement(tag_for_keyword(keyword), "UI" if keyword == "SOPClassUID" else "LO", value)
        stream = io.BytesIO()
        dataset.save_as(stream, enforce_file_format=False, little_endian=True, implicit_vr=False)
    return stream.getvalue()


def nifti_with_identity(content: bytes) -> bytes:
    """Return a NIfTI file that names its patient in every text of its header and in a comment behind it."""
    image = nibabel.Nifti1Image.from_bytes(gzip.decompress(content))
    image.header["descrip"] = f"{FAMILY} {RECORD_NUMBER} 1873-12-24".encode()[:79]
    image.header["intent_name"] = MARK.encode()
    image.header["aux_file"] = f"{MARK}AUX".encode()
    image.header["db_name"] = f"{MARK}DB".encode()
    image.header.extensions.append(nibabel.nifti1.Nifti1Extension("comment", NAME.encode()))
    return gzip.compress(image.to_bytes(), mtime=0)


def write_labels(path: Path, studies: list[str]) -> None:
    """Write a labels file that names patients, hospitals and readers, in columns with plain titles as well."""
    rows = [
        {
            "study": name, "label": "clear" if place != 1 else NAME, "patient": RECORD_NUMBER if place % 2 else NAME,
            "site": SITE, "split": "test", "period": "18731224",
            "age": "47", "sex": "F", "scanner": "A" if place % 2 else "B", "radiologist": READER,
            "second look": f"Dr. {READER}", "remark": f"{FAMILY} 1873-12-24", "number": RECORD_NUMBER, "called": FAMILY,
            "seen": "1873-12-24",
        }
        for place, name in enumerate(studies)
    ]  # fmt: skip
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def leaks(name: str, content: bytes) -> list[str]:
    """Return what of the planted identity stands in a file or in anything that it holds."""
    found = []
    for place, part in opened(name, content):
        lowered = part.lower()
        found += [f"{place}: {what}" for what, needles in NEEDLES.items() if any(one in lowered for one in needles)]
        found += [f"{place}: date {match[0]!r}" for match in [DATES.search(part)] if match]
    return sorted(set(found))


def _forms(text: str) -> tuple[bytes, ...]:
    """Return a text as files may write it: in several encodings, and escaped."""
    forms = []
    for shown in {text, text.lower(), text.upper()}:
        utf16 = shown.encode("utf-16-be")
        raw = [shown.encode(), utf16, shown.encode("utf-16-le"), shown.encode("latin-1", "ignore")]
        if not shown.isascii() and len(raw[-1]) < len(shown):
            raw.pop()
        hexes = [one.hex().encode() for one in raw[:2]]
        escaped = [
            json.dumps(shown)[1:-1].encode(), shown.encode("ascii", "backslashreplace"),
            shown.encode("ascii", "xmlcharrefreplace"), "".join(f"%{byte:02x}" for byte in raw[0]).encode(),
        ]  # fmt: skip
        forms += [one.lower() for one in (*raw, *hexes, *escaped)]
    return tuple(dict.fromkeys(forms))


NEEDLES = {what: _forms(text) for what, text in SEARCHED.items()}


def opened(name: str, content: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield a file and, as deep as they are nested, the things that it holds, each with a place to name."""
    yield name, content
    for place, part in _held(name, content):
        yield from opened(f"{name} > {place}", part)


def _held(name: str, content: bytes) -> Iterator[tuple[str, bytes]]:
    if content.startswith(b"\x1f\x8b"):
        yield "unpacked", gzip.decompress(content)
    elif content.startswith(b"PK\x03\x04"):
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            for one in archive.infolist():
                yield one.filename, archive.read(one) + one.filename.encode() + one.comment
    elif content.startswith(b"%PDF"):
        yield from _held_by_pdf(content)
    elif content.startswith(b"PAR1"):
        table = parquet.read_table(io.BytesIO(content))
        yield "table", repr((table.schema, table.schema.metadata, table.to_pylist())).encode()
    elif name.endswith(".html"):
        yield from _held_by_page(content.decode())
    elif content[:1] in b"{[" and name.endswith((".json", ".jsonl")):
        lines = content.decode().splitlines() if name.endswith("l") else [content.decode()]
        yield "told", "\n".join(repr(json.loads(line)) for line in lines).encode()


def _held_by_page(text: str) -> Iterator[tuple[str, bytes]]:
    yield "unescaped", html.unescape(text).encode()
    for number, found in enumerate(re.findall(r"base64,([A-Za-z0-9+/=]+)", text)):
        yield f"picture {number}", base64.b64decode(found)


def _held_by_pdf(content: bytes) -> Iterator[tuple[str, bytes]]:
    with pikepdf.open(io.BytesIO(content)) as document:
        for number, one in enumerate(document.objects):
            yield f"object {number}", one.unparse(resolved=True)
            if isinstance(one, pikepdf.Stream):
                yield f"stream {number}", _decoded(one)
                for key, value in one.items():
                    yield f"stream {number} {key}", str(value).encode()
        for key, value in document.docinfo.items():
            yield f"information {key}", str(value).encode()
        for key, attached in document.attachments.items():
            yield f"attached {key}", attached.get_file().read_bytes()
            yield f"description of {key}", attached.description.encode()
    for more in ([], ["-raw"]):
        told = subprocess.run(["pdftotext", *more, "-", "-"], input=content, capture_output=True, check=True)
        yield f"text {more}", told.stdout
        yield f"joined text {more}", re.sub(rb"\s+", b"", told.stdout)


def _decoded(stream: pikepdf.Stream) -> bytes:
    try:
        return stream.read_bytes()
    except pikepdf.PdfError:
        return stream.read_raw_bytes()


def filled_keywords(dataset: Dataset) -> set[str]:
    """Keywords of the elements of a data set."""
    return {keyword_for_tag(element.tag) for element in dataset}
