"""The other images of a study that are of the same kind as the chosen one: another kernel, thickness or exposure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import product

import numpy as np

from audit_pipeline.load.account import Account
from audit_pipeline.load.candidate import Candidate, described, plane_of
from audit_pipeline.load.dicom_study import decode_plans, plan_dicom
from audit_pipeline.load.discover import StudySource
from audit_pipeline.load.guard import quiet
from audit_pipeline.load.settings import LoadSettings
from audit_pipeline.records import Disposition, FileDisposition, Image, Matrix, Scalar

LEAST_COVERED = 0.5
"""Share of the chosen volume that another one must cover to show the same."""

SAME = ("BodyPartExamined", "ViewPosition", "Laterality", "ImageLaterality", "ContrastBolusAgent")
"""Fields in which images of one kind agree where both have them."""

TOLD = ("ConvolutionKernel", "SliceThickness", "ImageType", "KVP", "ScanningSequence", "EchoTime", "Stack")
"""Fields that tell images of one kind apart, the most telling first."""

NO_PICTURE = ("LOCALIZER", "MIP", "SECONDARY", "SCREEN SAVE")
"""Words of ImageType whose images nobody would give to a model."""


def sibling_images(
    source: StudySource, files: Sequence[FileDisposition], image: Image, settings: LoadSettings
) -> Iterator[tuple[str, Image]]:
    """Yield the other images of a study that are of the kind of `image`, the largest first, each as it is asked for.

    Of one kind are images of the same modality, view and number of axes; volumes lie in the same plane and cover at
    least half of the chosen one. Only files that the choice of `image` left aside are read.

    Parameters
    ----------
    files : what became of the files of the study when `image` was delivered

    Yields
    ------
    difference, image : what tells it from `image`, in words without identity
    """
    aside = [one.path for one in files if one.disposition is Disposition.OTHER_SERIES]
    if source.kind == "nifti" or not aside:
        return
    account = Account(aside)
    with quiet():
        plans = [plan for plan in plan_dicom(aside, settings, account) if is_of_a_kind(plan, image)]
        for plan in sorted(plans, key=lambda plan: -math.prod(plan.shape)):
            for other in decode_plans([plan], settings, account):
                yield difference(other, image), other


def is_of_a_kind(one: Candidate, other: Candidate) -> bool:
    """Tell whether a model that takes the one image could as well have been given the other."""
    if one.modality != other.modality or len(one.shape) != len(other.shape):
        return False
    pairs = [(one.metadata.get(keyword), other.metadata.get(keyword)) for keyword in SAME]
    if any(first is not None and second is not None and first != second for first, second in pairs):
        return False
    words = str(one.metadata.get("ImageType") or "").upper()
    if any(word in words for word in NO_PICTURE):
        return False
    if len(one.shape) == 2:
        return True
    return plane_of(one) == plane_of(other) and _covered(one, other) >= LEAST_COVERED


def difference(one: Candidate, other: Candidate) -> str:
    """Return what tells `one` from `other` in words: the fields in which they differ, else the size."""
    differing = [
        f"{keyword} {_worded(one.metadata[keyword])} instead of {_worded(other.metadata[keyword])}"
        for keyword in TOLD
        if keyword in one.metadata and keyword in other.metadata and one.metadata[keyword] != other.metadata[keyword]
    ]
    return "; ".join(differing[:2]) or described(one)


def _worded(value: Scalar) -> str:
    if value is None:
        return "that varies"
    return value if isinstance(value, str) else f"{value:g}"


def _covered(one: Candidate, other: Candidate) -> float:
    """Return the share of the box around the voxel centres of `other` that the one around those of `one` covers."""
    if one.affine is None or other.affine is None:
        return 0.0
    (low, high), (start, end) = _box(one.affine, one.shape), _box(other.affine, other.shape)
    shared = np.minimum(high, end) - np.maximum(low, start)
    sides = end - start
    return float(np.prod(np.clip(shared / np.where(sides > 0, sides, 1), 0, 1)))


def _box(affine: Matrix, shape: tuple[int, ...]) -> tuple[Matrix, Matrix]:
    corners = np.asarray(list(product(*((0, size - 1) for size in shape))), dtype=np.float64)
    places = corners @ affine[:3, :3].T + affine[:3, 3]
    return places.min(axis=0), places.max(axis=0)
