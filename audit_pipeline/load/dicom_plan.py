"""What could be delivered: each image of a study with size, place and header fields, before any pixel is decoded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from audit_pipeline.disclosure import WITHHELD
from audit_pipeline.errors import LimitError, NoGeometryError
from audit_pipeline.findings import Finding, Outcome
from audit_pipeline.geometry import spacing_of
from audit_pipeline.load.dicom_elements import text
from audit_pipeline.load.dicom_geometry import (
    ORIENTATION_NOTED,
    Frame,
    Stack,
    frame_of,
    is_spacing,
    slice_affine,
    stack_of,
)
from audit_pipeline.load.dicom_group import Group, orientations_of, positions_of
from audit_pipeline.load.dicom_header import Header, frame_bytes
from audit_pipeline.load.dicom_metadata import in_common, is_calibrated, printable
from audit_pipeline.load.dicom_suv import body_weight_factor
from audit_pipeline.load.notes import (
    ADJUSTED_ORIENTATION,
    INVENTED_SLICES,
    LEFT_OUT_IMAGES,
    TILTED_STACK,
    UNEVEN_SLICES,
    noted,
)
from audit_pipeline.load.settings import LoadSettings
from audit_pipeline.records import Matrix, Scalar

TILT_NOTED_DEGREES = 0.5


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """An image that could be delivered; it has every field of `records.Image` that rules may choose by.

    Attributes
    ----------
    headers : in slice order; one of a single image
    stack : where the slices lie; None for a single image
    suv_factor : by what real values are multiplied to become uptake; None to leave them
    """

    headers: tuple[Header, ...]
    shape: tuple[int, ...]
    affine: Matrix | None
    spacing_mm: tuple[float | None, ...]
    metadata: Mapping[str, Scalar]
    stack: Stack | None = None
    selectors: Mapping[str, str] = field(default_factory=dict)
    suv_factor: float | None = None
    findings: tuple[Finding, ...] = ()

    @property
    def modality(self) -> str:
        """DICOM Modality; "" where it is not stated or withheld."""
        held_back = str(self.metadata.get(WITHHELD) or "").split(", ")
        return "" if "Modality" in held_back else self.headers[0].modality

    @property
    def is_colour(self) -> bool:
        """Whether the image will have red, green and blue."""
        return self.headers[0].samples > 1 or self.headers[0].photometric == "PALETTE COLOR"


def plan_picture(header: Header, settings: LoadSettings) -> Plan:
    """Return a picture without a place in the patient: affine None, spacing only where it is calibrated."""
    refuse_oversized(header, settings)
    spacing = header.pixel_spacing
    if spacing is not None and min(spacing) > 0 and not is_spacing(spacing):
        raise NoGeometryError("PixelSpacing is no size that a pixel can have; export the image again")
    is_known = is_spacing(spacing) and is_calibrated(header.dataset)
    metadata = _metadata([header])
    if header.frames > 1:
        metadata["Stack"] = f"Frame {header.frame + 1} of {header.frames}"
    return Plan(
        headers=(header,),
        shape=(header.rows, header.columns),
        affine=None,
        spacing_mm=tuple(spacing) if spacing is not None and is_known else (None, None),
        metadata=metadata,
        selectors=_selectors([header], settings),
    )


def plan_stack(group: Group, settings: LoadSettings) -> Plan:
    """Return the volume of a stack, or the placed image of a single slice.

    Raises
    ------
    LoadError
        The geometry of the stack is not known, see `dicom_geometry`, or it is larger than the limits.
    """
    frame = frame_of(orientations_of(group))
    first = group.headers[0]
    for header in {one.path: one for one in group.headers}.values():
        refuse_oversized(header, settings)
    findings = [*_orientation_findings(frame), *_left_out_findings(group)]
    stack: Stack | None = None
    if len(group.headers) == 1:
        headers: Sequence[Header] = group.headers
        shape: tuple[int, ...] = (first.rows, first.columns)
        affine = slice_affine(frame, first.position or (), first.pixel_spacing)
        spacing: tuple[float | None, ...] = tuple(first.pixel_spacing or ())
    else:
        stack = stack_of(
            positions_of(group.headers), frame, first.pixel_spacing, gaps=settings.gaps, uneven=settings.uneven
        )
        headers = [group.headers[number] for number in stack.order]
        shape, affine, spacing = (stack.depth, first.rows, first.columns), stack.affine, spacing_of(stack.affine)
        _refuse_large(shape, settings)
        findings += _stack_findings(stack)
    metadata = _metadata(headers)
    if group.label:
        metadata["Stack"] = group.label
    return Plan(
        headers=tuple(headers),
        shape=shape,
        affine=affine,
        spacing_mm=spacing,
        metadata=metadata,
        stack=stack,
        selectors=_selectors(headers, settings),
        suv_factor=body_weight_factor(headers) if settings.suv and first.modality == "PT" else None,
        findings=tuple(findings),
    )


def refuse_oversized(header: Header, settings: LoadSettings) -> None:
    """Refuse a frame that would need more memory than the limits allow, before anything is allocated.

    Raises
    ------
    LimitError
        Too many pixels, or far more than a file of this size can hold.
    """
    pixels = header.rows * header.columns
    if pixels > settings.frame_pixels:
        raise LimitError(
            f"a frame of {header.rows} x {header.columns} pixels is announced; at most {settings.frame_pixels} pixels "
            "are read"
        )
    needed = frame_bytes(header) * header.frames
    if needed > settings.inflated_limit(header.file_bytes):
        raise LimitError(
            f"{needed} bytes of pixels are announced by a file of {header.file_bytes} bytes; check where it comes from"
        )


def _refuse_large(shape: tuple[int, ...], settings: LoadSettings) -> None:
    depth, rows, columns = shape
    if depth * rows * columns > settings.voxels:
        raise LimitError(
            f"a volume of {depth} x {rows} x {columns} voxels is announced; at most {settings.voxels} are read"
        )


def _metadata(headers: Sequence[Header]) -> dict[str, Scalar]:
    return in_common([(one.dataset, one.transfer_syntax) for one in headers])


def _selectors(headers: Sequence[Header], settings: LoadSettings) -> dict[str, str]:
    """Return the header fields that the rules asked for and all slices share."""
    found = {}
    for keyword in settings.selector_tags:
        values = {text(one.dataset, keyword) for one in headers}
        if len(values) == 1 and (value := values.pop()):
            found[keyword] = printable(value, longest=256)
    return found


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


def _stack_findings(stack: Stack) -> list[Finding]:
    found = []
    facts, share = stack.facts, stack.invented_share
    if facts.tilt_degrees > TILT_NOTED_DEGREES:
        message = (
            f"The slices are stacked {facts.tilt_degrees:.1f} degrees off their normal; the affine is sheared, "
            "positions are right."
        )
        found.append(
            noted(
                TILTED_STACK,
                Outcome.FLAG,
                message,
                value=facts.tilt_degrees,
                limit=TILT_NOTED_DEGREES,
                unit="degrees",
            )
        )
    if share > 0:
        how = "interpolated between measured ones" if stack.is_resampled else "missing and left empty"
        message = f"{share:.1%} of {stack.depth} slices are {how}."
        found.append(noted(INVENTED_SLICES, Outcome.FLAG, message, value=share, limit=0.0, unit="share"))
    elif facts.residual_mm > stack.noted_residual_mm:
        message = (
            f"A slice lies {facts.residual_mm:.3g} mm beside the even grid of {facts.step_mm:.4g} mm that was fitted "
            f"through all of them ({facts.residual_mm / facts.step_mm:.1%} of the step)."
        )
        found.append(
            noted(
                UNEVEN_SLICES,
                Outcome.FLAG,
                message,
                value=facts.residual_mm,
                limit=stack.noted_residual_mm,
                unit="mm",
            )
        )
    return found
