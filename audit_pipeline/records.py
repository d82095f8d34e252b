"""The records that pass between the stages: frozen, keyword-only, arrays sealed, no framework objects inside.

In the order of the pipeline: `Study` and `Image`, `Prepared`, `Prediction`, `Explanation`, `Finding` and `Verdict`,
`Panel` (what a report draws). What a check may see stands in `evidence.py`, what is kept in `study_record.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from audit_pipeline.findings import Finding
from audit_pipeline.proofs import Proof

Floats = NDArray[np.float32]
Matrix = NDArray[np.float64]
Mask = NDArray[np.bool_]
Scalar = str | int | float | bool | None
ArrayT = TypeVar("ArrayT", bound=NDArray[np.generic])


class Status(StrEnum):
    """How a study ended: ``refused`` before the model was asked, ``failed`` afterwards."""

    AUDITED = "audited"
    REFUSED = "refused"
    FAILED = "failed"


class Disposition(StrEnum):
    """What became of one input file; the dispositions of a study sum to its file count."""

    USED = "used"
    DUPLICATE = "duplicate"
    NON_IMAGE = "non-image"
    OTHER_SERIES = "other-series"
    OTHER_ORIENTATION = "other-orientation"
    UNREADABLE = "unreadable"
    REFUSED = "refused"


class Task(StrEnum):
    """What the logits mean: softmax over classes, one sigmoid per class, or a single sigmoid."""

    MULTICLASS = "multiclass"
    MULTILABEL = "multilabel"
    BINARY = "binary"


def sealed(values: ArrayT) -> ArrayT:
    """Return `values` with its write flag off; views taken of it later are read-only too."""
    values.setflags(write=False)
    return values


@dataclass(frozen=True, kw_only=True, slots=True)
class Refusal:
    """Why part of a study was not delivered. The message carries no path; `files` does."""

    code: str
    message: str
    files: tuple[Path, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class FileDisposition:
    """What became of one input file, and why."""

    path: Path
    disposition: Disposition
    reason: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class StackFacts:
    """What the loader measured about the slices of a stack, before any acceptance.

    step_mm : length of the fitted slice step; residual_mm : largest distance of a slice from the fitted line;
    largest_gap_ratio : (largest gap) / (median gap); smallest_gap_ratio likewise; tilt_degrees : angle between the
    slice step and the slice normal.
    """

    slices: int
    step_mm: float
    residual_mm: float
    largest_gap_ratio: float
    smallest_gap_ratio: float
    tilt_degrees: float = 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Image:
    """One delivered image: values in real units, and where each of them lies in the patient.

    Attributes
    ----------
    values : (D, H, W) volume or (H, W) image, float32, in `unit`; colour adds a last axis of 3 (RGB, 0 to 255)
    affine : (4, 4) float64 or None
        Array index (axis 0, axis 1, axis 2, 1) -> mm in LPS+; None when the position is unknown. For a single slice
        with known position the third column is the unit normal.
    spacing_mm : one entry per spatial axis; None where unknown
    invalid : bool, like the spatial shape, or None
        True where a value is padding, non-finite or missing.
    modality : DICOM Modality, or "" for NIfTI
    format : "dicom" or "nifti"
    unit : "HU", "stored value", ...
    metadata : allow-listed header fields by DICOM keyword, no identity
    stack : what was measured about the slices; None for single images and NIfTI
    sources : SHA-256 of every file that contributed, in slice order
    selectors : header fields that selection rules asked for by keyword; they may identify and are never kept or printed
    """

    values: Floats
    affine: Matrix | None
    spacing_mm: tuple[float | None, ...]
    modality: str
    unit: str
    format: str
    invalid: Mask | None = None
    metadata: Mapping[str, Scalar] = field(default_factory=dict)
    stack: StackFacts | None = None
    findings: tuple[Finding, ...] = ()
    sources: tuple[str, ...] = ()
    selectors: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_colour(self) -> bool:
        """Whether the last axis holds red, green and blue."""
        return self.values.ndim == len(self.spacing_mm) + 1

    @property
    def shape(self) -> tuple[int, ...]:
        """Spatial shape: (D, H, W) or (H, W)."""
        return tuple(int(size) for size in self.values.shape[: len(self.spacing_mm)])


@dataclass(frozen=True, kw_only=True, slots=True)
class Study:
    """Everything one study delivered: images (largest first), and what became of every file."""

    images: tuple[Image, ...]
    files: tuple[FileDisposition, ...]
    findings: tuple[Finding, ...] = ()
    refusals: tuple[Refusal, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Prepared:
    """The model input, and the way back to the source.

    Attributes
    ----------
    values : (C, *S) float32, what the network sees
    to_source : (n + 1, n + 1) float64, prepared index -> source image index (n = len(S))
    affine : (4, 4) or None, prepared index -> mm in LPS+
    spacing_mm : one entry per axis of S; None where unknown
    inside : (*S) bool, False where the value is padding that no source voxel covers
    steps : the transforms in order, as sentences for the report
    display_window : (low, high) in source units that the intensity step maps to the model's range
    """

    values: Floats
    to_source: Matrix
    affine: Matrix | None
    spacing_mm: tuple[float | None, ...]
    inside: Mask
    steps: tuple[str, ...]
    display_window: tuple[float, float]


@dataclass(frozen=True, kw_only=True, slots=True)
class PartScores:
    """What the network said to each part of an image that it reads slice by slice or window by window.

    Attributes
    ----------
    kind : "slice" or "window"
    rule : how the logit of the image is made of those of the parts, in words
    logits : class -> one logit per part, in order
    counted : class -> places of the parts that enter its logit
    centres : source index of the centre of each part
    axis : source axis along which the slices follow each other; None for windows
    """

    kind: str
    rule: str
    logits: Mapping[str, tuple[float, ...]]
    counted: Mapping[str, tuple[int, ...]]
    centres: tuple[tuple[float, ...], ...]
    axis: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Prediction:
    """Logits (K,) float64 in class order, what was concluded, and on what device.

    `thresholds` holds an operating point for the classes that have one; `predicted` lists the concluded classes.
    `features` are the spatial means of the activations at the target layer, (C,), for comparison with a reference.
    `parts` holds the logits of slices or windows; None where the network reads the image at once.
    """

    task: Task
    classes: tuple[str, ...]
    logits: tuple[float, ...]
    probabilities: tuple[float, ...]
    thresholds: Mapping[str, float]
    predicted: tuple[str, ...]
    device: str
    precision: str
    features: tuple[float, ...] = ()
    parts: PartScores | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class MapStatistics:
    """Of the raw signed map on the layer's grid; places are those of the cell with the highest value.

    peak_index : source voxel index of the centre of the peak cell, rounded; peak_position_mm : LPS+, None when the
    image has no affine; centre_index : source index of the mass-weighted peak, None when nothing is positive;
    mass_levels : map values whose super-level sets on the model input hold 50 % and 80 % of the positive mass.
    """

    min: float
    max: float
    mean: float
    std: float
    peak_value: float
    peak_index: tuple[int, ...]
    peak_position_mm: tuple[float, float, float] | None
    centre_index: tuple[float, ...] | None
    mass_levels: tuple[float, float] | None
    positive_share: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Explanation:
    """One map: one method, one target class, one layer.

    Attributes
    ----------
    values : (*grid) float32, raw and signed, in units of the logit; not rectified, not normalised
    on_input : (*S) float32, the same map on the prepared grid, half-pixel (tri)linear
    to_source : (n + 1, n + 1), grid index -> source image index; to_input : the same to the index of the model input,
        None where the cells tile it evenly
    affine : (4, 4) or None, grid index -> mm in LPS+
    cell_mm : size of one cell of the grid in the patient; entries None where the spacing is unknown
    signal_floor : below this absolute value a map of this layer is numerically zero
    unit : what a value means; blank, blank_sentence : why the map shows nothing, "" where it shows something
    proofs : what maps of this target and layer owe, and whether it holds
    """

    method: str
    target: int
    target_name: str
    layer: str
    values: Floats
    on_input: Floats
    to_source: Matrix
    affine: Matrix | None
    cell_mm: tuple[float | None, ...]
    statistics: MapStatistics
    signal_floor: float
    caution: str = ""
    unit: str = "logit"
    blank: str = ""
    blank_sentence: str = ""
    proofs: tuple[Proof, ...] = ()
    to_input: Matrix | None = None

    @property
    def grid(self) -> tuple[int, ...]:
        """Shape of the layer's grid."""
        return tuple(int(size) for size in self.values.shape)


@dataclass(frozen=True, kw_only=True, slots=True)
class Panel:
    """One displayed slice with the maps on exactly the same pixels.

    Attributes
    ----------
    role : "plane" (through the evidence), "slice" (one of the most evident slices) or "image" (2D)
    plane : "axial", "coronal", "sagittal" or "image"; axis, index : of the slice in the source array, None for 2D
    position_mm : patient position of the slice along its normal; None when unknown
    anatomy : (h, w) float32 in source units, in display orientation; (h, w, 3) for colour
    maps : method -> (h, w) float32, raw and signed, for `target`
    target : class index the maps explain; pixel_mm : (row, column) distance between pixel centres; None when unknown
    cell_mm : (row, column) size of one cell of the maps' grid in this slice; None when unknown
    letters : anatomical letters at the (left, right, top, bottom) edge; empty when the orientation is unknown
    peaks : method -> (row, column) of the map's mass-weighted peak, for the maps whose peak lies in this slice
    to_source : (n + 1, 3), display (row, column, 1) -> source index (n axes, 1)
    blanked : (top, bottom, left, right) in pixels, ends exclusive, of every block where text was blanked
    """

    role: str
    plane: str
    axis: int | None
    index: int | None
    position_mm: float | None
    anatomy: Floats
    maps: Mapping[str, Floats]
    target: int
    pixel_mm: tuple[float, float] | None
    cell_mm: tuple[float, float] | None
    letters: tuple[str, str, str, str]
    peaks: Mapping[str, tuple[float, float]]
    to_source: Matrix
    blanked: tuple[tuple[int, int, int, int], ...] = ()
