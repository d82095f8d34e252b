"""Whether the field of view holds the anatomy it should (A13): what is cut off cannot be found."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.ndimage import gaussian_filter

from audit_pipeline.checks.declare import Result, check
from audit_pipeline.checks.grids import on_source
from audit_pipeline.checks.intensity import PROJECTION
from audit_pipeline.checks.laterality import is_chest, lungs_of
from audit_pipeline.checks.masks import padding_of
from audit_pipeline.checks.source_slices import grey_of
from audit_pipeline.evidence import Evidence, Unanswered
from audit_pipeline.findings import Outcome
from audit_pipeline.geometry import plane_name
from audit_pipeline.records import Floats, Image, Mask, Matrix
from audit_pipeline.wording import percent

SECTIONAL = frozenset({"CT", "MR", "PT", "NM", ""})
"""Modalities whose slices show air around the body on every side."""

COARSE = 192
"""Radiographs are looked at with about this many pixels per axis."""

LEAST_CONTRAST, RISE, THIN_RISE = 0.20, 0.25, 0.10
"""Spine and lung differ by this share of the grey range; a wall is brighter than the lung by this share of that, and
one with air beyond it by the last: beside the heart little of a lung is left to be darker than the wall."""

AIR = 0.25
"""Air outside is darker than the lung by this share of the contrast between spine and lung."""

RIBS = 0.04
"""Standard deviation of that average as a share of the frame."""

NARROW, BESIDE = 0.30, 0.10
"""Where less than the first share of the patient lies on one side of the spine, most of the lung there is cut off;
columns darker than the second share of the grey range lie beside the patient."""

Part = tuple[float, str]


@check(
    "A13",
    title="Anatomy cut off",
    family="A",
    sentence="The field of view ends inside the anatomy, so what lies beyond was never seen.",
    severity=(5, 3, 4),
    provenance="dom",
    reference="The body and lung masks on the source; the catalogue's crops of 10, 25 and 40 % of the field",
    advice="Ask for the complete field of view, or exclude the study.",
    direction="above",
    version=2,
)
def cut_anatomy(evidence: Evidence, *, limit: float = 0.40, lines_limit: float = 0.20) -> Result:
    """Measure how much of the body or of the lungs is cut by an edge of the field of view.

    Value: the largest of: the share of an in-plane edge of a CT, MR or PET that body covers; for a chest CT the lung
    on a face over its largest cross-section along that axis, so that a scan that begins or ends in the lungs is found;
    for a frontal chest radiograph the share of lines through a lung that reach the edge without a wall or diaphragm,
    with `lines_limit` as its limit.
    Other projections fill the frame by design and are not evaluable.
    """
    image = evidence.image
    if image.is_colour:
        raise Unanswered("In a colour image the body is not told from its surroundings.")
    parts: list[Part] = []
    if image.modality in SECTIONAL and evidence.body is not None:
        parts += _body_at_edges(evidence)
    if is_chest(image, evidence.intended):
        parts += _lungs_cut(evidence) if len(image.shape) == 3 else _lungs_in_projection(image)
    if not parts:
        raise Unanswered("Neither the body nor the lungs show where the field of view should end.")
    limit = lines_limit if image.modality in PROJECTION else limit
    value, where = max(parts)
    text = f"At most {percent(value)} of the anatomy is cut off, {where} (limit {percent(limit)})."
    if value > limit:
        text = f"{percent(value)} is cut off, {where} (limit {percent(limit)})."
    return Result(Outcome.FLAG if value > limit else Outcome.PASS, text, value, limit, "share cut off")


def _body_at_edges(evidence: Evidence) -> list[Part]:
    """Return the share of each in-plane edge of the source that body covers."""
    image = evidence.image
    assert evidence.body is not None
    body = on_source(evidence.body, evidence.prepared, image.shape)
    seen = on_source(evidence.prepared.inside, evidence.prepared, image.shape)
    found: list[Part] = []
    for axis in (body.ndim - 2, body.ndim - 1):
        for end in _ends(seen, axis):
            face = np.take(body, end, axis=axis)
            covered = np.take(seen, end, axis=axis)
            share = float(face.sum()) / max(int(covered.sum()), 1)
            found.append((share, f"the body at the {_end_name(image, axis, end)} edge"))
    return found


def _lungs_cut(evidence: Evidence) -> list[Part]:
    image = evidence.image
    lungs = lungs_of(evidence) if image.modality == "CT" and image.unit == "HU" else None
    if lungs is None:
        return []
    seen = on_source(evidence.prepared.inside, evidence.prepared, image.shape)
    found: list[Part] = []
    for axis in range(3):
        areas = lungs.sum(axis=tuple(other for other in range(3) if other != axis))
        found += [
            (float(areas[end] / areas.max()), f"the lungs at the {_end_name(image, axis, end)} edge")
            for end in _ends(seen, axis)
        ]
    return found


def _ends(seen: Mask, axis: int) -> tuple[int, int]:
    """Return the first and the last index along `axis` that the model sees, one inside where the source ends."""
    covered = np.flatnonzero(seen.any(axis=tuple(other for other in range(seen.ndim) if other != axis)))
    return (int(covered[0]), int(covered[-1])) if covered.size else (0, -1)


def _end_name(image: Image, axis: int, end: int) -> str:
    is_first = end < image.shape[axis] / 2
    if len(image.shape) == 3 and image.affine is not None:
        plane = plane_name(image.affine[:3, axis])
        return f"{'first' if is_first else 'last'} {plane}"
    place = axis - len(image.shape)
    names = {-1: ("left", "right"), -2: ("upper", "lower"), -3: ("first", "last")}[place]
    return names[0] if is_first else names[1]


def _lungs_in_projection(image: Image) -> list[Part]:
    """Return per edge the share of lines through the lungs that reach it without meeting something brighter."""
    view = str(image.metadata.get("ViewPosition") or "").upper()
    if image.modality not in PROJECTION or view not in {"PA", "AP", ""}:
        return []
    grey = _cropped(grey_of(image), padding_of(image))
    step = max(1, max(grey.shape) // COARSE)
    low, high = (float(level) for level in np.percentile(grey, (1, 99)))
    if not high > low or min(grey.shape) < 32:
        return []
    lines = _open_lines(np.clip((grey[::step, ::step].astype(np.float64) - low) / (high - low), 0, 1))
    return [(share, f"the lungs at the {name} edge") for name, share in lines.items()]


def _cropped(grey: Floats, padding: Mask) -> Floats:
    rows, columns = (np.flatnonzero(~padding.all(axis=axis)) for axis in (1, 0))
    return grey[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] if rows.size and columns.size else grey


def _spine(smooth: Matrix) -> int:
    """Return the column of the spine: the brightest one of the middle rows, away from the edges."""
    rows, columns = smooth.shape
    start = int(0.03 * columns)
    return start + int(smooth[int(0.2 * rows) : int(0.6 * rows), start : columns - start].mean(axis=0).argmax())


def _open_lines(scaled: Matrix) -> dict[str, float]:
    """Return for each edge the share of lines that are open, among the lines with lung on them.

    Across the lines the image is averaged over a few ribs, so that a rib is not taken for the wall of the chest.
    """
    rows, columns = scaled.shape
    band = range(int(0.2 * rows), int(0.7 * rows))
    level = gaussian_filter(scaled, (RIBS * rows, 1.5))
    middle = _spine(level)
    sides = {"left": level[:, :middle][:, ::-1], "right": level[:, middle + 1 :]}
    extents = {name: _extent(side[band.start : band.stop]) for name, side in sides.items()}
    found: dict[str, float] = {}
    for name, side in sides.items():
        lines = [_is_open(side[row], float(level[row, middle]), extents[name]) for row in band]
        found[name] = 1.0 if extents[name] < NARROW * sum(extents.values()) else _share_open(lines)
    upright = gaussian_filter(scaled, (0.5 * RIBS * rows, RIBS * columns))
    spine = float(np.median(level[band.start : band.stop, middle]))
    reach = {"left": -1, "right": 1}
    beside = [
        middle + side * place
        for name, side in reach.items()
        for place in range(int(0.2 * extents[name]), int(0.6 * extents[name]))
    ]
    half = rows // 2
    found["upper"] = _share_open([_is_open(upright[: half + 1, place][::-1], spine) for place in beside])
    found["lower"] = _share_open([_is_open(upright[half:, place], spine) for place in beside])
    return found


def _extent(side: Matrix) -> int:
    """Return how many columns from the spine outwards (rows, columns) the patient reaches."""
    covered = np.flatnonzero(np.median(side, axis=0) > BESIDE) if side.size else np.zeros(0)
    return int(covered[-1]) + 1 if covered.size else 0


def _share_open(lines: Sequence[bool | None]) -> float:
    known = [one for one in lines if one is not None]
    return sum(known) / len(known) if len(known) > 0.2 * len(lines) else 0.0


def _is_open(line: Matrix, spine: float, extent: int | None = None) -> bool | None:
    """Tell whether a line from the spine outwards ends in lung; None where it meets no lung in the patient's `extent`.

    It does not where it meets a wall: something much brighter than the lung, or a little brighter with air beyond it.
    """
    near = line[: max(4, int(0.6 * (extent or line.size)))]
    darkest = int(near.argmin())
    contrast = spine - float(near[darkest])
    if contrast < LEAST_CONTRAST:
        return None
    beyond = line[darkest:]
    wall = int(beyond.argmax())
    rise, fall = float(beyond[wall] - beyond[0]), float(beyond[0] - beyond[wall:].min())
    is_thin_wall = rise >= THIN_RISE * contrast and fall >= AIR * contrast
    return rise < RISE * contrast and not is_thin_wall
