"""What the values can still tell: grey levels (A10), traces of lossy compression (A11), resampling (A12)."""

from __future__ import annotations

import numpy as np

from audit_pipeline.checks.declare import Result, check, not_evaluable
from audit_pipeline.checks.source_slices import sampled
from audit_pipeline.checks.wording import sentence
from audit_pipeline.evidence import Evidence
from audit_pipeline.findings import Outcome
from audit_pipeline.geometry import plane_name
from audit_pipeline.records import Image, Mask, Matrix
from audit_pipeline.wording import shown

BLOCK = 8
"""Pixels per edge of the blocks that JPEG and MPEG transform."""

LEAST_BLOCKS = 16


@check(
    "A10",
    title="Few grey levels",
    family="A",
    sentence="The image holds far fewer grey levels than its bits can: it was reduced, for display, on its way.",
    severity=(3, 3, 4),
    provenance="dom",
    reference="DICOM PS3.3 C.7.6.3, Bits Stored",
    advice="Ask for the original values instead of a converted or windowed copy.",
    direction="below",
)
def few_levels(evidence: Evidence, *, limit: float = 64.0, deep_bits: int = 10) -> Result:
    """Count the different values of the middle 98 % of the image.

    Flagged below `limit` levels in an image of at least `deep_bits` bits: by BitsStored, or where the header does not
    tell, because its values span as much. An image of fewer bits cannot lose levels that it never had.
    """
    image = evidence.image
    if image.is_colour:
        return not_evaluable("A colour image has 256 levels per channel by design.")
    values, valid = sampled(image)
    known = values[valid]
    if not known.size or np.ptp(known) == 0:
        return not_evaluable("The image is constant, see A15.")
    stated = image.metadata.get("BitsStored")
    bits = float(stated) if isinstance(stated, int | float) else float(np.log2(1 + np.ptp(known)))
    if bits < deep_bits:
        return not_evaluable(f"The image has {bits:.0f} bits, and levels are counted from {deep_bits} bits on.")
    low, high = np.percentile(known, (1, 99))
    levels = float(np.unique(known[(known >= low) & (known <= high)]).size)
    text = f"The middle 98 % of the image holds {levels:.0f} grey levels (limit {shown(limit)}) of {bits:.0f} bits."
    return Result(Outcome.FLAG if levels < limit else Outcome.PASS, text, levels, limit, "grey levels")


@check(
    "A11",
    title="Traces of lossy compression",
    family="A",
    sentence="Edges of eight by eight blocks show in the pixels: fine texture is that of the codec, not the patient.",
    severity=(3, 3, 4),
    provenance="dom",
    reference="DICOM PS3.3 C.7.6.1.1.5; Z. Wang et al., 2002, doi:10.1109/ICIP.2002.1038064 (blockiness)",
    advice="Ask for the original; do not trust evidence at the scale of single pixels.",
    direction="above",
    version=2,
)
def compression_blocks(evidence: Evidence, *, limit: float = 1.20) -> Result:
    """Compare the steps between pixels at block edges with those inside blocks, wherever the blocks begin.

    Value: the root mean square second difference across the strongest of the eight phases of columns, over the median
    of the phases, and the same of rows; their geometric mean. 1 without blocks. The header's own word on compression
    is a finding of the loader (A35); wavelet codecs leave no blocks and are known by the header alone.
    """
    values, valid = sampled(evidence.image)
    planes = values if values.ndim == 3 else values[None]
    masks = valid if valid.ndim == 3 else valid[None]
    if min(planes.shape[1:]) < LEAST_BLOCKS * BLOCK:
        return not_evaluable(f"Blocks are looked for in slices of at least {LEAST_BLOCKS * BLOCK} pixels.")
    across, down = _phases(planes, masks), _phases(planes.swapaxes(1, 2), masks.swapaxes(1, 2))
    if min(np.median(across), np.median(down)) <= 0:
        return not_evaluable("The image is constant, see A15.")
    value = float(np.sqrt(across.max() / np.median(across) * down.max() / np.median(down)))
    header = str(evidence.image.metadata.get("LossyImageCompression") or "")
    stated = " and the header declares none" if header == "00" else ""
    text = f"Steps at block edges are {shown(value)} times those inside blocks (limit {shown(limit)}){stated}."
    return Result(Outcome.FLAG if value > limit else Outcome.PASS, text, value, limit, "times the usual step")


def _phases(planes: Matrix, masks: Mask) -> Matrix:
    """Return the typical second difference across each of the eight possible block edges between columns, (8,).

    The difference is between the step at the edge and the mean of the steps before and behind it, so that slopes do
    not count; its size is limited at three times the median, so that bones do not count more than the rest. Where
    nothing changes, as in a frame, there is nothing to compare.
    """
    step = np.diff(planes, axis=2)
    jump = np.abs(step[:, :, 1:-1] - (step[:, :, :-2] + step[:, :, 2:]) / 2)
    known = masks[:, :, :-3] & masks[:, :, 1:-2] & masks[:, :, 2:-1] & masks[:, :, 3:]
    known &= (step[:, :, 1:-1] != 0) | (step[:, :, :-2] != 0) | (step[:, :, 2:] != 0)
    usual = float(np.median(jump[known])) if known.any() else 0.0
    jump = np.minimum(jump, 3 * usual) if usual > 0 else jump
    phases = [
        float(np.mean(jump[:, :, phase::BLOCK][known[:, :, phase::BLOCK]])) if known[:, :, phase::BLOCK].any() else 0.0
        for phase in range(BLOCK)
    ]
    return np.asarray(phases)


@check(
    "A12",
    title="Resampled beyond the source",
    family="A",
    sentence="The model input is much finer than the source, so its detail is interpolated, or too coarse to show it.",
    severity=(3, 4, 4),
    provenance="dom",
    reference="Nyquist-Shannon sampling theorem: two samples for the smallest detail",
    advice="State the limit of resolution with the result, or ask for a thinner reconstruction.",
)
def resampled_beyond(
    evidence: Evidence, *, in_plane: float = 2.0, through_plane: float = 3.0, reduction: float = 2.0
) -> Result:
    """Compare the spacing of the source with that of the model input, axis by axis.

    Value: source spacing / input spacing of the worst axis. Flagged above `in_plane` (`through_plane` along the
    slices): detail is invented there. A reduction by more than `reduction` is a note, since most models see large
    radiographs reduced; it is flagged where the model card states a target that becomes smaller than two voxels.
    """
    scale = np.linalg.norm(evidence.prepared.to_source[:-1, :-1], axis=0)
    source_axis = np.abs(evidence.prepared.to_source[:-1, :-1]).argmax(axis=0)
    zoom = 1 / np.maximum(scale, 1e-9)
    is_through = (source_axis == 0) if len(zoom) == 3 else np.zeros(len(zoom), dtype=np.bool_)
    limits = np.where(is_through, through_plane, in_plane)
    worst = int((zoom / limits).argmax())
    value, limit = float(zoom[worst]), float(limits[worst])
    where = _axis_name(evidence.image, int(source_axis[worst]))
    if value > limit:
        text = f"The model input is {shown(value)} times finer than the source {where} (limit {shown(limit)})."
        return Result(Outcome.FLAG, text, value, limit, "source / input spacing")
    lost = _lost_target(evidence)
    largest = float(scale.max())
    text = f"The source spacing is {shown(value)} times that of the model input {where}, nearest to its limit of "
    text += f"{shown(limit)}; the input is at most {shown(largest)} times coarser (note above {shown(reduction)})"
    if lost:
        return Result(Outcome.FLAG, sentence(text, lost), value, limit, "source / input spacing")
    outcome = Outcome.NOTE if largest > reduction + 1e-6 else Outcome.PASS
    return Result(outcome, f"{text}.", value, limit, "source / input spacing")


def _lost_target(evidence: Evidence) -> str:
    target = evidence.intended.target_mm
    known = [spacing for spacing in evidence.prepared.spacing_mm if spacing is not None]
    if target is None or not known or 2 * max(known) <= target:
        return ""
    return f"voxels of {shown(max(known))} mm cannot show a target of {shown(target)} mm"


def _axis_name(image: Image, axis: int) -> str:
    if len(image.shape) == 2:
        return ("down its columns", "along its rows")[axis]
    if image.affine is None:
        return "across its slices" if axis == 0 else "in its slices"
    return f"across its {plane_name(image.affine[:3, axis])} planes"
