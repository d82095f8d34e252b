"""From a sound file to a hostile one: by structure where the format is known, else byte by byte."""

from __future__ import annotations

import gzip
import random
import struct
import tarfile
import warnings
import zipfile
import zlib
from collections.abc import Callable, Sequence

from pydicom.datadict import tag_for_keyword

from tests.fuzz.elements import UNDEFINED, Element, File, encoded, parsed
from tests.fuzz.invariants import CANARY
from tests.fuzz.seeds import MEMBERS, PACKERS, dicom_seeds, members, tarred, zipped

_VRS = "AE AS AT CS DA DS DT FD FL IS LO LT OB OD OF OL OV OW PN SH SL SQ SS ST SV TM UC UI UL UN UR US UT UV"
VRS = tuple(_VRS.split())
WEIRD_VRS = (b"ZZ", b"\0\0", b"  ", b"\xff\xff", b"un")
SYNTAXES = (
    "1.2.840.10008.1.2",
    "1.2.840.10008.1.2.1",
    "1.2.840.10008.1.2.2",
    "1.2.840.10008.1.2.1.99",
    "1.2.840.10008.1.2.5",
    "1.2.840.10008.1.2.4.50",
    "1.2.840.10008.1.2.4.90",
    "1.2.840.10008.1.2.4.100",
    "1.2.3",
    CANARY,
)
_KEYWORDS = """
Rows Columns BitsAllocated BitsStored HighBit PixelRepresentation SamplesPerPixel NumberOfFrames
PhotometricInterpretation PlanarConfiguration PixelPaddingValue PixelPaddingRangeLimit ImageType
ImagePositionPatient ImageOrientationPatient PixelSpacing ImagerPixelSpacing FrameOfReferenceUID RescaleSlope
RescaleIntercept RescaleType ModalityLUTSequence LUTDescriptor LUTData Modality Units SOPClassUID SOPInstanceUID
StudyInstanceUID SeriesInstanceUID PatientID PatientBirthDate PatientAge IssuerOfPatientID SpecificCharacterSet
WindowCenter WindowWidth KVP SliceThickness EchoTime PixelData FloatPixelData DoubleFloatPixelData
ExtendedOffsetTable ExtendedOffsetTableLengths SharedFunctionalGroupsSequence PerFrameFunctionalGroupsSequence
DimensionIndexValues StackID EchoNumbers TemporalPositionIdentifier AcquisitionNumber TriggerTime ContentTime
LossyImageCompression RedPaletteColorLookupTableDescriptor SegmentedRedPaletteColorLookupTableData
ConcatenationUID InConcatenationNumber InConcatenationTotalNumber RadiopharmaceuticalInformationSequence
PatientWeight RadionuclideHalfLife RadionuclideTotalDose RadiopharmaceuticalStartTime SeriesTime AcquisitionTime
AcquisitionDate DecayCorrection CorrectedImage PixelSpacingCalibrationType ContrastBolusAgent
DirectoryRecordSequence ReferencedFileID OffsetOfTheNextDirectoryRecord DirectoryRecordType
"""
KEYWORDS = tuple(_KEYWORDS.split())
TEXTS = (
    *(
        b"",
        b"0",
        b"1",
        b"-1",
        b"2",
        b"3",
        b"7",
        b"255",
        b"65535",
        b"65536",
        b"4294967296",
        b"1e300",
        b"-1e308",
        b"1e-310",
    ),
    *(
        b"nan",
        b"inf",
        b"0.0",
        b"1,5",
        b"1\\2",
        b"1\\2\\3",
        b"0\\0\\0\\0\\0\\0",
        b"\\",
        b"\\\\\\",
        b"1" * 400,
        b"1" * 3000 + b"x",
    ),
    *(
        b"1e-5\\1e5",
        b"0.8e308\\0.8e308\\0.8e308",
        b"1\\0\\0\\0\\1\\0",
        b"0\\1\\0\\0\\0\\-1",
        b"../../x",
        b"C:\\x",
        b"\0\0",
    ),
    *(
        b"MONOCHROME1",
        b"PALETTE COLOR",
        b"RGB",
        b"YBR_FULL_422",
        b"YBR_RCT",
        b"CR",
        b"PT",
        b"US",
        b"01",
        b"GML",
        b"CNTS",
    ),
    *(
        b"ISO 2022 IR 87\\ISO_IR 192",
        b"ISO_IR 999",
        b"\xff\xfe\xfd",
        b"ORIGINAL\\PRIMARY\\MOSAIC",
        b"00010101",
        b"235959",
    ),
    *(
        CANARY.encode(),
        CANARY.encode() * 3000,
        b"{}%s%n<b>",
        b"1.2.840.10008.5.1.4.1.1.2.1",
        b"1.2.840.10008.5.1.4.1.1.7",
    ),
)
NUMBERS = (
    0,
    1,
    2,
    3,
    7,
    8,
    15,
    16,
    17,
    31,
    32,
    63,
    64,
    127,
    128,
    255,
    256,
    32767,
    32768,
    65535,
    2**31 - 1,
    2**31,
    2**32 - 1,
)
LENGTHS = (0, 1, 2, 7, 8, 255, 0xFFFE, 0xFFFF, 0x10000, 0x7FFFFFFF, 0xFFFFFFF0, 0xFFFFFFFE, UNDEFINED)
_DEEPEST = 3000
Mutation = Callable[[random.Random, File], None]


def value_of(rng: random.Random) -> bytes:
    """Return the bytes of a value that somebody might send."""
    choice = rng.random()
    if choice < 0.55:
        return rng.choice(TEXTS)
    if choice < 0.8:
        kind = rng.choice(["<H", "<I", "<Q", ">H"])
        count = rng.choice([1, 1, 1, 2, 3, 6, 100])
        largest = 256 ** struct.calcsize(kind)
        return b"".join(struct.pack(kind, rng.choice(NUMBERS) % largest) for _ in range(count))
    if choice < 0.9:
        return struct.pack("<d", rng.choice([0.0, 1e308, -1e308, 5e-324, float("nan"), float("inf"), 1.0]))
    return rng.randbytes(rng.choice([1, 3, 16, 200]))


def any_element(rng: random.Random) -> Element:
    """Return an element that the loader may look at, or one of nobody."""
    tag = tag_for_keyword(rng.choice(KEYWORDS)) if rng.random() < 0.8 else rng.getrandbits(32)
    vr = rng.choice(WEIRD_VRS) if rng.random() < 0.1 else rng.choice(VRS).encode()
    return Element(tag or 0, vr, value_of(rng), stated=rng.choice(LENGTHS) if rng.random() < 0.1 else None)


def _place(rng: random.Random, file: File) -> tuple[list[Element], int]:
    """Return a list of elements at some depth, and an index into it."""
    elements = file.elements
    while True:
        index = rng.randrange(len(elements))
        value = elements[index].value
        if isinstance(value, list) and value and rng.random() < 0.7:
            inner = rng.choice(value)
            if inner:
                elements = inner
                continue
        return elements, index


def _new_value(rng: random.Random, file: File) -> None:
    elements, index = _place(rng, file)
    elements[index].value = value_of(rng)


def _new_known_value(rng: random.Random, file: File) -> None:
    tag = tag_for_keyword(rng.choice(KEYWORDS))
    known = [one for one in file.elements if one.tag == tag]
    if known:
        rng.choice(known).value = value_of(rng)
    else:
        _insert(rng, file)


def _edited_value(rng: random.Random, file: File) -> None:
    elements, index = _place(rng, file)
    value = elements[index].value
    if isinstance(value, bytes):
        elements[index].value = bytes_edited(rng, value)


def _length(rng: random.Random, file: File) -> None:
    elements, index = _place(rng, file)
    one = elements[index]
    true = len(one.value) if isinstance(one.value, bytes) else len(encoded([one], file))
    one.stated = rng.choice([*LENGTHS, true + 1, true + 2, max(0, true - 1), max(0, true - 2)])


def _vr(rng: random.Random, file: File) -> None:
    elements, index = _place(rng, file)
    elements[index].vr = rng.choice(WEIRD_VRS) if rng.random() < 0.3 else rng.choice(VRS).encode()


def _delete(rng: random.Random, file: File) -> None:
    elements, index = _place(rng, file)
    if len(elements) > 1:
        del elements[index]


def _duplicate(rng: random.Random, file: File) -> None:
    elements, index = _place(rng, file)
    one = elements[index]
    elements.insert(index, Element(one.tag, one.vr, value_of(rng) if rng.random() < 0.6 else one.value))


def _swap(rng: random.Random, file: File) -> None:
    elements, index = _place(rng, file)
    other = rng.randrange(len(elements))
    elements[index], elements[other] = elements[other], elements[index]


def _insert(rng: random.Random, file: File) -> None:
    elements, index = _place(rng, file)
    one = any_element(rng)
    # where its tag belongs, or anywhere
    wanted = next((number for number, other in enumerate(elements) if other.tag > one.tag), len(elements))
    elements.insert(wanted if rng.random() < 0.7 else index, one)


def _splice(rng: random.Random, file: File) -> None:
    other = parsed(rng.choice(list(dicom_seeds().values())))
    if other.elements:
        one = rng.choice(other.elements)
        file.elements = [kept for kept in file.elements if kept.tag != one.tag] + [one]
        if rng.random() < 0.8:
            file.elements.sort(key=lambda kept: kept.tag)


def _nest(rng: random.Random, file: File) -> None:
    elements, index = _place(rng, file)
    one = elements[index]
    if rng.random() < 0.8:
        elements[index] = Element(one.tag, b"SQ", [[one]], is_undefined=rng.random() < 0.5)
        return
    opening = Element(0x00189346, b"SQ", b"", stated=UNDEFINED)
    item = struct.pack("<HHI" if file.is_little else ">HHI", 0xFFFE, 0xE000, UNDEFINED)
    elements.insert(
        index, Element(0x00189346, b"SQ", (item + encoded([opening], file)) * rng.randrange(_DEEPEST), stated=UNDEFINED)
    )


def _other_encoding(rng: random.Random, file: File) -> None:
    if rng.random() < 0.5:
        file.is_explicit = not file.is_explicit
    else:
        file.is_little = not file.is_little


def _other_syntax(rng: random.Random, file: File) -> None:
    new = rng.choice(SYNTAXES).encode()
    new += b"\0" * (len(new) % 2)
    at = file.head.find(b"\x02\x00\x10\x00UI")
    if at < 0:
        return
    (length,) = struct.unpack_from("<H", file.head, at + 6)
    meta = file.head[144:at] + b"\x02\x00\x10\x00UI" + struct.pack("<H", len(new)) + new + file.head[at + 8 + length :]
    file.head = file.head[:140] + struct.pack("<I", len(meta)) + meta


def _head(rng: random.Random, file: File) -> None:
    choice = rng.randrange(5)
    if choice == 0:
        file.head = file.head[132:]
    elif choice == 1:
        file.head = b""
    elif choice == 2:
        file.head = rng.choice([b"MZ", b"\x7fELF", b"PK\x03\x04", b"\x1f\x8b\x08", b"\x5c\x01\0\0"]) + file.head[4:]
    elif choice == 3:
        file.head = file.head[:132] + file.head[144:]
    else:
        file.head = file.head[:132] + bytes_edited(rng, file.head[132:])


def _tail(rng: random.Random, file: File) -> None:
    file.tail += rng.choice([bytes(3000), rng.randbytes(20), encoded([any_element(rng)], file), b"\xff" * 9])


_MUTATIONS: Sequence[Mutation] = (
    *(_new_value, _new_known_value, _new_known_value, _new_known_value, _edited_value, _length, _vr, _delete),
    *(_duplicate, _swap, _insert, _insert, _splice, _nest, _other_encoding, _other_syntax, _head, _tail),
)


def mutated_dicom(rng: random.Random, seed: bytes) -> bytes:
    """Return a file with one to four faults in its structure, and now and then in its bytes."""
    file = parsed(seed)
    is_deflated = not file.elements
    if is_deflated:
        file.elements = parsed(dicom_seeds()["explicit"]).elements
        file.tail = b""
    for _ in range(rng.choice([1, 1, 2, 2, 3, 4])):
        rng.choice(_MUTATIONS)(rng, file)
    if is_deflated:
        packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
        body = packer.compress(encoded(file.elements, file)) + packer.flush()
        content = file.head + body + file.tail
    else:
        content = file.written()
    return bytes_edited(rng, content) if rng.random() < 0.2 else content


def bytes_edited(rng: random.Random, content: bytes) -> bytes:
    """Return bytes with a few faults: changed, cut, doubled, removed, or strange numbers written over them."""
    changed = bytearray(content)
    for _ in range(rng.choice([1, 1, 2, 4, 16])):
        if not changed:
            return rng.randbytes(4)
        at, size = rng.randrange(len(changed)), rng.choice([1, 2, 4, 8, 32])
        number = struct.pack(rng.choice(["<I", ">I"]), rng.choice(NUMBERS))
        start, end, new = rng.choice(
            [
                (at, at + 1, bytes([changed[at] ^ 1 << rng.randrange(8)])),
                (at, at + 1, bytes([rng.choice([0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)])])),
                (at, at + 4, number[: len(changed) - at]),
                (at, at + size, b""),
                (at, at, bytes(changed[at : at + size])),
                (at, at, rng.randbytes(size)),
                (at, len(changed) if rng.random() < 0.2 else at, b""),
            ]
        )
        changed[start:end] = new
    return bytes(changed)


def mutated_frame(rng: random.Random, seed: bytes) -> bytes:
    """Return a compressed file whose frame is faulty below an untouched header."""
    file = parsed(seed)
    pixels = file.elements[-1]
    assert isinstance(pixels.value, bytes)
    # the first item is the offset table, its value has four bytes for one frame
    start = pixels.value.index(b"\xfe\xff\x00\xe0", 8) + 8
    frame = pixels.value[start:-8]
    frame = _frame_header_edited(rng, frame) if rng.random() < 0.5 else bytes_edited(rng, frame)
    frame += b"\0" * (len(frame) % 2)
    pixels.value = pixels.value[: start - 4] + struct.pack("<I", len(frame)) + frame + pixels.value[-8:]
    return file.written()


def _frame_header_edited(rng: random.Random, frame: bytes) -> bytes:
    """Change numbers behind the markers, where sizes, tables and coding choices stand."""
    changed = bytearray(frame)
    markers = [at for at in range(len(frame) - 6) if frame[at] == 0xFF and frame[at + 1] >= 0xC0] or [0]
    for _ in range(rng.choice([1, 1, 2, 3])):
        at = rng.choice(markers) + rng.randrange(2, 48)
        if at >= len(changed) - 4:
            continue
        if rng.random() < 0.5:
            changed[at] = rng.choice([0, 1, 2, 3, 7, 31, 32, 33, 0x7F, 0x80, 0xFF, rng.randrange(256)])
        else:
            struct.pack_into(rng.choice([">H", ">I", "<I"])[:2], changed, at, rng.choice(NUMBERS) % 65536)
    return bytes(changed)


NIFTI_FIELDS = {
    "<h": (40, 42, 44, 46, 48, 50, 52, 54, 68, 70, 72, 74, 252, 254),
    "<f": (76, 80, 84, 88, 92, 108, 112, 116, 124, 128, *range(256, 328, 4)),
    "<B": (39, 123, 344, 345, 346, 347, 348, 349),
    "<i": (0, 352, 356, 120, 68),
    "<q": (16, 24, 32, 40, 48, 168),
    "<d": (104, 112, 120, 176, 184, 400, 408, 440),
}
_WHOLE = (0, 1, -1, 2, 3, 4, 5, 7, 8, 16, 64, 255, 348, 352, 540, 544, 1000, 32767, -32768, 2**31 - 1, 2**62, 3001)
_REAL = (0.0, 1.0, -1.0, 1e-45, 1e-30, 1e30, 3e38, float("nan"), float("inf"), 352.5, 348.0, 1000.0, 0.5)


def mutated_nifti(rng: random.Random, seed: bytes) -> bytes:
    """Return a NIfTI file with faults in its header, its voxels or its compression."""
    changed = bytearray(seed)
    for _ in range(rng.choice([1, 1, 2, 3])):
        kind = rng.choice(list(NIFTI_FIELDS))
        at = rng.choice(NIFTI_FIELDS[kind])
        kind = kind if rng.random() < 0.8 else f">{kind[1]}"
        if at + struct.calcsize(kind) > len(changed):
            continue
        if kind[1] in "fd":
            number: float = rng.choice(_REAL)
        else:
            bits = 8 * struct.calcsize(kind)
            number = rng.choice(_WHOLE) % (1 << bits)
            number -= 1 << bits if kind[1] != "B" and number >> (bits - 1) else 0
        struct.pack_into(kind, changed, at, number)
    content = bytes(changed)
    if rng.random() < 0.3:
        content = bytes_edited(rng, content)
    return _zipped_or_not(rng, content)


def _zipped_or_not(rng: random.Random, content: bytes) -> bytes:
    choice = rng.random()
    if choice < 0.5:
        return content
    packed = gzip.compress(content, mtime=0)
    if choice < 0.6:
        half = len(content) // 2
        packed = gzip.compress(content[:half], mtime=0) + gzip.compress(content[half:], mtime=0)
    if choice < 0.7:
        packed += rng.choice([bytes(100), b"\x1f\x8b", b"\x1f", packed, rng.randbytes(30), gzip.compress(bytes(10**6))])
    return bytes_edited(rng, packed) if rng.random() < 0.5 else packed


NAMES = (
    *("../x", "/etc/x", "a/../../x", "C:\\x", "..\\x", "a\0b", "", ".", "./", "a//b", "study", "study/", "a.dcm/x"),
    *("-o", "\u202e.dcm", CANARY, "x" * 300, "/".join("d" * 200), "\udcff", "DICOMDIR", "a.zip", "b.nii.gz", "A.DCM"),
)


def mutated_archive(rng: random.Random, seed: bytes) -> bytes:
    """Return an archive with faults in its bytes, or one packed anew with strange names and members."""
    if rng.random() < 0.6:
        return bytes_edited(rng, seed)
    files = members()
    with warnings.catch_warnings():
        # twice the same name is what is wanted
        warnings.simplefilter("ignore")
        return _packed_anew(rng, seed, files)


def _packed_anew(rng: random.Random, seed: bytes, files: list[tuple[str, bytes]]) -> bytes:
    for _ in range(rng.choice([1, 2, 3])):
        number = rng.randrange(len(files))
        name = rng.choice(NAMES) if rng.random() < 0.7 else rng.choice(MEMBERS)
        content = rng.choice([files[number][1], b"", seed, bytes(10**6), rng.randbytes(50)])
        files.insert(number, (name, content))
    try:
        if rng.random() < 0.5:
            packed = zipped(files, rng.choice([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED]))
        else:
            plain = tarred(files, rng.choice([tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]))
            packed = PACKERS[rng.choice(list(PACKERS))](plain)
    except (ValueError, UnicodeError):
        return bytes_edited(rng, seed)
    return bytes_edited(rng, packed) if rng.random() < 0.4 else packed
