"""Objects of several frames, taken apart: afterwards every frame is a header like that of a single-frame file.

Functional groups are looked up frame by frame and laid over the elements they stand for, so that positions, spacing,
rescale and time of a frame are read by the same code as those of a file.
Reference: DICOM PS3.3, C.7.6.16 (Multi-frame Functional Groups), C.7.6.6 (Multi-frame).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pydicom
from pydicom.dataelem import RawDataElement
from pydicom.tag import BaseTag

from audit_pipeline.errors import HeaderError, IncompleteSeriesError, LimitError, MultiFrameError, SeriesChoiceError
from audit_pipeline.load.dicom_elements import exactly, text
from audit_pipeline.load.dicom_group import has_no_place
from audit_pipeline.load.dicom_header import Header
from audit_pipeline.load.dicom_index import place_of
from audit_pipeline.load.guard import translated
from audit_pipeline.load.settings import LoadSettings

_SHARED, _PER_FRAME = "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"
_GROUPS = (
    "PixelMeasuresSequence",
    "PlanePositionSequence",
    "PlaneOrientationSequence",
    "PixelValueTransformationSequence",
    "FrameContentSequence",
    "FrameVOILUTSequence",
    "FrameAnatomySequence",
    "TemporalPositionSequence",
    "CardiacSynchronizationSequence",
    "ContrastBolusUsageSequence",
    "CTImageFrameTypeSequence",
    "CTAcquisitionTypeSequence",
    "CTReconstructionSequence",
    "CTXRayDetailsSequence",
    "MRImageFrameTypeSequence",
    "MREchoSequence",
    "MRTimingAndRelatedParametersSequence",
    "MRDiffusionSequence",
    "PETFrameTypeSequence",
)
"""The functional groups whose elements stand at the top of single-frame objects, or tell frames apart."""
PHILIPS_GROUP = 0x7053
MOST_COPIES = 8_000_000
"""Elements of the file laid below those of its frames, all frames together."""
_NESTED = ("DiffusionGradientDirectionSequence",)
_Elements = dict[BaseTag, Any]


def frames_of(header: Header, settings: LoadSettings) -> list[Header]:
    """Return one header per frame that can become an image or a part of one.

    A frame with functional groups has a place of its own. Frames without one are a loop of pictures: one of them is
    taken by ``settings.volume``.

    Raises
    ------
    HeaderError
        There are not as many per-frame groups as frames, or they cannot be read.
    SeriesChoiceError
        A loop of pictures, and the settings name none of them.
    MultiFrameError
        Frames of a tomographic modality without functional groups: where each lies is not known.
    LimitError
        More frames than a series may have files.
    """
    if header.frames > settings.series_files:
        raise LimitError(f"the file announces {header.frames} frames; at most {settings.series_files} are read")
    if not header.has_functional_groups:
        return _one_picture(header, settings) if header.frames > 1 else [header]
    with translated(HeaderError, "the functional groups of the frames cannot be read; export the series again"):
        frames = [_with_groups(header, number, elements) for number, elements in enumerate(_flattened(header))]
    if len(frames) != header.frames:
        raise HeaderError(
            f"the file announces {header.frames} frames and describes {len(frames)}; export the series again"
        )
    if all(frame.position is None for frame in frames) and has_no_place(header):
        return _one_picture(header, settings) if header.frames > 1 else frames
    return frames


def _one_picture(header: Header, settings: LoadSettings) -> list[Header]:
    if not has_no_place(header):
        raise MultiFrameError(
            f"{header.frames} frames without functional groups: where each of them lies is not known; "
            "export them as single-frame or enhanced objects"
        )
    if settings.volume is None:
        raise SeriesChoiceError(
            f"the file is a loop of {header.frames} pictures; name one with volume (0 to {header.frames - 1})"
        )
    if settings.volume >= header.frames:
        raise SeriesChoiceError(
            f"picture {settings.volume} does not exist; the file holds {header.frames}, counted from 0"
        )
    return [replace(header, frame=settings.volume)]


def _flattened(header: Header) -> Iterator[_Elements]:
    """Yield the elements of each frame: the groups of the frame over the shared ones over those of the file."""
    dataset = header.dataset
    own = {tag: dataset.get_item(tag) for tag in dataset.keys()}  # noqa: SIM118 - iterating a data set parses it
    left_out = [pydicom.tag.Tag(keyword) for keyword in (_SHARED, _PER_FRAME)]
    top = {tag: element for tag, element in own.items() if tag not in left_out and _may_be_read(tag)}
    if len(top) * header.frames > MOST_COPIES:
        raise LimitError(
            f"{header.frames} frames below {len(top)} header elements are more than is read; export a smaller object"
        )
    shared = [_elements(item) for item in dataset[_SHARED].value[:1]] if _SHARED in dataset else []
    for item in dataset[_PER_FRAME].value if _PER_FRAME in dataset else [pydicom.Dataset()] * header.frames:
        yield {**top, **(shared[0] if shared else {}), **_elements(item)}


def _may_be_read(tag: BaseTag) -> bool:
    """Whether anything is ever read from this element; of private ones, only the uptake factor of Philips is."""
    return not tag.is_private or tag.group == PHILIPS_GROUP


def _elements(groups: pydicom.Dataset) -> _Elements:
    found: _Elements = {}
    for keyword in _GROUPS:
        for item in _items(groups, keyword)[:1]:
            found |= {tag: item.get_item(tag) for tag in item.keys()}  # noqa: SIM118
            for nested in _NESTED:
                for inner in _items(item, nested)[:1]:
                    found |= {tag: inner.get_item(tag) for tag in inner.keys()}  # noqa: SIM118
    return found


def _items(dataset: pydicom.Dataset, keyword: str) -> Sequence[pydicom.Dataset]:
    return dataset[keyword].value or () if keyword in dataset else ()


def _with_groups(header: Header, number: int, elements: Mapping[BaseTag, RawDataElement]) -> Header:
    flat = pydicom.Dataset(dict(elements))
    flat.set_original_encoding(*header.dataset.original_encoding)
    place = place_of(flat)
    place["image_type"] = header.image_type
    return replace(header, frame=number, dataset=flat, **place)


def refuse_part_of_concatenation(headers: Sequence[Header]) -> None:
    """Refuse a multi-frame object that was split over several files of which not all are there (PS3.3, C.7.6.16.2.2.4).

    Raises
    ------
    IncompleteSeriesError
        A part is missing.
    """
    parts: dict[str, set[float]] = defaultdict(set)
    totals: dict[str, float] = {}
    for header in headers:
        concatenation = text(header.dataset, "ConcatenationUID")
        number, total = (
            exactly(header.dataset, keyword, 1) for keyword in ("InConcatenationNumber", "InConcatenationTotalNumber")
        )
        if concatenation and number:
            parts[concatenation].add(number[0])
            totals[concatenation] = max(totals.get(concatenation, 0.0), *(total or ()), number[0])
    for concatenation, found in parts.items():
        if len(found) < totals[concatenation]:
            raise IncompleteSeriesError(
                f"{len(found)} of {totals[concatenation]:.0f} parts of a split object are there; find the missing files"
            )
