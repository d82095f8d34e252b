"""What the loader itself has to say about an image it delivers: findings A25 to A35."""

from __future__ import annotations

from audit_pipeline.findings import FailureMode, Finding, Outcome

POLARITY_INVERTED = FailureMode(
    code="A25",
    name="polarity_inverted",
    title="Polarity inverted for display",
    family="A",
    sentence="The file stores bright as low values (MONOCHROME1); the image was inverted once so that bright is dense.",
    severity=(3, 2, 3),
    provenance="std",
    reference="DICOM PS3.3, C.7.6.3.1.2",
    advice="Make sure that the model was trained on images of this polarity; `polarity: stored` keeps the file's.",
)
TILTED_STACK = FailureMode(
    code="A26",
    name="tilted_stack",
    title="Tilted stack of slices",
    family="A",
    sentence="The slices are not stacked along their normal (gantry tilt); voxels are sheared, positions are right.",
    severity=(3, 2, 4),
    provenance="std",
    reference="DICOM PS3.3, C.7.6.2.1.1",
    advice="Read positions through the affine; a model trained on upright stacks sees sheared anatomy.",
)
ADJUSTED_ORIENTATION = FailureMode(
    code="A27",
    name="adjusted_orientation",
    title="Orientation rounded in the header",
    family="A",
    sentence="The direction cosines were not exactly of unit length and perpendicular; the nearest rotation was used.",
    severity=(2, 3, 3),
    provenance="std",
    reference="DICOM PS3.3, C.7.6.2.1.1",
    advice="Nothing to do; the deviation is below one part in a thousand.",
)
ASSUMED_POSITION_OR_UNIT = FailureMode(
    code="A28",
    name="assumed_position_or_unit",
    title="Position or unit not stated by the file",
    family="A",
    sentence="The file does not state a position, a length unit or a value unit that the audit needs.",
    severity=(5, 2, 5),
    provenance="std",
    reference="DICOM PS3.3, C.8.2.1; NIfTI-1 header, xyzt_units, qform_code and sform_code",
    advice="Export the study again from its source, with the missing header fields.",
)
REPAIRED_HEADER = FailureMode(
    code="A29",
    name="repaired_header",
    title="Header read with a decision",
    family="A",
    sentence="The file deviates from its standard or contradicts itself; one reading was chosen and is named.",
    severity=(2, 3, 3),
    provenance="std",
    reference="DICOM PS3.10, section 7; PS3.5, section 8",
    advice="See whether the reading is the right one, and tell the sender of the files.",
)
LEFT_OUT_IMAGES = FailureMode(
    code="A30",
    name="left_out_images",
    title="Images left out",
    family="A",
    sentence="Images of the series or study are not part of what was audited.",
    severity=(3, 3, 4),
    provenance="std",
    reference="DICOM PS3.3, C.7.6.1 and C.7.6.2",
    advice="See the table of file dispositions for what was left out and why.",
)
MASKED_VALUES = FailureMode(
    code="A31",
    name="masked_values",
    title="Values masked as invalid",
    family="A",
    sentence="Padding, missing or non-finite values are marked invalid and hold the lowest valid value.",
    severity=(2, 4, 3),
    provenance="dom",
    reference="DICOM PS3.3, C.7.5.1.1.2",
    advice="A large share means that little of the image is anatomy; look at the slices.",
)
ANISOTROPIC_VOXELS = FailureMode(
    code="A32",
    name="anisotropic_voxels",
    title="Strongly anisotropic voxels",
    family="A",
    sentence="The longest edge of a voxel is more than three times its shortest.",
    severity=(2, 4, 3),
    provenance="dom",
    reference="DICOM PS3.3, C.7.6.2.1",
    advice="Evidence along the long edge is interpolated; do not read it at the resolution of the short edge.",
)
UNEVEN_SLICES = FailureMode(
    code="A33",
    name="uneven_slices",
    title="Slices beside an even grid",
    family="A",
    sentence="Slices lie beside the even grid that their volume claims, by more than rounding explains.",
    severity=(3, 3, 4),
    provenance="dom",
    reference="DICOM PS3.3, C.7.6.2.1.1",
    advice="Take the distance as the uncertainty of every position along the slices.",
)
INVENTED_SLICES = FailureMode(
    code="A34",
    name="invented_slices",
    title="Slices that were not measured",
    family="A",
    sentence="Slices of the volume were left empty or interpolated, because the settings ask for it.",
    severity=(4, 2, 4),
    provenance="std",
    reference="DICOM PS3.3, C.7.6.2.1.1",
    advice="Do not read evidence in these slices; ask for the complete series.",
)
LOSSY_COMPRESSION = FailureMode(
    code="A35",
    name="lossy_compression",
    title="Lossy compression",
    family="A",
    sentence="The pixels were compressed with loss: fine texture is that of the codec.",
    severity=(3, 3, 4),
    provenance="std",
    reference="DICOM PS3.3, C.7.6.1.1.5, Lossy Image Compression",
    advice="Ask for the original; do not trust evidence at the scale of single pixels.",
)

NOTES: tuple[FailureMode, ...] = (
    POLARITY_INVERTED,
    TILTED_STACK,
    ADJUSTED_ORIENTATION,
    ASSUMED_POSITION_OR_UNIT,
    REPAIRED_HEADER,
    LEFT_OUT_IMAGES,
    MASKED_VALUES,
    ANISOTROPIC_VOXELS,
    UNEVEN_SLICES,
    INVENTED_SLICES,
    LOSSY_COMPRESSION,
)


def noted(
    mode: FailureMode,
    outcome: Outcome,
    message: str,
    *,
    value: float | None = None,
    limit: float | None = None,
    unit: str = "",
) -> Finding:
    """Return the finding of `mode` with what was found here; everything else comes from the mode."""
    return Finding(
        code=mode.code,
        name=mode.name,
        title=mode.title,
        family=mode.family,
        outcome=outcome,
        message=message,
        value=value,
        limit=limit,
        unit=unit,
        provenance=mode.provenance,
        advice=mode.advice,
    )
