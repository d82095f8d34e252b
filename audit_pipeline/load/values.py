"""What DICOM and NIfTI images share once their values are known: invalid places, and what is said about them."""

from __future__ import annotations

from collections.abc import Sequence

from audit_pipeline.findings import Finding, Outcome
from audit_pipeline.load.notes import ANISOTROPIC_VOXELS, MASKED_VALUES, noted
from audit_pipeline.records import Floats, Mask

MASKED_SHARE_FLAGGED = 0.6
ANISOTROPY_NOTED = 3.0


def filled(values: Floats, invalid: Mask | None) -> Floats:
    """Return `values` with the lowest valid value at invalid places, 0 where nothing is valid.

    A network must never see NaN, and padding of 32,768 beside air of -1,000 HU would be the brightest thing in sight.
    """
    if invalid is None or not invalid.any():
        return values
    valid = values[~invalid]
    replaced = values if values.flags.writeable else values.copy()
    replaced[invalid] = valid.min() if valid.size else 0.0
    return replaced


def value_findings(invalid: Mask | None, spacing_mm: Sequence[float | None]) -> list[Finding]:
    """Return the findings about masked values and about the shape of the voxels."""
    found = []
    if invalid is not None and invalid.any():
        share = float(invalid.mean())
        outcome = Outcome.FLAG if share > MASKED_SHARE_FLAGGED else Outcome.NOTE
        message = f"{share:.1%} of the image is padding, missing or not finite; it is marked invalid."
        found.append(noted(MASKED_VALUES, outcome, message, value=share, limit=MASKED_SHARE_FLAGGED, unit="share"))
    known = [one for one in spacing_mm if one is not None]
    if len(known) >= 2 and max(known) > ANISOTROPY_NOTED * min(known):
        ratio = max(known) / min(known)
        message = f"The longest edge of a voxel is {ratio:.1f} times its shortest ({max(known):.3g} mm)."
        found.append(
            noted(ANISOTROPIC_VOXELS, Outcome.NOTE, message, value=ratio, limit=ANISOTROPY_NOTED, unit="ratio")
        )
    return found
