"""One NIfTI file, or header and image pair, to one `Image`: one reader, the stream read to its end, no guessing."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np

from audit_pipeline.errors import CorruptFileError, LimitError, NiftiHeaderError, SeriesChoiceError
from audit_pipeline.geometry import spacing_of
from audit_pipeline.load.discover import digest_of
from audit_pipeline.load.guard import translated
from audit_pipeline.load.nifti_header import HEADER_BYTES, UNIT_NAMES, NiftiHeader, read_nifti_header
from audit_pipeline.load.notes import ASSUMED_POSITION_OR_UNIT, noted
from audit_pipeline.load.settings import LoadSettings
from audit_pipeline.load.values import filled, value_findings
from audit_pipeline.records import Finding, Floats, Image, Mask, Matrix, Outcome, Scalar, sealed

_CHUNK = 2**20
_GZIP_MAGIC = b"\x1f\x8b"


def read_nifti(files: Sequence[Path], settings: LoadSettings) -> Image:
    """Return the image in a NIfTI-1 or NIfTI-2 file, plain or gzip, single or as header and image file.

    The array axes are reversed, (k, j, i), so that the last one is the fastest in memory; nothing is flipped.

    Raises
    ------
    NiftiHeaderError, LimitError, MultiFrameError, RescaleError, AffineConflictError
        See `nifti_header.read_nifti_header`.
    CorruptFileError
        The file ends early, or the checksum of its compression is wrong.
    SeriesChoiceError
        The file holds several volumes and the settings name none, or one that does not exist.
    """
    header_file, data_file = _roles(files)
    with translated(CorruptFileError, "the file cannot be read; transfer it again"):
        head = _content(header_file, HEADER_BYTES, settings)
        header = read_nifti_header(bytes(head), settings)
        if header.is_pair and data_file == header_file:
            raise NiftiHeaderError("the header announces a separate image file (.img), which is not beside it")
        number = _volume_number(header, settings)
        end = header.data_offset + header.data_bytes
        content = _content(data_file, end, settings, to_the_end=True)
    if len(content) < end:
        raise CorruptFileError(f"the file ends early: {end} bytes expected, {len(content)} found; transfer it again")
    return _image(header, content, number, files)


def _roles(files: Sequence[Path]) -> tuple[Path, Path]:
    """Return the file that holds the header and the file that holds the voxels."""
    heads = [one for one in files if one.name.lower().endswith((".hdr", ".hdr.gz"))]
    others = [one for one in files if one not in heads]
    header = heads[0] if heads else others[0]
    return header, (others[0] if others else header)


def _content(path: Path, wanted: int, settings: LoadSettings, *, to_the_end: bool = False) -> bytes | bytearray:
    """Return the first `wanted` bytes of a plain or gzip file; `to_the_end` verifies the rest of a gzip stream too."""
    size = path.stat().st_size
    if size > settings.file_bytes:
        raise LimitError(f"the file has {size} bytes; at most {settings.file_bytes} are read")
    with path.open("rb") as stream:
        is_zipped = stream.read(2) == _GZIP_MAGIC
        stream.seek(0)
        if not is_zipped:
            return stream.read(min(wanted, size))
        limit = settings.inflated_limit(size)
        if wanted > limit:
            raise LimitError(f"a file of {size} compressed bytes announces {wanted}; at most {limit} are inflated")
        return _inflated(stream, wanted, limit, to_the_end=to_the_end)


def _inflated(stream: BinaryIO, wanted: int, limit: int, *, to_the_end: bool) -> bytearray:
    """Return inflated bytes; zlib verifies checksum and length of each member at its end (RFC 1952, 2.3.1)."""
    kept = bytearray()
    grown = 0
    inflater = zlib.decompressobj(zlib.MAX_WBITS | 16)
    rest = b""
    while to_the_end or len(kept) < wanted:
        rest = rest or stream.read(_CHUNK)
        if not rest:
            if to_the_end and not inflater.eof:
                raise CorruptFileError("the compressed file ends early; transfer it again")
            break
        if inflater.eof:
            if not rest.startswith(_GZIP_MAGIC):
                break  # padding behind the last member, as tar and tape leave it
            inflater = zlib.decompressobj(zlib.MAX_WBITS | 16)
        try:
            grew = inflater.decompress(rest, _CHUNK)
        except zlib.error as error:
            raise CorruptFileError("the compressed file fails its checksum; transfer it again") from error
        rest = inflater.unused_data if inflater.eof else inflater.unconsumed_tail
        grown += len(grew)
        if grown > limit:
            raise LimitError(f"the compressed file grows beyond {limit} bytes; check where it comes from")
        kept += grew[: wanted - len(kept)]
    return kept


def _volume_number(header: NiftiHeader, settings: LoadSettings) -> int:
    count = header.shape[3] if len(header.shape) == 4 else 1
    if settings.volume is None:
        if count > 1:
            raise SeriesChoiceError(f"the file holds {count} volumes; name one with volume (0 to {count - 1})")
        return 0
    if not 0 <= settings.volume < count:
        raise SeriesChoiceError(f"volume {settings.volume} does not exist; the file holds {count}, counted from 0")
    return settings.volume


def _image(header: NiftiHeader, content: bytes | bytearray, number: int, files: Sequence[Path]) -> Image:
    values, invalid = _values(header, content, number)
    affine, spacing = _reversed_axes(header)
    if values.shape[0] == 1:
        values, invalid = values[0], None if invalid is None else invalid[0]
        affine, spacing = _plane(affine), spacing[1:]
    metadata: dict[str, Scalar] = {**header.codes, "dim": "x".join(str(size) for size in header.shape)}
    metadata["affine_source"] = header.affine_source
    metadata["scl_slope"], metadata["scl_inter"] = header.slope, header.intercept
    if len(header.shape) == 4:
        metadata["volume"] = number
    return Image(
        values=sealed(filled(values, invalid)),
        affine=None if affine is None else sealed(affine),
        spacing_mm=spacing,
        modality="",
        unit="stored value",
        format="nifti",
        invalid=None if invalid is None else sealed(np.ascontiguousarray(invalid)),
        metadata=metadata,
        findings=(*_findings(header), *value_findings(invalid, spacing)),
        sources=tuple(digest_of([file]) for file in files),
    )


def _values(header: NiftiHeader, content: bytes | bytearray, number: int) -> tuple[Floats, Mask | None]:
    """Return (D, H, W) or (D, H, W, 3) float32 values and where they are not finite."""
    depth_first = header.shape[2::-1]
    voxels = int(np.prod(depth_first))
    stored = np.frombuffer(
        content,
        dtype=header.data_type.base,
        count=voxels * (3 if header.is_colour else 1),
        offset=header.data_offset + number * voxels * header.data_type.itemsize,
    ).reshape((*depth_first, 3) if header.is_colour else depth_first)
    values = np.empty(stored.shape, dtype=np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        for place, plane in enumerate(stored):  # one plane at a time: float64 of a whole volume would be twice its size
            values[place] = (
                plane if header.slope is None else plane.astype(np.float64) * header.slope + header.intercept
            )
    broken = ~np.isfinite(values)
    return values, broken if not header.is_colour and broken.any() else None


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


def _findings(header: NiftiHeader) -> list[Finding]:
    said = []
    if header.affine is None:
        said.append("The header sets neither sform nor qform: orientation and position are unknown.")
    if header.unit_code != 2:
        name = UNIT_NAMES[header.unit_code]
        taken = "millimetres were assumed" if header.unit_code == 0 else "lengths were converted to millimetres"
        said.append(f"The length unit of the header is {name}; {taken}.")
    return [noted(ASSUMED_POSITION_OR_UNIT, Outcome.FLAG, " ".join(said))] if said else []
