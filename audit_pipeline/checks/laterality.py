"""Whether left is left (A05): what the header says twice, and on which side the heart of a chest image lies."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy.ndimage import gaussian_filter

from audit_pipeline.checks.declare import Result, check, not_evaluable
from audit_pipeline.checks.grids import on_source
from audit_pipeline.checks.intensity import PROJECTION
from audit_pipeline.checks.source_slices import grey_of
from audit_pipeline.checks.wording import sentence
from audit_pipeline.evidence import Evidence, IntendedUse
from audit_pipeline.findings import Outcome
from audit_pipeline.geometry import closest_axes
from audit_pipeline.records import Floats, Image, Mask, Matrix
from audit_pipeline.wording import percent

SIDES = {"L": "left", "R": "right"}
LUNG_HU, LEAST_LUNG = (-980.0, -500.0), 0.02
"""Aerated lung lies between these HU, and fills at least this share of the body of a chest CT."""

LEAST_CONTRAST, LEAST_ROWS = 0.20, 0.10
"""The mediastinum stands out from both lungs by this share of the grey range, in this share of the rows."""

FALLEN, FAR, MOST = 0.25, 0.30, 0.85
"""The mediastinum ends where the brightness is down to this share of the way from the lung to the spine, as the heart
is far less bright than the spine; it is sought within this share of the width, where lungs are and air is not. A row
that falls off beyond the last share of that on a side shows no lung there: it is the abdomen, or fluid lies there."""


@check(
    "A05",
    title="Left and right contradict",
    family="A",
    sentence="What the header says about sides contradicts itself or the anatomy, so left may be right.",
    severity=(5, 2, 5),
    provenance="dom",
    reference="DICOM PS3.3 C.7.6.1.1.1, Patient Orientation; C.7.3.1.1.1, Laterality",
    advice="Compare with a prior image and with the side marker before reading any side from this study.",
    version=2,
)
def side_contradiction(evidence: Evidence, *, margin: float = 0.01) -> Result:
    """Compare the sides that the header states with each other and with the side of the heart.

    Value: how far the heart lies on the patient's left, positive there. In a chest CT it is how much smaller the left
    lung is, (right - left) / (right + left); in a frontal radiograph how much further the mediastinum reaches to the
    left than to the right in the rows above the diaphragm, as a share of the width. Flagged below minus `margin`:
    an image mirrored in its pixels or its header, or situs inversus (about 1 in 10 000). A radiograph that does not
    state PatientOrientation is read the usual way, the patient's left on the right of the picture.
    """
    image = evidence.image
    stated = tuple(_contradictions(image))
    value = _heart_side(evidence)
    if value is not None and value < -margin:
        stated = (*stated, f"the heart lies on the right by {percent(-value)} (limit {percent(margin)})")
    if stated:
        return Result(Outcome.FLAG, sentence(*stated), value, -margin, "share to the left")
    if value is None:
        return not_evaluable("Only one source tells the sides, and the heart does not show on which it lies.")
    text = f"The heart lies on the left by {percent(value)} (limit {percent(-margin)})."
    return Result(Outcome.PASS, text, value, -margin, "share to the left")


def _contradictions(image: Image) -> Iterator[str]:
    header = image.metadata
    series, single = (str(header.get(key) or "").strip().upper() for key in ("Laterality", "ImageLaterality"))
    if series in SIDES and single in SIDES and series != single:
        yield f"the series is of the {SIDES[series]} side and the image of the {SIDES[single]} one"
    toward = _picture_directions(image)
    if toward is not None and image.affine is not None:
        for axis, letters in zip((len(image.shape) - 1, len(image.shape) - 2), toward, strict=True):
            column = image.affine[:3, axis] / max(float(np.linalg.norm(image.affine[:3, axis])), 1e-9)
            stated = _vector(letters)
            if stated is not None and float(column @ stated) < 0:
                yield f"the header says that the picture grows toward {letters}, and its geometry says the opposite"


def _picture_directions(image: Image) -> tuple[str, str] | None:
    """Return the directions along a row and down a column as PatientOrientation states them."""
    parts = str(image.metadata.get("PatientOrientation") or "").upper().replace(",", "\\").split("\\")
    cleaned = [part.strip(" '[]") for part in parts]
    return (cleaned[0], cleaned[1]) if len(cleaned) == 2 and all(cleaned) else None


def _vector(letters: str) -> Matrix | None:
    axes = {"L": (0, 1), "R": (0, -1), "P": (1, 1), "A": (1, -1), "H": (2, 1), "F": (2, -1)}
    if letters[:1] not in axes:
        return None
    vector = np.zeros(3)
    axis, sign = axes[letters[0]]
    vector[axis] = sign
    return vector


def _heart_side(evidence: Evidence) -> float | None:
    image = evidence.image
    if image.is_colour or not is_chest(image, evidence.intended):
        return None
    if len(image.shape) == 3:
        return _smaller_lung(evidence) if image.modality == "CT" and image.unit == "HU" else None
    view = str(image.metadata.get("ViewPosition") or "").upper()
    if image.modality not in PROJECTION or view not in {"PA", "AP", ""}:
        return None
    reach = _mediastinal_reach(grey_of(image))
    toward = _picture_directions(image)
    if reach is None or (toward is not None and toward[0][:1] not in SIDES):
        return None
    return -reach if toward is not None and toward[0][:1] == "R" else reach


def is_chest(image: Image, intended: IntendedUse) -> bool:
    """Tell whether the header, or where it is silent the model card, says that this is a chest."""
    part = str(image.metadata.get("BodyPartExamined") or "").upper()
    allowed = [one.upper() for one in intended.body_part]
    parts = [part] if part else allowed
    return bool(parts) and all("CHEST" in one or "THORAX" in one or "LUNG" in one for one in parts)


def lungs_of(evidence: Evidence) -> Mask | None:
    """Return the aerated lungs of a CT on the source grid, (D, H, W), or None when there are too few."""
    image = evidence.image
    if evidence.body is None:
        return None
    body = on_source(evidence.body, evidence.prepared, image.shape)
    grey = grey_of(image)
    lungs = body & (grey > LUNG_HU[0]) & (grey < LUNG_HU[1])
    return lungs if lungs.sum() > LEAST_LUNG * max(int(body.sum()), 1) else None


def _smaller_lung(evidence: Evidence) -> float | None:
    """Return (right lung - left lung) / both, by the body's middle plane; None when the lungs are not both there."""
    image = evidence.image
    if image.affine is None or evidence.body is None:
        return None
    lungs = lungs_of(evidence)
    if lungs is None:
        return None
    axis, sign = next((place, turn) for place, (world, turn) in enumerate(closest_axes(image.affine)) if world == 0)
    others = tuple(other for other in range(3) if other != axis)
    body = on_source(evidence.body, evidence.prepared, image.shape).sum(axis=others)
    places = np.arange(body.size)
    middle = float((body * places).sum() / body.sum())
    counts = lungs.sum(axis=others)
    high, low = float(counts[places > middle].sum()), float(counts[places < middle].sum())
    if min(high, low) < 0.2 * (high + low):
        return None
    left, right = (high, low) if sign > 0 else (low, high)
    return (right - left) / (right + left)


def _mediastinal_reach(grey: Floats) -> float | None:
    """Return how much further the mediastinum reaches to the picture's right than to its left, as a share of the width.

    In every row the reach on a side is the distance from the midline to where the brightness has fallen nearly to that
    of the darkest place of the lung (`FALLEN`). Rows count where the mediastinum stands out on both sides and ends
    before `MOST` of the way, so that those of the abdomen or of an effusion do not; the lower third of them shows the
    heart.
    """
    low, high = (float(level) for level in np.percentile(grey, (1, 99)))
    if not high > low:
        return None
    width = grey.shape[1]
    step = max(1, width // 256)
    scaled = np.clip((grey[::step, ::step].astype(np.float64) - low) / (high - low), 0, 1)
    smooth = gaussian_filter(scaled, scaled.shape[1] / 80)
    rows, columns = smooth.shape
    central = slice(int(0.3 * columns), int(0.7 * columns))
    middle = central.start + int(smooth[int(0.15 * rows) : int(0.5 * rows), central].mean(axis=0).argmax())
    far = int(FAR * columns)
    found = [_row_reach(smooth[row], middle, far) for row in range(int(0.15 * rows), int(0.85 * rows))]
    reaches = [one for one in found if one is not None]
    if len(reaches) < LEAST_ROWS * rows:
        return None
    return float(np.median(reaches[-max(1, len(reaches) // 3) :]) / columns)


def _row_reach(row: Matrix, middle: int, far: int) -> float | None:
    right, left = row[middle : middle + far], row[max(0, middle - far) : middle + 1][::-1]
    if min(right.size, left.size) < far // 2:
        return None
    reach = []
    for side in (right, left):
        dark = float(side.min())
        if row[middle] - dark < LEAST_CONTRAST:
            return None
        reach.append(int((side < dark + FALLEN * (row[middle] - dark)).argmax()))
    return float(reach[0] - reach[1]) if max(reach) < MOST * far else None
