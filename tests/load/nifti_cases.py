"""The NIfTI bench: files written byte by byte whose every voxel value is a linear function of its patient position.

A stored number is ``5 + i + 4 j + 20 k + 7 n`` of voxel (i, j, k) in volume n, so it is linear in the patient
coordinate too, whatever the affine. `largest_error` inverts the true affine at the positions that were delivered, so an
image passes only when value and position are right together at every voxel, and no voxel is missing or doubled.

Each case declares the one outcome it may have: right (no finding at all), flagged (right, and a finding with this code
says so) or refused (exactly this error). Anything else, above all a silently wrong image, fails.
"""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nibabel
import numpy as np

from audit_pipeline.errors import (
    AffineConflictError,
    CorruptFileError,
    LimitError,
    LoadError,
    NiftiHeaderError,
    NotAStudyError,
    RescaleError,
    SeriesChoiceError,
)
from audit_pipeline.geometry import inverse, lps_to_ras, transform_points
from audit_pipeline.records import Image

FIELDS = {
    1: {
        "sizeof_hdr": (0, "i"), "dim": (40, "8h"), "intent_code": (68, "h"), "datatype": (70, "h"), "bitpix": (72, "h"),
        "pixdim": (76, "8f"), "vox_offset": (108, "f"), "scl_slope": (112, "f"), "scl_inter": (116, "f"),
        "xyzt_units": (123, "B"), "qform_code": (252, "h"), "sform_code": (254, "h"), "quatern": (256, "3f"),
        "qoffset": (268, "3f"), "srow": (280, "12f"), "magic": (344, "4s"),
    },
    2: {
        "sizeof_hdr": (0, "i"), "magic": (4, "8s"), "datatype": (12, "h"), "bitpix": (14, "h"), "dim": (16, "8q"),
        "pixdim": (104, "8d"), "vox_offset": (168, "q"), "scl_slope": (176, "d"), "scl_inter": (184, "d"),
        "qform_code": (344, "i"), "sform_code": (348, "i"), "quatern": (352, "3d"), "qoffset": (376, "3d"),
        "srow": (400, "12d"), "xyzt_units": (500, "i"), "intent_code": (504, "i"),
    },
}  # fmt: skip
HEADER_SIZE = {1: 348, 2: 540}
MAGIC = {(1, False): b"n+1\0", (1, True): b"ni1\0", (2, False): b"n+2\0\r\n\x1a\n", (2, True): b"ni2\0\r\n\x1a\n"}
CODES = {
    "u1": 2, "i2": 4, "i4": 8, "f4": 16, "c8": 32, "f8": 64, "i1": 256, "u2": 512, "u4": 768, "i8": 1024, "u8": 1280,
    "c16": 1792,
}  # fmt: skip
COLOUR_CODES = {3: 128, 4: 2304}
NAN, INF = math.nan, math.inf


def turned(angles: Sequence[float], sizes: Sequence[float], origin: Sequence[float]) -> np.ndarray:
    """Return the RAS+ affine of voxels of `sizes` turned about x, y and z by `angles` (radians)."""
    affine = np.eye(4)
    affine[:3, :3] = nibabel.eulerangles.euler2mat(*reversed(angles)) * sizes
    affine[:3, 3] = origin
    return affine


OBLIQUE = turned((0.3, -0.4, 0.7), (1.5, 2.0, 2.5), (-12.0, 20.0, 31.0))
RAS = turned((0, 0, 0), (1.5, 2.0, 2.5), (-12.0, 20.0, 31.0))
LAS = RAS @ np.diag([-1.0, 1.0, 1.0, 1.0])
PERMUTED = RAS[:, [1, 2, 0, 3]]
"""(i, j, k) run to anterior, superior and right; a rotation, so that qform can hold it."""


def sheared(degrees: float) -> np.ndarray:
    """Return an affine whose third axis leans toward the second, as in a tilted gantry."""
    lean = np.eye(4)
    lean[1, 2] = math.tan(math.radians(degrees)) * 2.5 / 2.0
    return RAS @ lean


@dataclass(kw_only=True)
class Plan:
    """One NIfTI file to be: `affine` is the truth in mm; `fields` overwrite what the header says."""

    shape: tuple[int, int, int] = (4, 5, 6)
    trailing: tuple[int, ...] = ()
    dimensions: int | None = None
    kind: str = "i2"
    channels: int = 1
    version: int = 1
    order: str = "<"
    is_pair: bool = False
    affine: np.ndarray = field(default_factory=lambda: OBLIQUE)
    sform: int = 1
    qform: int = 0
    unit: int = 2
    mm_per_unit: float = 1.0
    scale: tuple[float, float] = (1.0, 0.0)
    between: bytes = bytes(4)
    behind: bytes = b""
    alpha: int = 255
    edit: Callable[[np.ndarray], None] | None = None
    fields: dict[str, Any] = field(default_factory=dict)

    @property
    def volumes(self) -> int:
        return math.prod(self.trailing)

    def stored(self, number: int = 0) -> np.ndarray:
        """Return the stored numbers of one volume, (i, j, k) float64."""
        i, j, k = np.meshgrid(*map(np.arange, self.shape), indexing="ij")
        return 5.0 + i + 4 * j + 20 * k + 7 * number

    def header(self) -> bytes:
        """Return the header alone."""
        content = bytearray(HEADER_SIZE[self.version])
        for name, value in (self._facts() | self.fields).items():
            place, kind = FIELDS[self.version][name]
            struct.pack_into(self.order + kind, content, place, *(value if isinstance(value, tuple) else (value,)))
        return bytes(content)

    def _facts(self) -> dict[str, Any]:
        affine = self.affine.copy()
        affine[:3] /= self.mm_per_unit
        sizes = np.linalg.norm(affine[:3, :3], axis=0)
        rotation = affine[:3, :3] / sizes
        handed = -1.0 if np.linalg.det(rotation) < 0 else 1.0
        quaternion = nibabel.quaternions.mat2quat(rotation * [1, 1, handed])
        count = self.dimensions or 3 + len(self.trailing)
        dim = [count, *self.shape, *self.trailing]
        item = np.dtype(self.kind).itemsize * 8 * self.channels
        start = 0 if self.is_pair else HEADER_SIZE[self.version] + len(self.between)
        return {
            "sizeof_hdr": HEADER_SIZE[self.version],
            "dim": tuple(dim + [1] * (8 - len(dim))),
            "pixdim": (handed, *sizes, 1.0, 0.0, 0.0, 0.0),
            "datatype": COLOUR_CODES.get(self.channels) or CODES[self.kind],
            "bitpix": item,
            "vox_offset": start,
            "scl_slope": self.scale[0],
            "scl_inter": self.scale[1],
            "xyzt_units": self.unit,
            "qform_code": self.qform,
            "sform_code": self.sform,
            "quatern": tuple(quaternion[1:]) if self.qform else (0.0, 0.0, 0.0),
            "qoffset": tuple(affine[:3, 3]) if self.qform else (0.0, 0.0, 0.0),
            "srow": tuple(affine[:3].ravel()) if self.sform else (0.0,) * 12,
            "magic": MAGIC[self.version, self.is_pair],
        }

    def voxels(self) -> bytes:
        """Return the voxels of all volumes, the first axis fastest."""
        return b"".join(self._volume(number) for number in range(self.volumes))

    def _volume(self, number: int) -> bytes:
        numbers = self.stored(number)
        if self.channels > 1:
            parts = [numbers + 40 * channel for channel in range(3)] + [np.full(self.shape, self.alpha)]
            numbers = np.stack(parts[: self.channels])
        elif np.dtype(self.kind).kind == "c":
            numbers = numbers + 1j * (2 * numbers + 1)
        typed = numbers.astype(np.dtype(self.kind).newbyteorder(self.order))
        if self.edit is not None:
            self.edit(typed)
        return typed.tobytes(order="F")

    def content(self) -> bytes:
        """Return the whole single file."""
        return self.header() + self.between + self.voxels() + self.behind


def largest_error(image: Image, plan: Plan, meant: Callable[[np.ndarray], np.ndarray], number: int = 0) -> float:
    """Return the largest difference between a delivered value and the one planted at its delivered position.

    Infinite when the delivered positions are not those of the voxels, each once.
    """
    assert image.affine is not None
    index = np.stack(np.meshgrid(*map(np.arange, image.shape), indexing="ij"), axis=-1).astype(float)
    if len(image.shape) == 2:
        index = np.concatenate([index, np.zeros((*index.shape[:-1], 1))], axis=-1)
    places = transform_points(inverse(lps_to_ras(plan.affine)), transform_points(image.affine, index))
    whole = np.rint(places).astype(int)
    every = {tuple(place) for place in whole.reshape(-1, 3).tolist()}
    if every != set(np.ndindex(*plan.shape)) or np.abs(places - whole).max() > 0.02:
        return math.inf
    if image.spacing_mm != tuple(np.linalg.norm(image.affine[:3, : len(image.shape)], axis=0)):
        return math.inf
    stored = 5 + whole @ [1, 4, 20] + 7 * number
    planted = np.stack([meant(stored + 40 * channel) for channel in range(3)], -1) if image.is_colour else meant(stored)
    difference = np.abs(image.values - planted) / np.maximum(1, np.abs(planted) * 1e-3)
    return float(difference.max() if image.invalid is None else difference[~image.invalid].max(initial=0))


@dataclass(frozen=True, kw_only=True)
class Case:
    """One question to the loader, and the only answer it may give.

    `files` are written into an empty folder and the first is loaded; `code` and `number` are those of a finding,
    `error` and `words` those of a refusal; `meant` maps stored to real numbers; `masked` counts invalid voxels.
    """

    name: str
    plan: Plan
    files: Callable[[Plan], Mapping[str, bytes]]
    code: str = ""
    number: float | None = None
    error: type[LoadError] | None = None
    words: str = ""
    meant: Callable[[np.ndarray], np.ndarray] = lambda stored: stored
    masked: int = 0
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def verdict(self) -> str:
        """What may come of it."""
        return "refused" if self.error else "flagged" if self.code else "right"

    def write(self, folder: Path) -> Path:
        """Write the files; return the one to load."""
        for name, content in self.files(self.plan).items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)
        return folder / next(iter(self.files(self.plan)))


def plain(plan: Plan) -> dict[str, bytes]:
    return {"a.nii": plan.content()}


def zipped(plan: Plan) -> dict[str, bytes]:
    return {"a.nii.gz": gzip.compress(plan.content(), mtime=0)}


def pair(plan: Plan) -> dict[str, bytes]:
    return {"a.hdr": plan.header() + plan.between, "a.img": plan.voxels() + plan.behind}


def named(name: str) -> Callable[[Plan], dict[str, bytes]]:
    return lambda plan: {name: plan.content()}


def changed(change: Callable[[bytes], bytes], files=plain) -> Callable[[Plan], dict[str, bytes]]:
    """Return a writer whose last file is changed."""

    def write(plan: Plan) -> dict[str, bytes]:
        written = dict(files(plan))
        last = list(written)[-1]
        return written | {last: change(written[last])}

    return write


def flipped(place: int, bit: int = 0x10) -> Callable[[bytes], bytes]:
    def change(content: bytes) -> bytes:
        edited = bytearray(content)
        edited[place] ^= bit
        return bytes(edited)

    return change


def right(name: str, plan: Plan | None = None, files=plain, **rest: Any) -> Case:
    return Case(name=name, plan=plan or Plan(), files=files, **rest)


def flagged(name: str, code: str, number: float | None, plan: Plan | None = None, files=plain, **rest: Any) -> Case:
    return Case(name=name, plan=plan or Plan(), files=files, code=code, number=number, **rest)


def refused(name: str, error: type[LoadError], words: str, plan: Plan | None = None, files=plain, **rest: Any) -> Case:
    return Case(name=name, plan=plan or Plan(), files=files, error=error, words=words, **rest)


def fields(**changes: Any) -> Plan:
    """Return a plan whose header says something else."""
    return Plan(fields=changes)


def _set(value: float, *places: tuple[int, int, int]) -> Callable[[np.ndarray], None]:
    def edit(numbers: np.ndarray) -> None:
        for place in places:
            numbers[place] = value

    return edit


def _extension(*sizes: int, payload: int | None = None) -> bytes:
    blocks = b"".join(struct.pack("<ii", size, 6) + b"x" * ((payload or size) - 8) for size in sizes)
    return b"\x01\0\0\0" + blocks


def _sform(affine: np.ndarray) -> dict[str, Any]:
    return {"srow": tuple(affine[:3].ravel())}


def _moved(millimetres: float, affine: np.ndarray = OBLIQUE) -> np.ndarray:
    moved = affine.copy()
    moved[0, 3] += millimetres
    return moved


def _stored_blocks(plan: Plan) -> dict[str, bytes]:
    return {"a.nii.gz": gzip.compress(plan.content(), compresslevel=0, mtime=0)}


def _in_members(plan: Plan) -> dict[str, bytes]:
    content = plan.content()
    parts = (b"", content[:100], content[100:400], content[400:])
    return {"a.nii.gz": b"".join(gzip.compress(part, mtime=0) for part in parts) + bytes(700)}


def _with_every_gzip_field(plan: Plan) -> dict[str, bytes]:
    head = b"\x1f\x8b\x08" + bytes([2 | 4 | 8 | 16]) + bytes(6) + struct.pack("<H", 5) + b"extra" + b"name\0note\0"
    head += struct.pack("<H", zlib.crc32(head) & 0xFFFF)
    return {"a.nii.gz": head + gzip.compress(plan.content(), mtime=0)[10:]}


def _bomb(plan: Plan) -> dict[str, bytes]:
    zeros = gzip.compress(bytes(2**20), mtime=0)
    return {"a.nii.gz": gzip.compress(plan.content(), mtime=0) + 128 * zeros}


GEOMETRY = [
    right("axes along right anterior superior", Plan(affine=RAS)),
    right("axes along left anterior superior", Plan(affine=LAS)),
    right("axes permuted", Plan(affine=PERMUTED)),
    right("axes all reversed", Plan(affine=RAS @ np.diag([-1.0, -1, -1, 1]))),
    right("double oblique by sform"),
    right("double oblique by qform alone", Plan(sform=0, qform=1)),
    right("permuted by qform alone", Plan(affine=PERMUTED, sform=0, qform=1)),
    right("left handed by qform alone", Plan(affine=OBLIQUE @ np.diag([1.0, 1, -1, 1]), sform=0, qform=1)),
    right("half turn about x by qform", Plan(affine=RAS @ np.diag([1.0, -1, -1, 1]), sform=0, qform=1)),
    right("half turn about y by qform", Plan(affine=RAS @ np.diag([-1.0, 1, -1, 1]), sform=0, qform=1)),
    right("half turn about z by qform", Plan(affine=RAS @ np.diag([-1.0, -1, 1, 1]), sform=0, qform=1)),
    right(
        "half turn about a diagonal by qform",
        Plan(affine=RAS[:, [1, 0, 2, 3]] @ np.diag([1.0, 1, -1, 1]), sform=0, qform=2),
    ),
    right("sform and qform agree", Plan(qform=1)),
    right("sform and qform a rounding apart", Plan(qform=1, fields={"qoffset": tuple(_moved(0.01)[:3, 3])})),
    right("standard space codes", Plan(sform=4, qform=2)),
    right("other template code", Plan(sform=5)),
    right("far from the origin", Plan(affine=_moved(1900.0))),
    right("large handedness ignored where qform is not used", fields(pixdim=(7.0, 1.5, 2.0, 2.5, 0, 0, 0, 0))),
    right("qform damaged but switched off", fields(quatern=(NAN, 5.0, 1.0), qoffset=(INF, 0.0, 0.0))),
    right("sform damaged but switched off", Plan(sform=0, qform=1, fields={"srow": (NAN,) * 12})),
    flagged("sheared by ten degrees", "A26", 10.0, Plan(affine=sheared(10))),
    flagged("sheared by a gantry tilt of thirty degrees", "A26", 30.0, Plan(affine=sheared(30))),
    flagged(
        "sform scaled beside the voxel sizes", "A29", 2.5, fields(pixdim=(1.0, 1.0, 1.0, 1.0, 0, 0, 0, 0))
    ),
    flagged(
        "sform of unit scale beside true voxel sizes",
        "A29",
        2.5,
        Plan(affine=turned((0.3, -0.4, 0.7), (1, 1, 1), (0, 0, 0)), fields={"pixdim": (1.0, 1.5, 2, 2.5, 0, 0, 0, 0)}),
    ),
    flagged("no transform set", "A28", 0.0, Plan(sform=0)),
    flagged("no transform set for one slice", "A28", 0.0, Plan(sform=0, shape=(4, 5, 1))),
    flagged("strongly anisotropic voxels", "A32", 5.0, Plan(affine=turned((0.3, 0.2, 0.1), (1, 1, 5), (0, 0, 0)))),
    flagged(
        "handedness of qform left at zero", "A29", 0.0,
        Plan(sform=0, qform=1, fields={"pixdim": (0.0, 1.5, 2.0, 2.5, 0, 0, 0, 0)}),
    ),
    refused(
        "handedness of qform neither one nor minus one", NiftiHeaderError, "left from right",
        Plan(sform=0, qform=1, fields={"pixdim": (-3.0, 1.5, 2.0, 2.5, 0, 0, 0, 0)}),
    ),
    refused(
        "handedness of qform not a number", NiftiHeaderError, "left from right",
        Plan(sform=0, qform=1, fields={"pixdim": (NAN, 1.5, 2.0, 2.5, 0, 0, 0, 0)}),
    ),
    refused(
        "quaternion longer than one", NiftiHeaderError, "longer than 1",
        Plan(sform=0, qform=1, fields={"quatern": (0.9, 0.9, 0.0)}),
    ),
    refused(
        "quaternion not a number", NiftiHeaderError, "longer than 1|not finite",
        Plan(sform=0, qform=1, fields={"quatern": (NAN, 0.0, 0.0)}),
    ),
    refused(
        "offset of qform not finite", NiftiHeaderError, "qform holds numbers",
        Plan(sform=0, qform=1, fields={"qoffset": (INF, 0.0, 0.0)}),
    ),
    refused("sform not a number", NiftiHeaderError, "sform holds numbers", fields(**_sform(np.full((4, 4), NAN)))),
    refused("origin of sform infinite", NiftiHeaderError, "sform holds numbers", fields(**_sform(_moved(INF)))),
    refused("sform all zero", NiftiHeaderError, "singular", fields(srow=(0.0,) * 12)),
    refused(
        "two columns of sform the same", NiftiHeaderError, "singular", fields(**_sform(OBLIQUE[:, [0, 0, 2, 3]]))
    ),
    refused("sform code not defined", NiftiHeaderError, "sform_code is 9", Plan(sform=9)),
    refused("sform code negative", NiftiHeaderError, "sform_code is -1", Plan(sform=-1)),
    refused("qform code not defined", NiftiHeaderError, "qform_code is 1000", Plan(sform=0, qform=1000)),
    refused("qform code damaged beside a good sform", NiftiHeaderError, "prefer_affine", Plan(qform=77)),
]  # fmt: skip

CONFLICTS = [
    refused(
        "sform and qform 109 mm apart", AffineConflictError, "72.7 voxels apart",
        Plan(qform=1, fields=_sform(_moved(109.0))),
    ),
    refused(
        "sform and qform three quarters of a voxel apart", AffineConflictError, "0.75 voxels",
        Plan(qform=1, fields=_sform(_moved(0.75 * 1.5))),
    ),
    right("sform and qform a tenth of a voxel apart", Plan(qform=1, fields={"qoffset": tuple(_moved(0.15)[:3, 3])})),
    refused(
        "sform flips left and right against qform", AffineConflictError, "apart",
        Plan(qform=1, affine=RAS, fields=_sform(np.diag([-1.0, 1, 1, 1]) @ RAS)),
    ),
    refused(
        "a volume of two voxels flipped in place", AffineConflictError, "apart",
        Plan(shape=(2, 1, 1), qform=1, affine=RAS, fields=_sform(RAS @ np.array(
            [[-1.0, 0, 0, 1], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]))),
    ),
    refused(
        "a single voxel turned a quarter", AffineConflictError, "apart",
        Plan(shape=(1, 1, 1), qform=1, affine=RAS, fields=_sform(RAS[:, [1, 2, 0, 3]])),
    ),
    flagged(
        "conflict with sform preferred", "A29", 72.67, Plan(qform=1, fields={"qoffset": tuple(_moved(109.0)[:3, 3])}),
        settings={"prefer_affine": "sform"},
    ),
    flagged(
        "conflict with qform preferred", "A29", 72.67, Plan(qform=1, fields=_sform(_moved(109.0))),
        settings={"prefer_affine": "qform"},
    ),
    flagged(
        "sform damaged with qform preferred", "A29", None, Plan(qform=1, fields={"srow": (NAN,) * 12}),
        settings={"prefer_affine": "qform"},
    ),
    flagged(
        "qform code damaged with sform preferred", "A29", None, Plan(qform=77), settings={"prefer_affine": "sform"}
    ),
    refused(
        "sform damaged beside a good qform", NiftiHeaderError, "sform holds",
        Plan(qform=1, fields={"srow": (NAN,) * 12}),
    ),
    right("preference for a transform that is not set", settings={"prefer_affine": "qform"}),
]  # fmt: skip

UNITS = [
    flagged("no length unit", "A28", 1.0, Plan(unit=0)),
    flagged("metres", "A28", 1000.0, Plan(unit=1, mm_per_unit=1000.0)),
    flagged("micrometres", "A28", 0.001, Plan(unit=3, mm_per_unit=0.001)),
    flagged("micrometres by qform", "A28", 0.001, Plan(unit=3, mm_per_unit=0.001, sform=0, qform=1)),
    right("millimetres and seconds", Plan(unit=2 | 8)),
    right("millimetres and bits without a meaning", Plan(unit=2 | 64)),
    refused("length unit without a meaning", NiftiHeaderError, "has code 7", Plan(unit=7)),
    refused("length unit four", NiftiHeaderError, "has code 4", Plan(unit=4)),
    refused("voxel size zero", NiftiHeaderError, "1.5 x 0 x 2.5", fields(pixdim=(1.0, 1.5, 0.0, 2.5, 0, 0, 0, 0))),
    refused("voxel size negative", NiftiHeaderError, "-1.5 x", fields(pixdim=(1.0, -1.5, 2.0, 2.5, 0, 0, 0, 0))),
    refused("voxel size not a number", NiftiHeaderError, "nan", fields(pixdim=(1.0, 1.5, 2.0, NAN, 0, 0, 0, 0))),
    refused(
        "voxel size infinite without transforms", NiftiHeaderError, "inf",
        Plan(sform=0, fields={"pixdim": (1.0, INF, 2.0, 2.5, 0, 0, 0, 0)}),
    ),
    right("time step zero", Plan(trailing=(1,), fields={"pixdim": (1.0, 1.5, 2.0, 2.5, 0.0, NAN, 0, 0)})),
]  # fmt: skip

CONTAINERS = [
    right("big endian", Plan(order=">")),
    right("big endian of 32 bit floats", Plan(order=">", kind="f4")),
    right("nifti 2", Plan(version=2)),
    right("nifti 2 big endian", Plan(version=2, order=">")),
    right("nifti 2 big endian compressed of 64 bit floats", Plan(version=2, order=">", kind="f8"), zipped),
    right("header and image pair", Plan(is_pair=True), pair),
    right("big endian pair", Plan(is_pair=True, order=">"), pair),
    right("nifti 2 pair", Plan(is_pair=True, version=2), pair),
    right(
        "pair named by its image file", Plan(is_pair=True), lambda plan: dict(reversed(pair(plan).items()))
    ),
    right(
        "compressed pair",
        Plan(is_pair=True),
        lambda plan: {f"{name}.gz": gzip.compress(content) for name, content in pair(plan).items()},
    ),
    right(
        "pair with the image file in capitals",
        Plan(is_pair=True),
        lambda plan: {"a.hdr": plan.header(), "a.IMG": plan.voxels()},
    ),
    right("pair whose voxels start later", Plan(is_pair=True, fields={"vox_offset": 16}), changed(
        lambda content: bytes(16) + content, pair)),
    refused("pair of different names", NiftiHeaderError, "same name", Plan(is_pair=True), lambda plan: {
        "a.hdr": plan.header(), "b.img": plan.voxels()}),
    refused("header of a pair alone", NiftiHeaderError, "not beside it", Plan(is_pair=True), lambda plan: {
        "a.hdr": plan.header()}),
    refused("pair magic in a single file", NiftiHeaderError, "not beside it", fields(magic=b"ni1\0")),
    refused("single file magic in a pair", NiftiHeaderError, "which one holds", Plan(fields={"vox_offset": 352}), pair),
    right("single file named hdr", files=named("a.hdr")),
    refused("image file too short", CorruptFileError, "240 bytes expected.*239 found", Plan(is_pair=True), changed(
        lambda content: content[:-1], pair)),
    flagged("image file twice as long", "A29", 240.0, Plan(is_pair=True), changed(lambda one: one + one, pair)),
    refused("header of a pair too short", NotAStudyError, "no file of the study", Plan(is_pair=True), lambda plan: {
        "a.hdr": plan.header()[:300], "a.img": plan.voxels()}),
    right("plain file named gz", files=named("a.nii.gz")),
    right("compressed file named nii", files=lambda plan: {"a.nii": gzip.compress(plan.content())}),
    right("name in capitals", files=named("A.NII")),
    right("name without a suffix", files=named("scan")),
    right("name of another alphabet in a deep folder", files=named("папка/頭部/å b.nii")),
    right("compressed", files=zipped),
    right("compressed in stored blocks", files=_stored_blocks),
    right("compressed in several members with padding behind", files=_in_members),
    right("gzip header with every optional field", files=_with_every_gzip_field),
    refused("compressed twice", NiftiHeaderError, "compressed twice", files=lambda plan: {
        "a.nii.gz": gzip.compress(gzip.compress(plan.content()))}),
    flagged("compressed with text behind", "A29", 9.0, files=changed(
        lambda content: content + b"\0goodbye\n\n", zipped)),
]  # fmt: skip

DAMAGE = [
    refused("cut file", CorruptFileError, "592 bytes expected.*589 found", files=changed(lambda one: one[:-3])),
    refused("cut compressed file", CorruptFileError, "ends early", files=changed(lambda one: one[:-60], zipped)),
    refused("compressed file without its trailer", CorruptFileError, "ends early", files=changed(
        lambda one: one[:-8], zipped)),
    refused("compressed file without its last byte", CorruptFileError, "ends early", files=changed(
        lambda one: one[:-1], zipped)),
    refused("compressed file cut inside its second member", CorruptFileError, "ends early", files=lambda plan: {
        "a.nii.gz": (gzip.compress(plan.content()[:400]) + gzip.compress(plan.content()[400:]))[:-30]}),
    refused("second member missing", CorruptFileError, "592 bytes expected.*400 found", files=lambda plan: {
        "a.nii.gz": gzip.compress(plan.content()[:400])}),
    refused("one flipped bit in a stored block", CorruptFileError, "checksum", files=changed(
        flipped(500), _stored_blocks)),
    refused("one flipped bit in a compressed block", CorruptFileError, "checksum|ends early", files=changed(
        flipped(200), zipped)),
    refused("wrong checksum", CorruptFileError, "checksum", files=changed(flipped(-6), zipped)),
    refused("wrong length in the trailer", CorruptFileError, "checksum", files=changed(flipped(-2), zipped)),
    refused("wrong checksum behind the voxels", CorruptFileError, "checksum", Plan(behind=bytes(5000)), changed(
        flipped(-6), zipped)),
    refused("only a header", CorruptFileError, "592 bytes expected.*352 found", files=changed(lambda one: one[:352])),
    refused("cut header", NiftiHeaderError, "does not start", files=changed(lambda one: one[:200])),
    refused("nifti 2 cut inside its header", NiftiHeaderError, "ends inside its header", Plan(version=2), changed(
        lambda one: one[:400])),
    refused("text named nii", NiftiHeaderError, "348 or 540", files=lambda _: {"a.nii": b"not an image\n" * 60}),
    refused("empty file named nii", NotAStudyError, "no file of the study", files=lambda _: {"a.nii": b""}),
    refused("empty content in gzip", NiftiHeaderError, "348 or 540", files=lambda _: {"a.nii.gz": gzip.compress(b"")}),
    flagged("padding behind the voxels", "A29", 100.0, Plan(behind=bytes(100))),
    flagged("a second volume behind the voxels", "A29", 240.0, Plan(behind=bytes(240))),
    flagged("much behind the voxels of a compressed file", "A29", 5000.0, Plan(behind=bytes(5000)), zipped),
]  # fmt: skip

HEADERS = [
    refused("no magic as in Analyze", NiftiHeaderError, "Analyze", fields(magic=bytes(4))),
    refused("Analyze pair", NiftiHeaderError, "Analyze", Plan(is_pair=True, fields={"magic": bytes(4)}), pair),
    refused("magic of nonsense", NiftiHeaderError, "NIfTI-1", fields(magic=b"abcd")),
    refused("nifti 2 magic changed by a transfer as text", NiftiHeaderError, "NIfTI-2", Plan(
        version=2, fields={"magic": b"n+2\0\n\x1a\n\0"})),
    refused("nifti 1 magic in nifti 2", NiftiHeaderError, "NIfTI-2", Plan(version=2, fields={"magic": b"n+1\0"})),
    refused("header size zero", NiftiHeaderError, "348 or 540", fields(sizeof_hdr=0)),
    refused("header size of nifti 2 over nifti 1", NiftiHeaderError, "NIfTI-2", fields(sizeof_hdr=540)),
    refused("size and dimensions in different byte orders", NiftiHeaderError, "announces 768 dimensions", fields(
        dim=tuple(int.from_bytes(struct.pack("<h", one), "big") for one in (3, 4, 5, 6, 1, 1, 1, 1)))),
    refused("no dimensions", NiftiHeaderError, "0 dimensions", fields(dim=(0, 4, 5, 6, 1, 1, 1, 1))),
    refused("eight dimensions", NiftiHeaderError, "8 dimensions", fields(dim=(8, 4, 5, 6, 1, 1, 1, 1))),
    refused("negative number of dimensions", NiftiHeaderError, "-3 dimensions", fields(dim=(-3, 4, 5, 6, 1, 1, 1, 1))),
    refused("negative size", NiftiHeaderError, "4 x -5 x 6", fields(dim=(3, 4, -5, 6, 1, 1, 1, 1))),
    refused("size zero", NiftiHeaderError, "4 x 5 x 0", fields(dim=(3, 4, 5, 0, 1, 1, 1, 1))),
    refused("fourth size zero within the dimensions", NiftiHeaderError, "4 x 5 x 6 x 0", fields(
        dim=(4, 4, 5, 6, 0, 1, 1, 1))),
    right("sizes beyond the dimensions are not read", fields(dim=(3, 4, 5, 6, 0, -7, 9, 0))),
    refused("one dimension", NiftiHeaderError, "list or matrix", Plan(
        shape=(120, 1, 1), dimensions=1)),
    refused("matrix over the cortex", NiftiHeaderError, "list or matrix", Plan(
        shape=(1, 1, 1), trailing=(1, 9, 8), version=2, fields={"intent_code": 3001})),
    right("label intent", fields(intent_code=1002)),
    refused("voxels start at zero", NiftiHeaderError, "at least 352", fields(vox_offset=0)),
    refused("voxels start at zero in a compressed file", NiftiHeaderError, "at least 352", fields(
        vox_offset=0), zipped),
    refused("voxels start inside the header", NiftiHeaderError, "at least 352", fields(vox_offset=348)),
    refused("voxels start inside the nifti 2 header", NiftiHeaderError, "at least 544", Plan(
        version=2, fields={"vox_offset": 352})),
    refused("voxels start at a negative byte", NiftiHeaderError, "at least", fields(vox_offset=-352)),
    refused("voxels start at half a byte", NiftiHeaderError, "352.5", fields(vox_offset=352.5)),
    refused("voxels start at no number", NiftiHeaderError, "nan", fields(vox_offset=NAN)),
    refused("voxels start sixteen bytes late", CorruptFileError, "608 bytes expected.*592", fields(vox_offset=368)),
    right("voxels start at no multiple of sixteen", Plan(between=bytes(4 + 5))),
    right("extension", Plan(between=_extension(32))),
    right("two extensions and a gap", Plan(between=_extension(16, 48) + bytes(32))),
    right("extension of a big endian file", Plan(
        order=">", between=b"\1\0\0\0" + struct.pack(">ii", 16, 4) + bytes(8))),
    right("extension in nifti 2 compressed", Plan(version=2, between=_extension(64)), zipped),
    right("extension of a pair", Plan(is_pair=True, between=_extension(32)), pair),
    flagged("extension longer than the room for it", "A29", 384.0, Plan(between=_extension(4096, payload=32))),
    flagged("extension of no size that is possible", "A29", 384.0, Plan(between=_extension(-5, payload=32))),
    refused("extension over which the offset does not lead", NiftiHeaderError, "where they start", Plan(
        between=_extension(32), fields={"vox_offset": 352})),
    refused("the same in a compressed file", NiftiHeaderError, "where they start", Plan(
        between=_extension(32), fields={"vox_offset": 352}), zipped),
]  # fmt: skip

SCALING = [
    right("slope and intercept", Plan(scale=(2.0, 5.0)), meant=lambda stored: 2 * stored + 5),
    right("negative slope", Plan(scale=(-1.0, 0.0)), meant=lambda stored: -stored),
    right("slope of a float image", Plan(scale=(0.5, -3.0), kind="f4"), meant=lambda stored: 0.5 * stored - 3),
    right("small slope in a big endian file", Plan(scale=(0.01, 1000.0), order=">"), meant=lambda s: 0.01 * s + 1000),
    right("slope one and intercept", Plan(scale=(1.0, -1024.0)), meant=lambda stored: stored - 1024),
    right("slope not a number", Plan(scale=(NAN, NAN))),
    right("slope zero", Plan(scale=(0.0, 0.0))),
    flagged("slope zero with an intercept", "A29", 5.0, Plan(scale=(0.0, 5.0))),
    flagged("slope not a number with an intercept", "A29", 5.0, Plan(scale=(NAN, 5.0))),
    refused("intercept not a number", RescaleError, "slope 2 and intercept nan", Plan(scale=(2.0, NAN))),
    refused("slope one with an intercept that is not a number", RescaleError, "nan", Plan(scale=(1.0, NAN))),
    refused("intercept infinite", RescaleError, "inf", Plan(scale=(2.0, INF))),
    refused("slope infinite", RescaleError, "inf", Plan(scale=(INF, 0.0))),
    flagged(
        "slope that overflows 32 bit floats", "A31", 90 / 120, Plan(version=2, scale=(1e37, 0.0)), masked=90,
        meant=lambda stored: stored * 1e37,
    ),
]  # fmt: skip

TYPES = [
    *(right(f"voxels of type {kind}", Plan(kind=kind)) for kind in CODES if kind not in {"c8", "c16", "i2"}),
    right("big endian compressed voxels of type u2", Plan(kind="u2", order=">"), zipped),
    right("big endian compressed voxels of type i8", Plan(kind="i8", order=">"), zipped),
    flagged("whole numbers beyond 24 bits", "A29", 16.0, Plan(kind="i4", edit=_set(500_000_016, (1, 1, 1))),
            meant=lambda stored: np.where(stored == 5 + 25, 500_000_000.0, stored)),
    right("whole numbers of 24 bits", Plan(kind="u4", edit=_set(2**24, (1, 1, 1))),
          meant=lambda stored: np.where(stored == 5 + 25, 2.0**24, stored)),
    refused("single bits", NiftiHeaderError, "single bits", fields(datatype=1, bitpix=1)),
    refused("unknown type", NiftiHeaderError, "unknown data type 0", fields(datatype=0)),
    refused("type without a meaning", NiftiHeaderError, "unknown data type 77", fields(datatype=77)),
    refused("128 bit floats", NiftiHeaderError, "128 bit", fields(datatype=1536, bitpix=128)),
    refused("256 bit complex numbers", NiftiHeaderError, "256 bits", fields(datatype=2048, bitpix=256)),
    refused("type and bits contradict", NiftiHeaderError, "16 bits a voxel, the header says 8", fields(bitpix=8)),
    flagged("bits left at zero", "A29", 16.0, fields(bitpix=0)),
    refused("complex without a part chosen", NiftiHeaderError, "set part", Plan(kind="c8")),
    right("complex real part", Plan(kind="c8"), settings={"part": "real"}),
    right("complex imaginary part", Plan(kind="c8"), settings={"part": "imaginary"}, meant=lambda s: 2 * s + 1),
    right("complex magnitude", Plan(kind="c8"), settings={"part": "magnitude"}, meant=lambda s: np.hypot(s, 2 * s + 1)),
    right("complex phase", Plan(kind="c8"), settings={"part": "phase"}, meant=lambda s: np.arctan2(2 * s + 1, s)),
    right("double complex big endian compressed", Plan(kind="c16", order=">"), zipped, settings={"part": "imaginary"},
          meant=lambda s: 2 * s + 1),
    right("complex scaled in both parts", Plan(kind="c8", scale=(2.0, 3.0)), settings={"part": "magnitude"},
          meant=lambda s: np.hypot(2 * s + 3, 2 * (2 * s + 1) + 3)),
    right("part chosen for real voxels", settings={"part": "phase"}),
    right("colour", Plan(kind="u1", channels=3)),
    right("colour is never scaled", Plan(kind="u1", channels=3, scale=(2.0, 9.0)), zipped),
    right("colour of one slice", Plan(kind="u1", channels=3, shape=(4, 5, 1), dimensions=2)),
    flagged("colour with an opaque fourth channel", "A29", 255.0, Plan(kind="u1", channels=4)),
    refused("colour that is transparent", NiftiHeaderError, "transparent", Plan(kind="u1", channels=4, alpha=254)),
    flagged("voxels not a number", "A31", 2 / 120, Plan(
        kind="f4", edit=_set(NAN, (1, 2, 3), (0, 0, 0))), masked=2),
    flagged("infinite voxels in a compressed file", "A31", 1 / 120, Plan(kind="f8", edit=_set(-INF, (3, 4, 5))), zipped,
            masked=1),
    flagged("voxels beyond 32 bit floats", "A31", 1 / 120, Plan(kind="f8", edit=_set(1e300, (3, 0, 5))), masked=1),
    flagged("nothing but not a number", "A31", 1.0, Plan(kind="f4", edit=lambda numbers: numbers.fill(NAN)),
            masked=120),
]  # fmt: skip

VOLUMES = [
    refused("four dimensions and no volume chosen", SeriesChoiceError, "3 volumes.*0 to 2", Plan(trailing=(3,))),
    right("second of three volumes", Plan(trailing=(3,)), settings={"volume": 1}),
    right("last of three compressed volumes", Plan(trailing=(3,)), zipped, settings={"volume": 2}),
    right("volume of a big endian pair", Plan(trailing=(3,), order=">", is_pair=True), pair, settings={"volume": 2}),
    refused("volume that does not exist", SeriesChoiceError, "volume 3 does not exist", Plan(trailing=(3,)),
            settings={"volume": 3}),
    refused("negative volume", SeriesChoiceError, "volume -1", Plan(trailing=(3,)), settings={"volume": -1}),
    refused("volume one of a single volume", SeriesChoiceError, "holds 1", settings={"volume": 1}),
    right("volume zero of a single volume", settings={"volume": 0}),
    right("four dimensions with one volume", Plan(trailing=(1,))),
    right("seven dimensions with one volume", Plan(trailing=(1, 1, 1, 1))),
    refused("vector of five dimensions", SeriesChoiceError, "3 volumes.*vector", Plan(
        trailing=(1, 3), fields={"intent_code": 1007})),
    right("component of a vector", Plan(trailing=(1, 3), fields={"intent_code": 1007}), settings={"volume": 2}),
    refused("six dimensions", SeriesChoiceError, "12 volumes.*2 x 3 x 2", Plan(trailing=(2, 3, 2))),
    right("volume over three trailing dimensions", Plan(trailing=(2, 3, 2)), zipped, settings={"volume": 7}),
    right("volume over four trailing dimensions", Plan(trailing=(1, 2, 1, 2), version=2), settings={"volume": 3}),
    refused("four volumes of which one is cut", CorruptFileError, "ends early", Plan(trailing=(4,)), changed(
        lambda one: one[:-1]), settings={"volume": 0}),
    refused("four compressed volumes of which the last is missing", CorruptFileError, "1312 bytes.*1072 found", Plan(
        trailing=(4,), fields={"dim": (4, 4, 5, 6, 4, 1, 1, 1)}), lambda plan: {
        "a.nii.gz": gzip.compress(plan.content()[:-240])}, settings={"volume": 0}),
    refused("four compressed volumes with a wrong checksum behind the one chosen", CorruptFileError, "checksum", Plan(
        trailing=(4,)), changed(flipped(-6), zipped), settings={"volume": 0}),
    right("colour volumes", Plan(kind="u1", channels=3, trailing=(2,)), settings={"volume": 1}),
    right("two dimensions", Plan(shape=(4, 5, 1), dimensions=2)),
    right("two dimensions by qform without a thickness", Plan(
        shape=(4, 5, 1), dimensions=2, sform=0, qform=1, fields={"pixdim": (1.0, 1.5, 2.0, 0.0, 0, 0, 0, 0)})),
    right("one slice of three dimensions", Plan(shape=(4, 5, 1))),
    right("a sagittal slice", Plan(shape=(1, 5, 6))),
    right("a coronal slice", Plan(shape=(4, 1, 6))),
    right("one voxel", Plan(shape=(1, 1, 1))),
    right("a row of voxels", Plan(shape=(4, 1, 1))),
]  # fmt: skip

LIMITS = [
    refused("32767 voxels a side", LimitError, "35181150961663 voxels", fields(
        dim=(3, 32767, 32767, 32767, 1, 1, 1, 1))),
    refused("2 to the 40 voxels a side", LimitError, "voxels a volume", Plan(
        version=2, fields={"dim": (3, 2**40, 2**40, 2**40, 1, 1, 1, 1)})),
    refused("2 to the 60 volumes in a compressed file", LimitError, "at most", Plan(
        version=2, fields={"dim": (4, 4, 5, 6, 2**60, 1, 1, 1)}), zipped, settings={"volume": 0}),
    refused("2 to the 60 volumes in a plain file", CorruptFileError, "ends early", Plan(
        version=2, fields={"dim": (4, 4, 5, 6, 2**60, 1, 1, 1)}), settings={"volume": 0}),
    refused("voxels start behind a million terabytes", CorruptFileError, "ends early", Plan(
        version=2, fields={"vox_offset": 2**60})),
    refused("voxels start behind a million terabytes of a compressed file", LimitError, "at most", Plan(
        version=2, fields={"vox_offset": 2**60}), zipped),
    refused("slices of 32000 pixels a side", LimitError, "32000 x 32000", fields(
        dim=(3, 32000, 32000, 1, 1, 1, 1, 1))),
    refused("a list of numbers of the cortex as an image", LimitError, "list of numbers", Plan(
        version=2, fields={"dim": (3, 163842, 1, 1, 1, 1, 1, 1)})),
    refused("a gigabyte announced by a small compressed file", LimitError, "at most", fields(
        dim=(3, 1000, 1000, 500, 1, 1, 1, 1)), zipped),
    refused("zeros without end behind the voxels", LimitError, "grows beyond", files=_bomb),
    refused("a plain file over the limit on files", LimitError, "at most 500 are read", settings={"file_bytes": 500}),
]  # fmt: skip

CASES: list[Case] = [
    *GEOMETRY, *CONFLICTS, *UNITS, *CONTAINERS, *DAMAGE, *HEADERS, *SCALING, *TYPES, *VOLUMES, *LIMITS
]  # fmt: skip
