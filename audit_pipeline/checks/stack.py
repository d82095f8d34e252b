"""Whether the slices of a volume belong together: two phases mixed (A02), a slice from elsewhere (A03).

The loader refuses or separates stacks whose header tells: equal positions, several acquisitions, orientations or pixel
spacings. Here the pixels are asked, which also tells in NIfTI files and in stacks whose header was rewritten.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from audit_pipeline.checks.declare import Result, check
from audit_pipeline.checks.source_slices import grey_of
from audit_pipeline.evidence import Evidence, Unanswered
from audit_pipeline.findings import Outcome
from audit_pipeline.records import Image, Matrix
from audit_pipeline.wording import counted, listed, shown

COARSE = 64
"""Slices are compared as block means of about this many per axis, so that noise does not count."""

LEAST_SLICES = 8
NEAR_ALTERNATION = (0.30, 0.45)
"""Frequencies in cycles per slice that the alternation from slice to slice (one half) is compared with."""


@check(
    "A02",
    title="Two phases mixed",
    family="A",
    sentence="Slices of two acquisitions alternate in one stack, or slices repeat, so that neighbours do not belong.",
    severity=(4, 3, 4),
    provenance="dom",
    reference="DICOM PS3.3 C.7.6.2.1.1; the loader separates phases that the header tells",
    advice="Split the series by acquisition, echo or phase and load one of them.",
    direction="above",
    version=2,
)
def mixed_phases(evidence: Evidence, *, limit: float = 1.5) -> Result:
    """Look for slices that repeat and for an alternation from slice to slice.

    Value: power of the alternating part along the slices, over the largest at 0.30 to 0.45 cycles per slice. Anatomy
    has less power at higher frequencies and noise the same, so that a clean stack stays below 1; two phases that take
    turns raise it. Slices that equal an earlier one exactly are flagged whatever that is; their number is the value
    then, and no reference makes them usual, as two exposures never give the same noise.
    """
    slices = _coarse(evidence.image)
    same = _repeated(evidence.image)
    frequencies = np.append(np.linspace(*NEAR_ALTERNATION, 2 + len(slices) // 6), 0.5)
    places = np.arange(len(slices))
    waves = np.exp(2j * np.pi * frequencies[:, None] * places) * np.hanning(len(slices) + 2)[1:-1]
    power = np.square(np.abs(waves @ slices)).sum(axis=1)
    usual = float(power[:-1].max())
    value = float(power[-1]) / usual if usual > 0 else 0.0
    if same:
        text = f"{counted(len(same), 'slice')} equal an earlier one exactly: {listed(same)}."
        return Result(Outcome.FLAG, text, len(same), 0, "slices", same, is_rule=True)
    text = f"Slices alternate with {shown(value)} times the power of slower changes (limit {shown(limit)})."
    return Result(Outcome.FLAG if value > limit else Outcome.PASS, text, value, limit, "times the usual power")


@check(
    "A03",
    title="A slice from elsewhere",
    family="A",
    sentence="A slice does not resemble its neighbours: a localiser, another patient or a spoilt slice in the stack.",
    severity=(4, 2, 3),
    provenance="dom",
    reference="DICOM PS3.3 C.7.6.2; the loader separates orientations and pixel spacings that the header tells",
    advice="Look at the named slices, and load the series without them.",
    direction="above",
)
def foreign_slice(evidence: Evidence, *, limit: float = 0.15) -> Result:
    """Compare every slice with its neighbours.

    Value: the largest of (correlation of a slice's two neighbours with each other) - (its own best correlation with
    one of them); at the ends the neighbours are the next two slices. Two odd slices side by side are judged by those
    around both. 0 or less when slices change gradually.
    """
    slices = _coarse(evidence.image)
    measured = _measured(evidence.image)
    slices = slices[measured]
    if len(slices) < LEAST_SLICES:
        raise Unanswered(f"Slices are compared where at least {LEAST_SLICES} of them were measured.")
    standard = slices - slices.mean(axis=1, keepdims=True)
    norms = np.linalg.norm(standard, axis=1, keepdims=True)
    standard = np.divide(standard, norms, out=np.zeros_like(standard), where=norms > 0)
    near = (standard[1:] * standard[:-1]).sum(axis=1)
    next_but_one = (standard[2:] * standard[:-2]).sum(axis=1)
    lack = np.empty(len(slices))
    lack[1:-1] = next_but_one - np.maximum(near[:-1], near[1:])
    lack[0] = near[1] - max(near[0], float(next_but_one[0]))
    lack[-1] = near[-2] - max(near[-1], float(next_but_one[-1]))
    pairs = (standard[3:] * standard[:-3]).sum(axis=1) - np.maximum(near[:-2], near[2:])
    lack[1:-2] = np.maximum(lack[1:-2], pairs)
    lack[2:-1] = np.maximum(lack[2:-1], pairs)
    value = float(lack.max())
    odd = tuple(int(measured[index]) for index in np.flatnonzero(lack > limit))
    text = f"The least fitting slice correlates less with its neighbours than they with each other, by {shown(value)} "
    text += f"(limit {shown(limit)})" + (f": {listed(odd)}." if odd else ".")
    return Result(Outcome.FLAG if odd else Outcome.PASS, text, value, limit, "difference of correlations", odd)


def _coarse(image: Image) -> Matrix:
    """Return the slices as rows of block means, (D, cells).

    Raises
    ------
    Unanswered
        A single image, too few slices, or values that are not finite.
    """
    grey = grey_of(image)
    if grey.ndim != 3 or grey.shape[0] < LEAST_SLICES:
        raise Unanswered(f"Slices are compared in volumes of at least {LEAST_SLICES} of them.")
    steps = [max(1, size // COARSE) for size in grey.shape[1:]]
    sizes = [size // step for size, step in zip(grey.shape[1:], steps, strict=True)]
    kept = grey[:, : sizes[0] * steps[0], : sizes[1] * steps[1]]
    blocks = kept.reshape(grey.shape[0], sizes[0], steps[0], sizes[1], steps[1]).mean(axis=(2, 4), dtype=np.float64)
    if not np.isfinite(blocks).all():
        raise Unanswered("The image holds values that are not finite, see A15.")
    return np.asarray(blocks.reshape(grey.shape[0], -1))


def _measured(image: Image) -> NDArray[np.intp]:
    """Return the slices that hold more than one value and are not invalid throughout."""
    grey = grey_of(image)
    is_varied = np.asarray([np.ptp(plane) > 0 for plane in grey])
    if image.invalid is not None:
        is_varied &= ~image.invalid.all(axis=(1, 2))
    return np.flatnonzero(is_varied)


def _repeated(image: Image) -> tuple[int, ...]:
    """Return the slices that equal an earlier one and are not constant."""
    grey = grey_of(image)
    places: dict[float, list[int]] = {}
    found = []
    for index, plane in enumerate(grey):
        earlier = places.setdefault(float(plane.sum(dtype=np.float64)), [])
        if np.ptp(plane) > 0 and any(np.array_equal(plane, grey[other]) for other in earlier):
            found.append(index)
        else:
            earlier.append(index)
    return tuple(found)
