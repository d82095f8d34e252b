"""What the scanner added (A18): metal and its streaks in CT, ghosts and signal in the background of MR."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import binary_closing, binary_dilation, binary_fill_holes

from audit_pipeline.checks.declare import Result, check
from audit_pipeline.checks.grids import on_source
from audit_pipeline.checks.masks import otsu
from audit_pipeline.checks.source_slices import grey_of, sampled
from audit_pipeline.evidence import Evidence, Unanswered
from audit_pipeline.findings import Outcome
from audit_pipeline.records import Floats, Mask, Matrix
from audit_pipeline.wording import percent

METAL_HU = 3000.0
"""Bone stays below; most scanners store metal at 3071, the end of twelve bits."""

GHOST_LIMIT = 0.06
"""Ghost over signal. The ACR accepts 2.5 to 3 % in a still phantom; patients that breathe reach 4 % in good images."""

LEAST_AIR = 200
MOST_SLICES = 48
DIM, BRIGHT = 0.5, 1.0
"""Shares of Otsu's threshold above which a place is the patient; the second where ghosts are above the first."""
CLOSED = 4


@check(
    "A18",
    title="Metal or ghosts",
    family="A",
    sentence="Metal and its streaks, or ghosts of the patient, lie over the anatomy.",
    severity=(3, 3, 3),
    provenance="dom",
    reference="ACR MRI quality control manual (percent signal ghosting); Mortamet 2009, doi:10.1002/mrm.21992 (QI1)",
    advice="See whether the artefact reaches the region that matters, and give the result with that limit.",
    direction="above",
    version=2,
)
def scanner_artefact(evidence: Evidence, *, metal_limit: float = 0.0005, ghost_limit: float = GHOST_LIMIT) -> Result:
    """Measure metal in CT and ghosts in MR; other modalities are not evaluable.

    Value in CT: share of the body above `METAL_HU`, letters left out. Value in MR: the slope of the air's signal
    over the signal half a field away, in the worse of the two directions in the plane: a ghost at half the field
    repeats the body there, shape and all. Ghosts elsewhere raise the noise of the background only.
    """
    image = evidence.image
    if image.modality == "CT" and evidence.body is not None:
        tissue = evidence.body if evidence.text is None else evidence.body & ~evidence.text
        body = on_source(tissue, evidence.prepared, image.shape)
        return _metal(grey_of(image)[body], metal_limit)
    if image.modality == "MR" and not image.is_colour:
        return _ghost(evidence, ghost_limit)
    stated = "" if image.modality else "The modality is not stated. "
    raise Unanswered(f"{stated}Metal is measured in the body of a CT, and ghosts in MR.")


def _metal(values: Floats, limit: float) -> Result:
    value = float((values > METAL_HU).mean()) if values.size else 0.0
    text = f"{percent(value)} of the body is metal (above {METAL_HU:.0f} HU; limit {percent(limit)})."
    return Result(Outcome.FLAG if value > limit else Outcome.PASS, text, value, limit, "share of the body")


def _ghost(evidence: Evidence, limit: float) -> Result:
    planes, seen = sampled(evidence.image, MOST_SLICES)
    planes, seen = (planes, seen) if planes.ndim == 3 else (planes[None], seen[None])
    ratios = _ratios(planes, seen, DIM) or _ratios(planes, seen, BRIGHT)
    if not ratios:
        raise Unanswered("There is too little air around the body to see ghosts in.")
    value = max(ratios)
    text = f"The air half a field from the body repeats it by {percent(value)} of its signal (limit {percent(limit)})."
    return Result(Outcome.FLAG if value > limit else Outcome.PASS, text, value, limit, "share of the signal")


def _ratios(planes: Matrix, seen: Mask, share: float) -> list[float]:
    """Return the slope of the air over the signal half a field away, for each direction with enough air."""
    signal = _signal(planes, seen, share)
    air = seen & ~binary_dilation(signal, np.ones((1, 5, 5), dtype=np.bool_), iterations=2)
    ratios = []
    for axis in (1, 2):
        source = np.roll(np.where(signal, planes, 0.0), planes.shape[axis] // 2, axis=axis)[air]
        if min(int((source > 0).sum()), int((source == 0).sum())) >= LEAST_AIR:
            centred = source - source.mean()
            ratios.append(float(centred @ planes[air] / (centred @ centred)))
    return ratios


def _signal(planes: Matrix, seen: Mask, share: float) -> Mask:
    """Return what is brighter than a share of Otsu's threshold, gaps closed and holes filled; ghosts are darker."""
    if not seen.any() or np.ptp(planes[seen]) == 0:
        raise Unanswered("The image is constant, see A15.")
    low, high = (float(level) for level in np.percentile(planes[seen], (0.5, 99.5)))
    if not high > low:
        raise Unanswered("Almost every value is the same, see A15.")
    scaled = np.clip((planes - low) / (high - low), 0, 1)
    bright = np.pad(seen & (scaled > share * otsu(scaled[seen])), [(0, 0), (CLOSED, CLOSED), (CLOSED, CLOSED)])
    across = np.ones((1, 3, 3), dtype=np.bool_)
    closed = binary_closing(bright, across, iterations=CLOSED)[:, CLOSED:-CLOSED, CLOSED:-CLOSED]
    return np.stack([binary_fill_holes(plane) for plane in closed])
