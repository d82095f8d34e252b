"""What selection rules may look at: facts of an image that are known before its pixels are decoded."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from audit_pipeline.geometry import plane_name
from audit_pipeline.load.dicom_metadata import FIRST_NUMBER_FIELDS, NUMBER_FIELDS, TEXT_FIELDS
from audit_pipeline.records import Matrix, Scalar

OBLIQUE_DEGREES = 15.0
"""A plane that is further off axial, coronal and sagittal is called oblique."""

STACK = "Stack"
"""The label of one of several images over the same positions can be asked for like a field."""

ALLOWED = frozenset(
    {*TEXT_FIELDS, *NUMBER_FIELDS, *FIRST_NUMBER_FIELDS, "ImagerPixelSpacing", "PatientAge", "TransferSyntaxUID", STACK}
)
"""Fields that every image carries with its metadata; PatientAge in whole years, TransferSyntaxUID by name."""

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?", re.ASCII)


class Candidate(Protocol):
    """An image, or the plan of one; the attributes mean what they mean in `records.Image`."""

    @property
    def modality(self) -> str:
        """DICOM Modality; empty when unknown."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Spatial axes only: (D, H, W) or (H, W)."""

    @property
    def spacing_mm(self) -> tuple[float | None, ...]:
        """One entry per axis; None where unknown."""

    @property
    def affine(self) -> Matrix | None:
        """(4, 4) array index to mm in LPS+; None when unknown."""

    @property
    def metadata(self) -> Mapping[str, Scalar]:
        """Allow-listed fields by keyword; None marks one that differs between the slices."""

    @property
    def selectors(self) -> Mapping[str, str]:
        """Fields outside the allow-list that rules asked for; their values are never shown."""


@dataclass(frozen=True, kw_only=True, slots=True)
class HeldField:
    """A header field that is present.

    words : its values as text, () when they differ between the slices; is_public : whether a message may quote them
    """

    words: tuple[str, ...]
    is_public: bool

    @property
    def whole(self) -> str:
        """All values joined by a backslash, as the file holds them (PS3.5, 6.4)."""
        return "\\".join(self.words)


def field_of(candidate: Candidate, keyword: str) -> HeldField | None:
    """Return a header field by keyword; None when it is absent or empty."""
    if keyword in candidate.selectors:
        text = candidate.selectors[keyword].strip()
        return HeldField(words=_words(text), is_public=False) if text else None
    if keyword not in candidate.metadata:
        return None
    value = candidate.metadata[keyword]
    if value is None:  # what the loader says when the slices do not agree
        return HeldField(words=(), is_public=True)
    text = value if isinstance(value, str) else f"{value:.12g}"
    return HeldField(words=_words(text), is_public=True) if text else None


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split("\\"))


def number_in(word: str) -> float | None:
    """Return the number that a decimal or integer string holds; None when it holds none.

    Examples
    --------
    >>> number_in("1.25e1"), number_in("12 mm"), number_in("nan")
    (12.5, None, None)
    """
    value = float(word) if _NUMBER.fullmatch(word.strip()) else math.inf
    return value if math.isfinite(value) else None


def slices_of(candidate: Candidate) -> int:
    """Return the number of slices: axis 0 of a volume, 1 for a single image."""
    return candidate.shape[0] if is_volume(candidate) else 1


def is_volume(candidate: Candidate) -> bool:
    """Whether there are three spatial axes."""
    return len(candidate.shape) == 3


def slice_spacing_mm(candidate: Candidate) -> float | None:
    """Return the distance between neighbouring slices; None when it is unknown or there is one slice."""
    return candidate.spacing_mm[0] if is_volume(candidate) else None


def pixel_spacing_mm(candidate: Candidate) -> tuple[float, float] | None:
    """Return the distance between neighbouring pixels along the last two axes; None when it is unknown."""
    first, second = candidate.spacing_mm[-2:]
    return None if first is None or second is None else (first, second)


def plane_of(candidate: Candidate) -> str | None:
    """Return the plane of the slices: axial, coronal, sagittal or oblique; None when the position is unknown.

    It is the plane of the last two axes, named when its normal is within 15 degrees of the normal of that plane.
    """
    if candidate.affine is None:
        return None
    axes = candidate.affine[:3, len(candidate.shape) - 2 : len(candidate.shape)]
    normal = np.cross(axes[:, 0], axes[:, 1])
    length = float(np.linalg.norm(normal))
    if not math.isfinite(length) or length == 0:
        return None
    cosine = float(np.abs(normal).max()) / length
    return plane_name(normal) if cosine >= math.cos(math.radians(OBLIQUE_DEGREES)) - 1e-9 else "oblique"


def described(candidate: Candidate) -> str:
    """Return modality and size of an image in a few words."""
    size = " x ".join(str(one) for one in candidate.shape)
    label = candidate.metadata.get(STACK)
    return f"{candidate.modality or 'no modality'} {size}" + (f", {label}" if label else "")
