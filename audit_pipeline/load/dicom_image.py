"""From the files of one stack, or one file, to an `Image`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from audit_pipeline.errors import (
    ColourError,
    IncompleteSeriesError,
    LimitError,
    LoadError,
    PixelDataError,
    RescaleError,
)
from audit_pipeline.geometry import spacing_of
from audit_pipeline.load.account import Account
from audit_pipeline.load.dicom_geometry import (
    ORIENTATION_NOTED,
    Frame,
    Stack,
    frame_of,
    slice_affine,
    stack_of,
)
from audit_pipeline.load.dicom_group import Group, orientations_of, positions_of
from audit_pipeline.load.dicom_index import Header
from audit_pipeline.load.dicom_metadata import in_common
from audit_pipeline.load.dicom_slice import Slice, read_slice
from audit_pipeline.load.notes import (
    ADJUSTED_ORIENTATION,
    ASSUMED_POSITION_OR_UNIT,
    LEFT_OUT_IMAGES,
    POLARITY_INVERTED,
    REPAIRED_HEADER,
    TILTED_STACK,
    noted,
)
from audit_pipeline.load.settings import LoadSettings
from audit_pipeline.load.values import filled, value_findings
from audit_pipeline.records import Finding, Floats, Image, Mask, Matrix, Outcome, Scalar, StackFacts, sealed

TILT_NOTED_DEGREES = 0.5


def projection_image(header: Header, settings: LoadSettings) -> Image:
    """Return a picture without a place in the patient: affine None, spacing only where it is calibrated."""
    decoded = read_slice(header, settings)
    spacing = header.pixel_spacing
    known = spacing if spacing and decoded.has_calibrated_spacing and min(spacing) > 0 else (None, None)
    return _image(
        [decoded],
        decoded.values,
        decoded.invalid,
        _Place(spacing_mm=tuple(known)),
        modality=header.modality,
    )


def stack_image(group: Group, settings: LoadSettings, account: Account) -> Image:
    """Return the volume of a stack, or the placed image of a single slice.

    Raises
    ------
    LoadError
        The geometry or the values of the stack are not known, see `dicom_geometry` and `dicom_values`.
    IncompleteSeriesError
        The pixels of one slice are damaged; its file is refused with its own reason.
    """
    frame = frame_of(orientations_of(group))
    findings = [*_orientation_findings(frame), *_left_out_findings(group)]
    first = group.headers[0]
    if len(group.headers) == 1:
        decoded = read_slice(first, settings)
        affine = slice_affine(frame, first.position or (), first.pixel_spacing)
        return _image(
            [decoded],
            decoded.values,
            decoded.invalid,
            _Place(affine=affine, spacing_mm=tuple(first.pixel_spacing or ()), label=group.label),
            modality=first.modality,
            findings=findings,
        )
    stack = stack_of(positions_of(group.headers), frame, first.pixel_spacing, settings.gaps)
    ordered = [group.headers[number] for number in stack.order]
    slices, values, invalid = _volume(ordered, stack, settings, account)
    return _image(
        slices,
        values,
        invalid,
        _Place(affine=stack.affine, spacing_mm=spacing_of(stack.affine), facts=stack.facts, label=group.label),
        modality=first.modality,
        findings=[*findings, *_tilt_findings(stack.facts)],
    )


def _volume(
    ordered: Sequence[Header], stack: Stack, settings: LoadSettings, account: Account
) -> tuple[list[Slice], Floats, Mask | None]:
    """Decode the slices straight into one array; slots without a slice are invalid."""
    first = ordered[0]
    if stack.depth * first.rows * first.columns > settings.voxels:
        raise LimitError(
            f"a volume of {stack.depth} x {first.rows} x {first.columns} voxels is announced; at most "
            f"{settings.voxels} are read"
        )
    values: Floats | None = None
    invalid: Mask | None = None
    if stack.depth > len(ordered):
        invalid = np.ones((stack.depth, first.rows, first.columns), dtype=bool)
    slices = []
    for slot, header in zip(stack.slots, ordered, strict=True):
        decoded = _decoded(header, settings, account)
        if values is None:
            values = np.zeros((stack.depth, *decoded.values.shape), dtype=np.float32)
        if decoded.values.shape != values.shape[1:]:
            raise ColourError("a series mixes grey and colour images; export them as separate series")
        values[slot] = decoded.values
        if invalid is not None or decoded.invalid is not None:
            invalid = np.zeros((stack.depth, first.rows, first.columns), dtype=bool) if invalid is None else invalid
            invalid[slot] = False if decoded.invalid is None else decoded.invalid
        slices.append(_without_pixels(decoded))
    assert values is not None
    _refuse_mixed_units(slices)
    return slices, values, invalid


def _decoded(header: Header, settings: LoadSettings, account: Account) -> Slice:
    """Return the decoded slice; a damaged one makes the whole stack incomplete."""
    try:
        return read_slice(header, settings)
    except LoadError as error:
        if type(error) is not PixelDataError:
            raise
        account.refuse(error, [header.path])
        raise IncompleteSeriesError(
            "the pixels of a slice are damaged, so the volume would have a hole; transfer the series again"
        ) from error


def _without_pixels(decoded: Slice) -> Slice:
    return replace(decoded, values=decoded.values[:0], invalid=None)


def _refuse_mixed_units(slices: Sequence[Slice]) -> None:
    kinds = {(one.unit, one.mapping) for one in slices}
    if len(kinds) > 1:
        raise RescaleError(
            f"the slices of one series do not share one unit and one kind of rescaling, found {len(kinds)}; "
            "export the series again"
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class _Place:
    """Where an image lies; affine None for projections, facts None for single images."""

    affine: Matrix | None = None
    spacing_mm: tuple[float | None, ...]
    facts: StackFacts | None = None
    label: str = ""


def _image(
    slices: Sequence[Slice],
    values: Floats,
    invalid: Mask | None,
    place: _Place,
    *,
    modality: str,
    findings: Sequence[Finding] = (),
) -> Image:
    metadata: dict[str, Scalar] = in_common([one.metadata for one in slices])
    metadata["stored_min"] = min(one.stored_range[0] for one in slices)
    metadata["stored_max"] = max(one.stored_range[1] for one in slices)
    if place.label:
        metadata["Stack"] = place.label
    whole = filled(values, invalid)
    return Image(
        values=sealed(np.ascontiguousarray(whole, dtype=np.float32)),
        affine=None if place.affine is None else sealed(place.affine),
        spacing_mm=place.spacing_mm,
        modality=modality,
        unit=slices[0].unit,
        format="dicom",
        invalid=None if invalid is None else sealed(invalid),
        metadata=metadata,
        stack=place.facts,
        findings=(
            *findings,
            *_slice_findings(slices, modality),
            *value_findings(invalid, place.spacing_mm),
        ),
        sources=tuple(one.digest for one in slices),
    )


def _orientation_findings(frame: Frame) -> list[Finding]:
    if frame.deviation <= ORIENTATION_NOTED:
        return []
    message = f"The direction cosines deviate by {frame.deviation:.2g} from a rotation; the nearest rotation was used."
    return [noted(ADJUSTED_ORIENTATION, Outcome.NOTE, message, value=frame.deviation, limit=ORIENTATION_NOTED)]


def _left_out_findings(group: Group) -> list[Finding]:
    count = group.other_grids + group.other_planes
    if not count:
        return []
    message = (
        f"The series holds {count} further {'image' if count == 1 else 'images'}: {group.other_planes} in another "
        f"plane, {group.other_grids} with another matrix, spacing or pixel format."
    )
    return [noted(LEFT_OUT_IMAGES, Outcome.NOTE, message, value=float(count), limit=0.0, unit="images")]


def _tilt_findings(facts: StackFacts) -> list[Finding]:
    if facts.tilt_degrees <= TILT_NOTED_DEGREES:
        return []
    message = (
        f"The slices are stacked {facts.tilt_degrees:.1f} degrees off their normal; the affine is sheared, "
        "positions are right."
    )
    return [
        noted(
            TILTED_STACK,
            Outcome.FLAG,
            message,
            value=facts.tilt_degrees,
            limit=TILT_NOTED_DEGREES,
            unit="degrees",
        )
    ]


def _slice_findings(slices: Sequence[Slice], modality: str) -> list[Finding]:
    found = []
    if slices[0].is_inverted:
        message = "The file stores MONOCHROME1; the values were inverted once, so that bright is dense."
        found.append(noted(POLARITY_INVERTED, Outcome.NOTE, message))
    if modality == "CT" and slices[0].mapping == "none":
        message = "The CT states no RescaleSlope and RescaleIntercept; its values are stored values, not HU."
        found.append(noted(ASSUMED_POSITION_OR_UNIT, Outcome.FLAG, message))
    repairs = Counter(repair for one in slices for repair in one.repairs)
    if repairs:
        listed = ", ".join(f"{repair} ({count} of {len(slices)})" for repair, count in sorted(repairs.items()))
        message = f"Files were read with a repair: {listed}."
        found.append(
            noted(REPAIRED_HEADER, Outcome.NOTE, message, value=float(max(repairs.values())), limit=0.0, unit="files")
        )
    return found
