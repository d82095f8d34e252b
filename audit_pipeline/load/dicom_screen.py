"""Which DICOM files may be read at all: images, of one patient, each object once."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, cast

import pydicom

from audit_pipeline.errors import (
    HeaderError,
    LimitError,
    LoadError,
    MosaicError,
    PatientMixError,
    PixelDataError,
    SopConflictError,
)
from audit_pipeline.load.account import Account
from audit_pipeline.load.deflated import inflated
from audit_pipeline.load.dicom_elements import uid_name
from audit_pipeline.load.dicom_header import Header
from audit_pipeline.load.dicom_stream import LARGE_BYTES, BoundedStream
from audit_pipeline.load.files import read_bytes
from audit_pipeline.load.guard import translated
from audit_pipeline.load.settings import LoadSettings
from audit_pipeline.records import Disposition

_IMAGE_WORDS = "Image Storage"
_NOT_AN_IMAGE = ("Segmentation", "RT Dose", "Presentation State", "Waveform", "Parametric Map")


def only_images(headers: Sequence[Header], account: Account) -> list[Header]:
    """Return the headers of images; objects of other SOP classes become ``non-image``, damaged files are refused.

    A damaged file that says which series it belongs to is returned too, so that its series is known to be incomplete.
    """
    kept = []
    for header in headers:
        name = uid_name(header.sop_class)
        is_image = _IMAGE_WORDS in name
        if any(word in name for word in _NOT_AN_IMAGE) or (
            header.sop_class and not is_image and not header.pixel_keyword
        ):
            reason = f"{name or 'a private object'}, not an image"
            account.settle([header.path], Disposition.NON_IMAGE, reason)
            continue
        checked = _with_damage(header, is_image=is_image)
        kept.append(checked)
        if checked.damage is not None:
            unreadable = isinstance(checked.damage, HeaderError)
            disposition = Disposition.UNREADABLE if unreadable else Disposition.REFUSED
            account.refuse(checked.damage, [header.path], disposition)
    return kept


def _with_damage(header: Header, *, is_image: bool) -> Header:
    """Return `header` with the reason why it cannot be an image, when there is one."""
    if header.damage is not None:
        return header
    error: LoadError | None = None
    if not header.pixel_keyword:
        kind = "the image object" if is_image else "the file"
        error = PixelDataError(f"{kind} has no pixel data; export it again with its pixels")
    elif "MOSAIC" in header.image_type:
        error = MosaicError("the file is a mosaic of many slices in one frame; export single slices instead")
    elif min(header.rows, header.columns, header.frames) < 1 or not _is_known_format(header):
        error = HeaderError(
            f"the image format makes no sense: {header.rows} x {header.columns} pixels, {header.samples} samples, "
            f"bits allocated, stored and high bit {header.bits}; export the file again"
        )
    return header if error is None else replace(header, damage=error)


def _is_known_format(header: Header) -> bool:
    allocated, stored, high = header.bits
    if header.pixel_keyword != "PixelData":
        return allocated in {32, 64} and header.samples == 1
    return allocated in {1, 8, 16, 32} and 1 <= stored <= allocated and stored - 1 <= high < allocated


def of_one_patient(headers: Sequence[Header], account: Account) -> list[Header]:
    """Return the headers of series that belong to one patient and one study; the others are refused whole.

    Inside a series every identifying field must be equal. Across the series of one study two different patient IDs
    are refused too; an empty one is not taken as another patient there.

    References
    ----------
    DICOM PS3.3, A.1.2: a series belongs to exactly one study, a study to exactly one patient.
    """
    series: dict[str, list[Header]] = defaultdict(list)
    for header in headers:
        series[header.series_uid or f"file {header.path}"].append(header)
    mixed = {uid for uid, members in series.items() if _is_mixed(members)}
    patients: dict[str, set[tuple[str, str]]] = defaultdict(set)
    for header in headers:
        if header.identity[1]:
            patients[header.study_uid].add(header.identity[:2])
    kept = []
    for uid, members in series.items():
        if uid in mixed:
            message = "one series carries more than one patient or study; separate the patients at the source"
        elif len(patients[members[0].study_uid]) > 1:
            message = "one study carries more than one patient ID; separate the patients at the source"
        else:
            kept += members
            continue
        account.refuse(PatientMixError(message), [one.path for one in members])
    return kept


def _is_mixed(members: Sequence[Header]) -> bool:
    """Whether a series names more than one patient or study; a header that was cut short may leave fields empty."""
    sound = {(*one.identity, one.study_uid) for one in members if one.damage is None}
    cut = [(*one.identity, one.study_uid) for one in members if one.damage is not None]
    return len(sound) > 1 or any(not _agrees(fields, full) for fields in cut for full in sound)


def _agrees(fields: Sequence[str], full: Sequence[str]) -> bool:
    return all(one in ("", other) for one, other in zip(fields, full, strict=True))


def each_object_once(headers: Sequence[Header], settings: LoadSettings, account: Account) -> list[Header]:
    """Return one header per SOP Instance UID; equal copies become ``duplicate``, unequal ones refuse their series."""
    by_uid: dict[str, list[Header]] = defaultdict(list)
    for header in headers:
        by_uid[header.sop_uid or f"file {header.path}"].append(header)
    conflicting: set[str] = set()
    copies: set[Path] = set()
    for members in by_uid.values():
        first, *others = sorted(members, key=lambda one: (one.damage is not None, one.path))
        if others and len({_content_digest(one, settings) for one in (first, *others)}) > 1:
            conflicting.update(one.series_uid for one in members)
            continue
        copies.update(one.path for one in others)
        account.settle([one.path for one in others], Disposition.DUPLICATE, "the same object as another file")
    kept = [one for one in headers if one.path not in copies and one.series_uid not in conflicting]
    for uid in sorted(conflicting):
        message = "two different files carry the same SOP Instance UID; find out which one is the original"
        account.refuse(SopConflictError(message), [one.path for one in headers if one.series_uid == uid])
    return kept


def _content_digest(header: Header, settings: LoadSettings) -> str:
    """Return a digest of the elements of a file, which does not depend on its preamble or on trailing padding."""
    digest = hashlib.sha256()
    try:
        with translated(HeaderError, "the file cannot be compared"):
            content = read_bytes(header.path)
            plain = inflated(content, settings) if header.is_deflated else content
            bounded = BoundedStream(BytesIO(plain), len(plain), settings, most_bytes=2 * len(plain) + LARGE_BYTES)
            dataset = pydicom.dcmread(cast("BinaryIO", bounded), force=True)
            for tag in sorted(dataset.keys()):
                if tag != 0xFFFCFFFC:  # data set trailing padding, PS3.10, 7.2
                    digest.update(str(tag).encode())
                    digest.update(_raw(dataset, tag))
    except LoadError:
        return f"file {header.path}"
    return digest.hexdigest()


def _raw(dataset: pydicom.Dataset, tag: int) -> bytes:
    value = dataset.get_item(tag).value
    return value if isinstance(value, bytes) else str(value).encode()


def within_limits(headers: Sequence[Header], settings: LoadSettings, account: Account) -> list[Header]:
    """Return the headers of series with an acceptable number of files."""
    series: dict[str, list[Header]] = defaultdict(list)
    for header in headers:
        series[header.series_uid].append(header)
    kept: list[Header] = []
    for members in series.values():
        if len(members) <= settings.series_files:
            kept += members
            continue
        message = f"a series has {len(members)} files; at most {settings.series_files} are read"
        account.refuse(LimitError(message), [one.path for one in members])
    return kept
