"""Where the slices of a stack lie: orientation, order, step, gaps and tilt from positions alone.

InstanceNumber, SliceThickness and SpacingBetweenSlices are never used: they are free to contradict the positions.
References: DICOM PS3.3, C.7.6.2.1.1 (Image Position and Image Orientation), 10.7.1.1 (Pixel Spacing).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeGuard

import numpy as np
from numpy.typing import ArrayLike, NDArray

from audit_pipeline.errors import (
    LoadError,
    MissingSlicesError,
    NoGeometryError,
    OrientationError,
    VariableSpacingError,
)
from audit_pipeline.records import Matrix, StackFacts

ORIENTATION_TOLERANCE = 1e-3
"""Largest deviation of the direction cosines from unit length and from a right angle that is corrected."""
ORIENTATION_NOTED = 1e-5
LEAST_SPACING_MM, MOST_SPACING_MM = 1e-5, 1e4
MOST_POSITION_MM = 1e7
"""Outside of these no pixel of a patient lies, and affines lose their digits."""
SAME_POSITION_MM = 0.01
RESIDUAL_FLOOR_MM = 0.01
RESIDUAL_NOTED, RESIDUAL_LIMIT = 0.02, 0.10
"""Largest distance of a slice from the fitted line, in steps, that needs no word, and that is still an even stack."""
WHOLE_GAP_TOLERANCE = 0.10
"""A gap counts as a whole multiple of the median gap within this share of it."""
STEEPEST_TILT_DEGREES = 45.0
MOST_FILLED_SHARE = 0.5
"""A stack with more invented than measured slices is refused even where gaps are to be filled."""
MOST_RESAMPLED = 10
"""Slices that one measured slice may become when a stack is resampled; closer pairs of slices are an error."""
SAME_PLACE = 1e-3
"""A resampled slice this near to a measured one, in steps, is that one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Frame:
    """The plane of a slice in the patient.

    down, right : unit vectors along which the row index and the column index grow, LPS+
    normal : right x down (PS3.3, C.7.6.2.1.1), the direction in which slices are ordered
    deviation : how far the cosines in the header were from unit length and a right angle
    """

    down: NDArray[np.float64]
    right: NDArray[np.float64]
    normal: NDArray[np.float64]
    deviation: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Stack:
    """The order and place of the slices.

    order : index of the header for each given slice, bottom to top along the normal
    places : index along axis 0 of the volume for each slice in `order`; a fraction only when `is_resampled`
    depth : slices of the volume
    affine : (4, 4), (slice, row, column, 1) -> mm LPS+
    """

    order: tuple[int, ...]
    places: tuple[float, ...]
    depth: int
    affine: Matrix
    facts: StackFacts
    is_resampled: bool = False

    @property
    def invented_share(self) -> float:
        """Share of the slices of the volume at whose place nothing was measured, 0 to 1."""
        measured = {round(place) for place in self.places if abs(place - round(place)) <= SAME_PLACE}
        return 1.0 - len(measured) / self.depth

    @property
    def noted_residual_mm(self) -> float:
        """Distance from the fitted line from which on a slice is worth a finding."""
        return max(RESIDUAL_FLOOR_MM, RESIDUAL_NOTED * self.facts.step_mm)


def frame_of(orientations: ArrayLike) -> Frame:
    """Return the plane that the direction cosines of all slices of a stack agree on.

    Parameters
    ----------
    orientations : (N, 6), ImageOrientationPatient: the direction of growing column index, then of growing row index

    Raises
    ------
    OrientationError
        The cosines deviate by more than 1e-3 from two perpendicular unit vectors.
    """
    cosines = np.asarray(orientations, dtype=np.float64).reshape(-1, 2, 3)
    lengths = np.linalg.norm(cosines, axis=2)
    angle = np.einsum("ni,ni->n", cosines[:, 0], cosines[:, 1])
    deviation = float(max(np.abs(lengths - 1).max(), np.abs(angle).max()))
    if not deviation <= ORIENTATION_TOLERANCE:
        raise OrientationError(
            f"the direction cosines must be two perpendicular unit vectors within {ORIENTATION_TOLERANCE:g}, "
            f"found a deviation of {deviation:.3g}; export the series again"
        )
    # the closest pair of orthonormal vectors to the mean pair: the orthogonal factor of its polar decomposition
    left, _, right = np.linalg.svd(cosines.mean(axis=0), full_matrices=False)
    across, down = left @ right
    return Frame(down=down, right=across, normal=np.cross(across, down), deviation=deviation)


def is_spacing(pixel_spacing: Sequence[float] | None) -> TypeGuard[Sequence[float]]:
    """Whether both distances between pixels are there and a size that pixels can have."""
    # not turned around: NaN must fail
    return pixel_spacing is not None and all(LEAST_SPACING_MM <= one <= MOST_SPACING_MM for one in pixel_spacing)


def refuse_remote(positions: ArrayLike) -> None:
    """Refuse slices that lie nowhere near a patient.

    Raises
    ------
    NoGeometryError
        A coordinate is beyond 1e7 mm, or no number.
    """
    if not bool((np.abs(np.asarray(positions, dtype=np.float64)) <= MOST_POSITION_MM).all()):
        raise NoGeometryError(
            f"ImagePositionPatient lies more than {MOST_POSITION_MM:g} mm away, which no patient is; export the series "
            "again"
        )


def pixel_steps(frame: Frame, pixel_spacing: Sequence[float] | None) -> Matrix:
    """Return the (3, 2) steps in mm along the row index and along the column index.

    Raises
    ------
    NoGeometryError
        PixelSpacing is absent or no size of a pixel.
    """
    if not is_spacing(pixel_spacing):
        raise NoGeometryError(
            f"every slice needs a PixelSpacing of two numbers above zero, {LEAST_SPACING_MM:g} to {MOST_SPACING_MM:g} "
            "mm; without it no position is known, export the series again"
        )
    between_rows, between_columns = pixel_spacing
    return np.stack([frame.down * between_rows, frame.right * between_columns], axis=1)


def slice_affine(frame: Frame, position: Sequence[float], pixel_spacing: Sequence[float] | None) -> Matrix:
    """Return the (4, 4) affine of one slice: (row, column, along the unit normal, 1) -> mm LPS+."""
    refuse_remote(position)
    affine = np.eye(4)
    affine[:3, :2] = pixel_steps(frame, pixel_spacing)
    affine[:3, 2] = frame.normal
    affine[:3, 3] = position
    return affine


def stack_of(
    positions: ArrayLike,
    frame: Frame,
    pixel_spacing: Sequence[float] | None,
    *,
    gaps: Literal["refuse", "fill"] = "refuse",
    uneven: Literal["refuse", "resample"] = "refuse",
) -> Stack:
    """Return order, affine and measures of two or more slices at different positions.

    The step is that of the least-squares line through the positions, which header rounding does not bias; the largest
    distance of a slice from that line decides whether the stack is even.

    Parameters
    ----------
    positions : (N, 3) mm, ImagePositionPatient

    Raises
    ------
    MissingSlicesError
        Gaps are whole multiples of the median gap (and `gaps` is "refuse", or most slices would be invented).
    VariableSpacingError
        The positions lie on no even grid (and `uneven` is "refuse", or on no straight line).
    OrientationError
        The slices step sideways.
    """
    given = np.asarray(positions, dtype=np.float64)
    refuse_remote(given)
    height = given @ frame.normal
    order = np.argsort(height, kind="stable")
    placed = given[order]
    found = np.diff(height[order])
    places = np.arange(len(placed), dtype=np.float64)
    origin, step, residual = _line(places, placed)
    facts = _facts(found, step, residual, frame)
    is_resampled = False
    if residual > _residual_limit(step):
        slots = _slots_with_gaps(found, gaps)
        is_resampled = slots is None and uneven == "resample"
        places = _resampled(found) if slots is None else slots.astype(np.float64)
        origin, step, residual = _line(places, placed)
        if residual > _residual_limit(step) or (slots is None and not is_resampled):
            raise _variable(found)
    if facts.tilt_degrees > STEEPEST_TILT_DEGREES:
        raise OrientationError(
            f"the slices step sideways, {facts.tilt_degrees:.0f} degrees off their normal; at most "
            f"{STEEPEST_TILT_DEGREES:.0f} are read as a tilted stack"
        )
    affine = np.eye(4)
    affine[:3, 0] = step
    affine[:3, 1:3] = pixel_steps(frame, pixel_spacing)
    affine[:3, 3] = origin
    return Stack(
        order=tuple(int(one) for one in order),
        places=tuple(float(one) for one in places),
        depth=round(places[-1]) + 1,
        affine=affine,
        facts=facts,
        is_resampled=is_resampled,
    )


def _resampled(gaps_mm: Matrix) -> Matrix:
    """Return the place of each slice on an even grid from the first to the last, as fine as the smallest gap."""
    height = np.concatenate([[0.0], np.cumsum(gaps_mm)])
    steps = math.ceil(height[-1] / gaps_mm.min() - SAME_PLACE)
    if steps > MOST_RESAMPLED * len(gaps_mm):
        raise _variable(gaps_mm)
    return np.asarray(height / height[-1] * steps)


def _line(places: Matrix, placed: Matrix) -> tuple[Matrix, Matrix, float]:
    """Return origin and step of the least-squares line through positions at `places`, and the largest distance."""
    centred = places - places.mean()
    step = centred @ placed / (centred @ centred)
    origin = placed.mean(axis=0) - step * places.mean()
    distances = np.linalg.norm(placed - origin - places[:, None] * step, axis=1)
    return origin, step, float(distances.max())


def _residual_limit(step: Matrix) -> float:
    return max(RESIDUAL_FLOOR_MM, RESIDUAL_LIMIT * float(np.linalg.norm(step)))


def _facts(gaps_mm: Matrix, step: Matrix, residual_mm: float, frame: Frame) -> StackFacts:
    median = float(np.median(gaps_mm))
    length = float(np.linalg.norm(step))
    cosine = min(1.0, abs(float(step @ frame.normal)) / length)
    return StackFacts(
        slices=len(gaps_mm) + 1,
        step_mm=length,
        residual_mm=residual_mm,
        largest_gap_ratio=float(gaps_mm.max()) / median,
        smallest_gap_ratio=float(gaps_mm.min()) / median,
        tilt_degrees=math.degrees(math.acos(cosine)),
    )


def _slots_with_gaps(gaps_mm: Matrix, policy: Literal["refuse", "fill"]) -> NDArray[np.int_] | None:
    """Return the slot of each slice when the gaps are whole multiples of the median gap, None when they are not."""
    multiples = gaps_mm / np.median(gaps_mm)
    steps = np.rint(multiples).astype(int)
    if steps.min() < 1 or steps.max() < 2 or np.abs(multiples - steps).max() > WHOLE_GAP_TOLERANCE:
        return None
    slots = np.concatenate([[0], np.cumsum(steps)])
    missing = int(slots[-1]) + 1 - len(slots)
    if policy == "refuse" or missing > MOST_FILLED_SHARE * (slots[-1] + 1):
        raise _missing(gaps_mm, steps, missing)
    return slots


def _missing(gaps_mm: Matrix, steps: NDArray[np.int_], missing: int) -> LoadError:
    places = [f"after slice {number + 1}" for number in np.flatnonzero(steps > 1)]
    shown = ", ".join(places[:5]) + (f" and {len(places) - 5} more places" if len(places) > 5 else "")
    return MissingSlicesError(
        f"{missing} {'slice is' if missing == 1 else 'slices are'} missing {shown} of {len(gaps_mm) + 1}: gaps of up "
        f"to {gaps_mm.max():.4g} mm in a step of {np.median(gaps_mm):.4g} mm; find the missing files, or set "
        "input.gaps to fill"
    )


def _variable(gaps_mm: Matrix) -> LoadError:
    return VariableSpacingError(
        f"the slices lie on no even grid: gaps from {gaps_mm.min():.4g} to {gaps_mm.max():.4g} mm; "
        "find out why, or set input.uneven to resample"
    )
