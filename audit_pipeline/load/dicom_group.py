"""Which files of a series form one stack: same plane, same grid, one image per position."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from pydicom.dataelem import RawDataElement
from pydicom.multival import MultiValue
from pydicom.uid import SecondaryCaptureImageStorage

from audit_pipeline.errors import AmbiguousStackError
from audit_pipeline.load.dicom_elements import text
from audit_pipeline.load.dicom_geometry import SAME_POSITION_MM, refuse_remote
from audit_pipeline.load.dicom_header import Header
from audit_pipeline.records import Matrix

PROJECTIONS = frozenset(
    ("CR", "DX", "MG", "XA", "RF", "US", "OT", "SC", "IO", "PX", "ES", "XC", "GM", "OP", "DG", "RG", "RTIMAGE")
)
"""Modalities whose images need no position and stay two-dimensional."""

STACK_ATTRIBUTES = (
    ("StackID",),
    ("EchoNumbers",),
    ("EchoTime",),
    ("EffectiveEchoTime",),
    ("TemporalPositionIdentifier",),
    ("TemporalPositionIndex",),
    ("TemporalPositionTimeOffset",),
    ("AcquisitionNumber",),
    ("DiffusionBValue", "DiffusionGradientOrientation"),
    ("TriggerTime",),
    ("NominalCardiacTriggerDelayTime",),
    ("NominalPercentageOfCardiacPhase",),
    ("KVP",),
    ("ContrastBolusAgent",),
    ("ContentTime",),
    ("AcquisitionTime",),
    ("FrameReferenceDateTime",),
    ("FrameAcquisitionDateTime",),
    ("ImageType",),
    ("FrameType",),
    ("ConvolutionKernel",),
)
"""Attributes that tell several images of one position apart, in the order in which they are tried."""
KEPT_APART = (("StackID",), ("TemporalPositionIdentifier",), ("TemporalPositionIndex",), ("EchoNumbers",))
"""Attributes whose values are never one volume, even where every position is taken once."""

_SAME_ORIENTATION = 1e-3
_SAME_SPACING_MM = 1e-4
_DIMENSION = "DimensionIndexValues"
MOST_DIMENSIONS = 64
"""A frame that lists more places than this has no dimensions that anybody chose."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Group:
    """Files that can form one stack.

    label : which of several images of the same positions this is, for example "EchoTime 1 of 2"; "" when it is alone
    other_grids : files of the same series and plane that have another matrix, spacing or pixel format
    other_planes : files of the same series that lie in another plane and were split off
    """

    headers: tuple[Header, ...]
    label: str = ""
    other_grids: int = 0
    other_planes: int = 0


def has_no_place(header: Header) -> bool:
    """Whether images of this kind are pictures without a place: radiographs, ultrasound, screen captures."""
    return header.modality in PROJECTIONS or header.sop_class == SecondaryCaptureImageStorage


def is_projection(header: Header) -> bool:
    """Whether this image is such a picture; the frames of a tomosynthesis have places although radiographs have not."""
    return has_no_place(header) and not (header.has_functional_groups and header.position is not None)


def positions_of(headers: Sequence[Header]) -> Matrix:
    """Return ImagePositionPatient of files that have one, (N, 3) mm LPS+."""
    return np.array([one.position for one in headers], dtype=np.float64)


def orientations_of(group: Group) -> Matrix:
    """Return ImageOrientationPatient of a group, (N, 6)."""
    return np.array([one.orientation for one in group.headers], dtype=np.float64)


def grids_of(headers: Sequence[Header]) -> list[Group]:
    """Return the files of one series grouped by plane and grid; the planes with fewer files come last.

    The first group of each grid in the main plane counts the files that were split off; groups of other planes have
    ``other_planes`` 0 and are told apart by their plane alone, see `split_off`.
    """
    rest: dict[tuple[object, ...], list[Header]] = defaultdict(list)
    for header in headers:
        rest[_format_key(header)].append(header)
    groups = [part for members in rest.values() for part in _same_plane(members)]
    groups.sort(key=lambda part: (-len(part), min(one.sop_uid for one in part)))
    main, others = _planes(groups)
    in_plane = sum(len(part) for part in main)
    return [
        Group(
            headers=tuple(part),
            other_grids=in_plane - len(part),
            other_planes=sum(len(other) for other in others),
        )
        for part in main
    ]


def split_off(headers: Sequence[Header], groups: Sequence[Group]) -> list[Header]:
    """Return the files of a series that lie in another plane than its main groups."""
    kept = {one.path for group in groups for one in group.headers}
    return [one for one in headers if one.path not in kept]


def _format_key(header: Header) -> tuple[object, ...]:
    return (
        header.frame_uid,
        header.rows,
        header.columns,
        header.sop_class,
        header.bits[0],
        header.is_signed,
        header.samples,
        header.photometric,
        header.pixel_keyword,
    )


def _same_plane(headers: Sequence[Header]) -> list[list[Header]]:
    """Return headers in clusters of equal orientation and pixel spacing, each within its tolerance of its first."""
    vectors = np.array([[*(one.orientation or ()), *(one.pixel_spacing or (0.0, 0.0))] for one in headers])
    tolerance = np.array([_SAME_ORIENTATION] * 6 + [_SAME_SPACING_MM] * 2)
    left = np.arange(len(headers))
    clusters = []
    while left.size:
        near = np.all(np.abs(vectors[left] - vectors[left[0]]) <= tolerance, axis=1)
        clusters.append([headers[number] for number in left[near]])
        left = left[~near]
    return clusters


def _planes(groups: Sequence[list[Header]]) -> tuple[list[list[Header]], list[list[Header]]]:
    """Return the groups in the plane of the largest group, and the groups in other planes."""
    reference = np.array(groups[0][0].orientation)
    main: list[list[Header]] = []
    others: list[list[Header]] = []
    for part in groups:
        near = np.abs(np.array(part[0].orientation) - reference).max() <= 2 * _SAME_ORIENTATION
        (main if near else others).append(part)
    return main, others


def stacks_of(group: Group, normal: NDArray[np.float64]) -> list[Group]:
    """Return the group as stacks with one image per position.

    Several images per position are told apart by the first attribute of `STACK_ATTRIBUTES` whose values split them
    into stacks over the same positions; stacks that are still not unique are split again by a later attribute.

    Raises
    ------
    AmbiguousStackError
        No attribute does.
    NoGeometryError
        A position is nowhere near a patient.
    """
    refuse_remote(positions_of(group.headers))
    places = _places(group.headers, normal)
    most = int(np.bincount(places).max())
    if most == 1:
        apart = _kept_apart(group.headers)
        return _labelled(group, *apart) if apart else [group]
    for keywords in _telling(group.headers):
        parts = _parts(group.headers, places, keywords)
        if parts:
            return [stack for part in _labelled(group, parts, keywords) for stack in stacks_of(part, normal)]
    raise AmbiguousStackError(
        f"up to {most} different images share a slice position and no header attribute tells them apart; "
        "separate the acquisitions into series of their own"
    )


def _kept_apart(headers: Sequence[Header]) -> tuple[list[list[Header]], tuple[str, ...]] | None:
    """Return the first attribute of `KEPT_APART` that forms stacks of at least two slices each, and its stacks.

    Images that interleave evenly make one volume by their positions alone, even when the table moved between two of
    them; what a time point or a stack is, its writer has said.
    """
    for keywords in KEPT_APART:
        by_value: dict[str, list[Header]] = defaultdict(list)
        for header in headers:
            by_value[_value(header, keywords)].append(header)
        if len(by_value) > 1 and "" not in by_value and min(len(part) for part in by_value.values()) > 1:
            return [by_value[value] for value in sorted(by_value, key=_natural)], keywords
    return None


def _telling(headers: Sequence[Header]) -> list[tuple[str, ...]]:
    """Return the attributes in the order in which they are tried; dimensions of multi-frame objects come last."""
    dimensions = min(max(len(_dimensions(one)) for one in headers), MOST_DIMENSIONS)
    return [*STACK_ATTRIBUTES, *((f"{_DIMENSION} {place}",) for place in range(1, dimensions + 1))]


def _dimensions(header: Header) -> Sequence[object]:
    """Return the place of the frame along each of the dimensions that its writer chose (PS3.3, C.7.6.17)."""
    element = header.dataset.get_item(_DIMENSION)
    if isinstance(element, RawDataElement) and len(element.value or b"") > 4 * MOST_DIMENSIONS:
        return ()
    try:
        # pydicom keeps what it has parsed
        value = None if element is None else header.dataset[_DIMENSION].value
    except Exception:  # noqa: BLE001 - whatever pydicom raises, there are no dimensions to be had
        return ()
    return (value,) if isinstance(value, int) else value if isinstance(value, MultiValue) else ()


def _value(header: Header, keywords: tuple[str, ...]) -> str:
    keyword, _, place = keywords[0].partition(" ")
    if place:
        return "".join(str(one) for one in _dimensions(header)[int(place) - 1 : int(place)])
    return "|".join(text(header.dataset, one) for one in (keyword, *keywords[1:]))


def _places(headers: Sequence[Header], normal: NDArray[np.float64]) -> NDArray[np.intp]:
    """Return a number per header that is equal for images at one position."""
    height = positions_of(headers) @ normal
    order = np.argsort(height, kind="stable")
    places = np.empty(len(headers), dtype=np.intp)
    places[order] = np.concatenate([[0], np.cumsum(np.diff(height[order]) > SAME_POSITION_MM)])
    return places


def _parts(headers: Sequence[Header], places: NDArray[np.intp], keywords: tuple[str, ...]) -> list[list[Header]]:
    """Return the headers by value of an attribute, [] unless every value covers the same positions equally often."""
    by_value: dict[str, list[int]] = defaultdict(list)
    for number, header in enumerate(headers):
        by_value[_value(header, keywords)].append(number)
    counts = {tuple(np.bincount(places[numbers], minlength=int(places.max()) + 1)) for numbers in by_value.values()}
    if len(by_value) < 2 or len(counts) != 1 or min(next(iter(counts))) == 0:
        return []
    return [[headers[number] for number in by_value[value]] for value in sorted(by_value, key=_natural)]


def _natural(value: str) -> tuple[bool, float, str]:
    """Order numbers by value and before other text."""
    try:
        return (False, float(value), value)
    except ValueError:
        return (True, 0.0, value)


def _labelled(group: Group, parts: Sequence[Sequence[Header]], keywords: tuple[str, ...]) -> list[Group]:
    # an ordinal instead of the value: a time of day may identify
    return [
        replace(
            group,
            headers=tuple(part),
            label=", ".join(filter(None, [group.label, f"{keywords[0]} {number} of {len(parts)}"])),
        )
        for number, part in enumerate(parts, start=1)
    ]
