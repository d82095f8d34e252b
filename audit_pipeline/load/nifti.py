"""One NIfTI file, or a header and image pair, to one `Image`: one reader, one pass, nothing guessed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from audit_pipeline.errors import CorruptFileError, NiftiHeaderError, SeriesChoiceError
from audit_pipeline.findings import Finding, Outcome
from audit_pipeline.geometry import spacing_of
from audit_pipeline.load.guard import translated
from audit_pipeline.load.inflate import Content, counted, ends_early, opened
from audit_pipeline.load.nifti_header import (
    FIRST_HEADER_BYTES,
    NiftiHeader,
    extension_end,
    header_bytes,
    read_nifti_header,
)
from audit_pipeline.load.nifti_values import Voxels, read_values
from audit_pipeline.load.notes import REPAIRED_HEADER, noted
from audit_pipeline.load.settings import LoadSettings
from audit_pipeline.load.values import value_findings
from audit_pipeline.records import Image, Matrix, Scalar, sealed

SURPLUS_FLAGGED_BYTES = 1024
"""Padding of a file to a whole block is harmless; more hints at a header that announces too little."""
_EXTENSION_BYTES = 2**20
"""Only the sizes of extensions are looked at, and only this far."""
_VECTOR_INTENTS = {1004: "matrix", 1005: "matrix", 1006: "vector", 1007: "vector", 2003: "RGB", 2004: "RGBA"}


def read_nifti(files: Sequence[Path], settings: LoadSettings) -> Image:
    """Return the image in a NIfTI-1 or NIfTI-2 file, plain or gzip, single or as header and image file.

    The array axes are reversed, (k, j, i), so that the last one is the fastest in memory; nothing is flipped.

    Raises
    ------
    NiftiHeaderError, LimitError, RescaleError, AffineConflictError
        See `nifti_header.read_nifti_header` and `nifti_values.read_values`.
    CorruptFileError
        The file ends early, or a checksum of its compression is wrong.
    SeriesChoiceError
        The file holds several volumes and the settings name none, or one that does not exist.
    """
    header_file, data_file = _roles(files)
    with translated(CorruptFileError, "the file cannot be read; copy it again from its source"):
        with opened(header_file, settings) as content:
            head, header = _header(content, settings)
            _check_roles(header, is_pair=data_file != header_file)
            number = _volume_number(header, settings)
            if header.is_pair:
                content.finish()
                digests = {header_file: content.sha256}
            else:
                voxels, findings = _voxels(content, header, number, settings, head)
                digests = {header_file: content.sha256}
        if header.is_pair:
            with opened(data_file, settings) as content:
                voxels, findings = _voxels(content, header, number, settings, b"")
                digests[data_file] = content.sha256
    sources = tuple(digests[file] for file in files)
    header = replace(header, findings=(*header.findings, *findings))
    return _image(header, voxels, number, sources, settings)


def _roles(files: Sequence[Path]) -> tuple[Path, Path]:
    """Return the file that holds the header and the file that holds the voxels."""
    heads = [one for one in files if one.name.lower().endswith((".hdr", ".hdr.gz"))]
    others = [one for one in files if one not in heads]
    header = heads[0] if heads else others[0]
    return header, (others[0] if others else header)


def _header(content: Content, settings: LoadSettings) -> tuple[bytes, NiftiHeader]:
    head = content.take(FIRST_HEADER_BYTES)
    head += content.take(header_bytes(head) - len(head))
    return head, read_nifti_header(head, settings)


def _check_roles(header: NiftiHeader, *, is_pair: bool) -> None:
    if header.is_pair and not is_pair:
        raise NiftiHeaderError(
            "the header announces a separate image file (.img) of the same name, which is not beside it; put both "
            "files into one folder"
        )
    if is_pair and not header.is_pair:
        raise NiftiHeaderError(
            "the header says that the voxels follow in the same file, but an image file (.img) lies beside it; which "
            "one holds the voxels is not known. Convert the image again from its source"
        )


def _volume_number(header: NiftiHeader, settings: LoadSettings) -> int:
    count = header.volumes
    if settings.volume is None:
        if count > 1:
            sizes = " x ".join(str(size) for size in header.trailing)
            kind = _VECTOR_INTENTS.get(header.codes["intent_code"])
            hint = f", which its header calls parts of a {kind}" if kind else ""
            raise SeriesChoiceError(
                f"the file holds {counted(count)} volumes (dimensions from the fourth on: {sizes}){hint}; set volume "
                f"to the one to read, 0 to {counted(count - 1)}"
            )
        return 0
    if not 0 <= settings.volume < count:
        raise SeriesChoiceError(
            f"volume {settings.volume} does not exist; the file holds {counted(count)}, counted from 0. Set volume to "
            "one of them"
        )
    return settings.volume


def _voxels(
    content: Content, header: NiftiHeader, number: int, settings: LoadSettings, head: bytes
) -> tuple[Voxels, list[Finding]]:
    """Return one volume, and what the file around them has to say; all of the file is verified."""
    content.expect(header.data_end)
    following = content.take(min(header.data_offset - content.position, _EXTENSION_BYTES)) if head else b""
    extended = extension_end(head, following)
    voxels = read_values(content, header, number, settings)
    behind = header.data_end - content.position
    surplus = content.finish() - behind
    if surplus < 0:
        raise CorruptFileError(ends_early(header.data_end, content.position))
    return voxels, [
        *_extension_findings(header, extended, surplus),
        *_surplus_findings(header, content, surplus),
        *_rounding_findings(voxels),
    ]


def _extension_findings(header: NiftiHeader, extended: int | None, surplus: int) -> list[Finding]:
    if extended is None or extended <= header.data_offset:
        return []
    if surplus > 0:
        raise NiftiHeaderError(
            f"an extension of the header runs past byte {header.data_offset}, where voxels should start (vox_offset), "
            f"and {surplus} bytes are left behind them; where they start is not known. Convert the image again"
        )
    message = f"An extension of the header is damaged; voxels start at byte {header.data_offset}, as vox_offset says."
    return [noted(REPAIRED_HEADER, Outcome.NOTE, message, value=float(header.data_offset), unit="bytes")]


def _surplus_findings(header: NiftiHeader, content: Content, surplus: int) -> list[Finding]:
    found = []
    if surplus:
        size = header.data_end - header.data_offset
        is_much = surplus > SURPLUS_FLAGGED_BYTES or surplus >= size
        message = (
            f"{surplus} bytes follow the {size} bytes of voxels that the header announces; make sure that its "
            "dimensions and data type are those of the image."
        )
        outcome = Outcome.FLAG if is_much else Outcome.NOTE
        found.append(
            noted(
                REPAIRED_HEADER,
                outcome,
                message,
                value=float(surplus),
                limit=float(SURPLUS_FLAGGED_BYTES),
                unit="bytes",
            )
        )
    if content.stray_bytes:
        message = (
            f"{content.stray_bytes} bytes that are not compressed follow the compressed image; they were not read."
        )
        stray = float(content.stray_bytes)
        found.append(noted(REPAIRED_HEADER, Outcome.FLAG, message, value=stray, limit=0.0, unit="bytes"))
    return found


def _rounding_findings(voxels: Voxels) -> list[Finding]:
    if not voxels.rounded_by:
        return []
    message = (
        f"Whole numbers above 16777216 were rounded to 32 bit floats, by up to {voxels.rounded_by:g}; numbers that "
        "stand for labels may be mixed up."
    )
    return [noted(REPAIRED_HEADER, Outcome.FLAG, message, value=voxels.rounded_by, limit=0.0)]


def _image(
    header: NiftiHeader,
    voxels: Voxels,
    number: int,
    sources: tuple[str, ...],
    settings: LoadSettings,
) -> Image:
    values, invalid = voxels.values, voxels.invalid
    affine, spacing = _reversed_axes(header)
    if values.shape[0] == 1:
        values, invalid = values[0], None if invalid is None else invalid[0]
        affine, spacing = _plane(affine), spacing[1:]
    is_phase = header.data_type.kind == "c" and settings.part == "phase"
    return Image(
        values=sealed(values),
        affine=None if affine is None else sealed(affine),
        spacing_mm=spacing,
        modality="",
        unit="rad" if is_phase else "stored value",
        format="nifti",
        invalid=None if invalid is None else sealed(invalid),
        metadata=_metadata(header, number, settings),
        findings=(*header.findings, *value_findings(invalid, spacing)),
        sources=sources,
    )


def _metadata(header: NiftiHeader, number: int, settings: LoadSettings) -> dict[str, Scalar]:
    sizes = header.shape if header.volumes == 1 else (*header.shape, *header.trailing)
    metadata: dict[str, Scalar] = {**header.codes, "dim": "x".join(str(size) for size in sizes)}
    metadata["affine_source"] = header.affine_source
    metadata["scl_slope"], metadata["scl_inter"] = header.slope, header.intercept
    if header.volumes > 1:
        metadata["volume"] = number
    if header.data_type.kind == "c":
        metadata["part"] = settings.part
    return metadata


def _reversed_axes(header: NiftiHeader) -> tuple[Matrix | None, tuple[float | None, ...]]:
    """Return affine and spacing for the array order (k, j, i)."""
    if header.affine is None:
        return None, header.voxel_mm[::-1]
    affine = header.affine[:, [2, 1, 0, 3]]
    return affine, spacing_of(affine)


def _plane(affine: Matrix | None) -> Matrix | None:
    """Return the affine of a single slice: (row, column, along the unit normal, 1) -> mm LPS+."""
    if affine is None:
        return None
    normal = np.cross(affine[:3, 2], affine[:3, 1])
    normal /= np.linalg.norm(normal)
    placed = affine[:, [1, 2, 0, 3]].copy()
    placed[:3, 2] = normal if normal @ affine[:3, 0] >= 0 else -normal
    return placed
