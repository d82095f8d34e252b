"""Planted faults of the explanation, part one: networks that look at the wrong thing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from audit_pipeline.bench.case import Case
from audit_pipeline.bench.plants import plant
from audit_pipeline.demo.lettering import write_marker
from audit_pipeline.evidence import Evidence
from audit_pipeline.records import Image, Mask, Matrix, sealed

Amounts = tuple[float, float, float, float, float]


def amount(severity: int, amounts: Amounts) -> float:
    """Return the amount of a severity."""
    return amounts[severity - 1]


def painted(image: Image, region: Mask, share: float = 1.0) -> Image:
    """Return the image with a region brightened to `share` of its highest value."""
    values = np.array(image.values)
    low, high = (float(level) for level in np.percentile(values, (1, 99.5)))
    values[region] = np.maximum(values[region], low + share * (high - low))
    return replace(image, values=sealed(values))


def places_of(shape: Sequence[int]) -> Matrix:
    """Return the place of every voxel in shares of each axis, (n, *shape)."""
    axes = [(np.arange(size) + 0.5) / size for size in shape]
    return np.stack(np.meshgrid(*axes, indexing="ij"))


def lopsided(case: Case, random: np.random.Generator) -> Case:
    """Return the case with a bright thing away from every plane of symmetry."""
    places = places_of(case.image.shape)
    centre = [0.28 + 0.05 * float(part) for part in random.uniform(-1, 1, size=len(places))]
    centre[-1] += 0.10
    apart = sum((place - middle) ** 2 for place, middle in zip(places, centre, strict=True))
    return replace(case, image=painted(case.image, np.asarray(apart < 0.15**2)))


@plant(
    "D01",
    sentence="The network reads a bright patch in the corner, far from the patient.",
    network="sees_corner",
    dimensions=(3,),
    accompanied=("D02", "D04", "A19", "C11"),
)
def patch_in_the_corner(case: Case, severity: int, random: np.random.Generator) -> Case:
    """Paint a patch whose edge grows from 4 % to 16 % of the image."""
    edge = amount(severity, (0.04, 0.07, 0.10, 0.13, 0.16)) * float(random.uniform(0.95, 1.05))
    region = np.asarray((places_of(case.image.shape) < edge + 0.02).all(axis=0))
    return replace(case, image=painted(case.image, region))


@plant(
    "D02",
    sentence="The network reads a bright frame along the edge of the image.",
    network="sees_border",
    accompanied=("D01", "C11"),
)
def bright_frame(case: Case, severity: int, random: np.random.Generator) -> Case:
    """Paint a frame that grows from 2 % to 8 % of each axis."""
    width = amount(severity, (0.02, 0.035, 0.05, 0.065, 0.08)) * float(random.uniform(0.95, 1.05))
    places = places_of(case.image.shape)
    frame = np.asarray(((places < width) | (places > 1 - width)).any(axis=0))
    return replace(case, image=painted(case.image, frame))


@plant(
    "D03",
    sentence="The network reads how much of the input is padding.",
    network="sees_darkness",
    accompanied=("D01", "D02", "A14", "C11"),
)
def wide_padding(case: Case, severity: int, random: np.random.Generator) -> Case:
    """Mark a band of columns at both sides as invalid, from 4 % to 36 % of the image in all."""
    width = 0.5 * amount(severity, (0.04, 0.10, 0.24, 0.30, 0.36)) * float(random.uniform(0.95, 1.05))
    columns = places_of(case.image.shape)[-1]
    invalid = (columns < width) | (columns > 1 - width)
    return replace(case, image=replace(case.image, invalid=sealed(invalid)))


@plant(
    "D04",
    sentence="The network reads a marker in the corner.",
    network="sees_marker",
    dimensions=(2,),
    accompanied=("D01", "D02", "A19"),
)
def marker_is_read(case: Case, severity: int, random: np.random.Generator) -> Case:  # noqa: ARG001 - nothing drawn
    """Write two letters whose dots grow from 1 to 3 pixels into a dark corner, as collimation leaves it."""
    scale = int(amount(severity, (1, 1, 2, 2, 3)))
    values = np.array(case.image.values)
    values[(places_of(case.image.shape) < 0.3).all(axis=0)] = float(np.percentile(values, 1))
    return replace(case, image=replace(case.image, values=write_marker(sealed(values), "AP", scale)))


@plant("D05", sentence="Everything speaks against the class, so nothing positive is left.", network="speaks_against",
       has_severity=False, accompanied=("D06",))  # fmt: skip
def nothing_positive(case: Case, severity: int, random: np.random.Generator) -> Case:  # noqa: ARG001 - no degrees
    """Leave the image as it is: the network is the fault."""
    return case


@plant("D06", sentence="Nearly everything speaks against the class.", network="mostly_against", has_severity=False,
       accompanied=("D01", "D02", "D17"))  # fmt: skip
def mostly_negative(case: Case, severity: int, random: np.random.Generator) -> Case:  # noqa: ARG001 - no degrees
    """Leave the image as it is: the network is the fault."""
    return case


@plant("D11", sentence="One slice is corrupt, and the network reads it.", dimensions=(3,), network="sees_brightest",
       accompanied=("D01", "D02", "C11"))  # fmt: skip
def bright_slice(case: Case, severity: int, random: np.random.Generator) -> Case:
    """Brighten a slab of an eighth of the slices, from half to all of the range."""
    share = amount(severity, (0.5, 0.8, 0.95, 0.97, 1.0))
    start = int(random.integers(3, 5)) / 8
    slices = places_of(case.image.shape)[0]
    return replace(case, image=painted(case.image, (slices > start) & (slices < start + 0.125), share))


@plant("D17", sentence="Both classes weigh the image alike.", network="same_for_all", has_severity=False,
       accompanied=("D01", "D02", "D09"))  # fmt: skip
def same_map_for_both(case: Case, severity: int, random: np.random.Generator) -> Case:  # noqa: ARG001 - no degrees
    """Leave the image as it is: the network is the fault."""
    return case


@plant("D18", sentence="The last stage lies half a frame from the one before.", network="moves_its_cells",
       level="deep", has_severity=False, accompanied=("D01", "D02", "D21", "D30"))  # fmt: skip
def stages_apart(case: Case, severity: int, random: np.random.Generator) -> Case:  # noqa: ARG001 - no degrees
    """Paint a bright thing off the middle, so that its two places differ."""
    return lopsided(case, random)


@plant("D20", sentence="The method shows the image and not what was learnt.", network="brightness", level="deep",
       has_severity=False, accompanied=("D01", "D02", "D09", "D15", "D21", "D30"))  # fmt: skip
def shows_the_image(case: Case, severity: int, random: np.random.Generator) -> Case:  # noqa: ARG001 - no degrees
    """Explain with the first component of the activations, which the head of this network does not touch."""
    return replace(case, methods=("eigencam",))


@plant("D22", sentence="The network reads noise, which another voxel changes entirely.",
       network="sees_grain", has_severity=False, accompanied=("D01", "D02", "D10", "D14", "D19", "D21"))  # fmt: skip
def noise_is_read(case: Case, severity: int, random: np.random.Generator) -> Case:  # noqa: ARG001 - no degrees
    """Leave the image as it is: the network is the fault."""
    return case


@plant("D23", sentence="The marked finding lies where the network does not look.", network="sees_corner",
       has_severity=False, accompanied=("D01", "D02", "C11"))  # fmt: skip
def marked_elsewhere(case: Case, severity: int, random: np.random.Generator) -> Case:
    """Paint a patch in the corner and mark a ball in the middle."""
    patched = patch_in_the_corner(case, 3, random)

    def spoil(evidence: Evidence) -> Evidence:
        places = places_of(evidence.prepared.inside.shape)
        centre = random.uniform(0.55, 0.75, size=len(places))
        apart = sum((place - middle) ** 2 for place, middle in zip(places, centre, strict=True))
        radius = amount(severity, (0.15, 0.12, 0.10, 0.08, 0.08))
        return replace(evidence, reference_mask=sealed(np.asarray(apart < radius**2)))

    return replace(patched, spoil=spoil)
