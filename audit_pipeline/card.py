"""The model card: everything a run needs to know about one model, read from YAML or given as a mapping."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from math import gcd
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from audit_pipeline.config import read_yaml, validated
from audit_pipeline.evidence import IntendedUse
from audit_pipeline.promises import GoldenCard, ReauditCard
from audit_pipeline.records import Task
from audit_pipeline.registry import unknown_name
from audit_pipeline.strict import Settings

LARGEST_STEP = 32
"""Voxels of a cell of the last stage of most networks."""


class Bounds(Settings):
    """A closed interval."""

    low: float
    high: float

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not self.low < self.high:
            raise ValueError(f"low ({self.low}) must be below high ({self.high})")
        return self


class Window(Settings):
    """Centre and width in the image's unit; mapped to 0 ... 1 and clipped."""

    center: float
    width: float = Field(gt=0)


class Percentiles(Settings):
    """Percentiles of the image mapped to 0 ... 1 and clipped."""

    low: float = Field(1.0, ge=0, lt=100)
    high: float = Field(99.0, gt=0, le=100)

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not self.low < self.high:
            raise ValueError(f"low ({self.low}) must be below high ({self.high})")
        return self


class ZScore(Settings):
    """Subtract the mean and divide by the standard deviation of the image."""


class Intensity(Settings):
    """How values become model input; exactly one of the four."""

    window: Window | None = None
    range: Bounds | None = Field(None, description="Values mapped to 0 ... 1 and clipped")
    percentile: Percentiles | None = None
    zscore: ZScore | None = None

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        given = [name for name in type(self).model_fields if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"exactly one of window, range, percentile, zscore is needed, found {given or 'none'}")
        return self


class WindowsCard(Settings):
    """Overlapping windows over images larger than the field of the network; the logit of the image is their aggregate.

    size : voxels of a window per axis, what the network takes
    overlap : share of a window that the next one repeats at least
    aggregate : how the logits of the windows become that of the image
    importance : weight of a place by its position in the window, where the maps of windows overlap
    margin : cells of the layer left out at every side of a window inside the image, because padding reaches them
    """

    size: list[Annotated[int, Field(gt=0)]] = Field(min_length=2, max_length=3)
    overlap: float = Field(0.5, ge=0, lt=1)
    aggregate: Literal["mean", "max"] = "mean"
    importance: Literal["gaussian", "constant"] = "gaussian"
    margin: int = Field(0, ge=0)

    @property
    def step(self) -> tuple[int, ...]:
        """Voxels per axis of which every window starts at a multiple, so that cells of most layers line up."""
        return tuple(gcd(side, max(1, int(side * (1 - self.overlap))), LARGEST_STEP) for side in self.size)


class InputCard(Settings):
    """What the network expects as input.

    orientation : three letters, the directions in which the axes (D, H, W) of the input grow, for example "HPL"
    spacing_mm : one entry per axis of the input, or null: the whole image is scaled into `size`, aspect kept
    size : one entry per axis; null with `windows`: as large as the image needs
    slices : for a 2D network on volumes; each: every slice along the first axis of `orientation` alone; stack: with its
        neighbours as the channels of the network. `spacing_mm` and `size` are those in the plane of the slices
    """

    orientation: str | None = Field(None, pattern=r"^[LRAPHFSI]{3}$")
    spacing_mm: list[float] | None = None
    size: list[Annotated[int, Field(gt=0)]] | None = Field(None, min_length=2, max_length=3)
    intensity: Intensity
    fill: float | None = Field(None, description="Value outside the image, in its unit; null: the lowest fed value")
    slices: Literal["each", "stack"] | None = None
    windows: WindowsCard | None = None
    laterality_sensitive: bool = Field(False, description="Refuse volumes whose left and right are not known")


class WeightsCard(Settings):
    """A weights file (safetensors or a state_dict) and its SHA-256."""

    path: Path
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class NetworkCard(Settings):
    """A registered network by name with its keyword arguments; see `list networks`."""

    name: str
    args: dict[str, Any] = {}


class AllowedCard(Settings):
    """What the model may be applied to; see `evidence.IntendedUse`.

    header : DICOM keyword -> allowed texts, for example ``ContrastBolusAgent: [yes]``
    ranges : DICOM keyword -> lowest and highest allowed number, for example ``KVP: [100, 140]``
    """

    modality: list[str] = []
    body_part: list[str] = []
    view: list[str] = []
    age: tuple[float, float] | None = None
    spacing_mm: tuple[float, float] | None = None
    header: dict[str, list[str]] = {}
    ranges: dict[str, tuple[float, float]] = {}
    target_mm: float | None = Field(None, gt=0, description="Diameter of the smallest thing the model is meant to find")
    sides: dict[str, Literal["left", "right"]] = Field({}, description="Class -> side of the patient that it names")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        spans = {**self.ranges, "age": self.age, "spacing_mm": self.spacing_mm}
        for name, span in spans.items():
            if span is not None and span[0] > span[1]:
                raise ValueError(
                    f"the range of {name} runs from {span[0]:g} to {span[1]:g}; the lower end stands first"
                )
        return self


class ModelCard(Settings):
    """Everything about one model: identity, task, input, weights, intended use."""

    name: str
    version: str
    task: Task
    classes: list[str] = Field(min_length=1, max_length=1000)
    thresholds: dict[str, float] = {}
    thresholds_from: str = Field("", description="Where the operating points come from")
    spatial_dims: Literal[2, 3]
    channels: int = Field(1, ge=1)
    input: InputCard
    aggregate: Literal["max", "mean", "topk"] | None = Field(
        None, description="How the logits of the slices become that of the volume, with input.slices"
    )
    topk: int = Field(3, ge=1, description="Highest slices of each class that aggregate: topk averages")
    weights: WeightsCard | None = None
    network: NetworkCard | None = None
    factory: str | None = Field(None, description="package.module:function; needs --allow-code")
    output: str | int | None = Field(
        None, description="Which entry of a tuple, list or mapping that the network returns holds the logits"
    )
    layer: str | None = None
    intended_use: str = ""
    allowed: AllowedCard = AllowedCard()
    reference: WeightsCard | None = Field(None, description="Parquet of clean reference studies and its SHA-256")
    golden: list[GoldenCard] = Field([], description="Inputs with the logits that the model must give")
    reaudit: ReauditCard | None = Field(None, description="When the model must be audited again")
    development: dict[str, Any] = {}

    @model_validator(mode="after")
    def _classes_fit_the_task(self) -> Self:
        if len(set(self.classes)) != len(self.classes):
            raise ValueError("classes must differ from each other")
        if self.task is Task.BINARY and len(self.classes) != 1:
            raise ValueError(f"a binary task names exactly its positive class, found {len(self.classes)} classes")
        if self.task is Task.MULTICLASS and len(self.classes) < 2:
            raise ValueError("a multiclass task needs at least two classes; use binary for one logit")
        for name, value in self.thresholds.items():
            if name not in self.classes:
                raise ValueError(unknown_name("class in thresholds", name, self.classes))
            if not 0 < value < 1:
                raise ValueError(f"the threshold of {name!r} must lie between 0 and 1, found {value}")
        return self

    @model_validator(mode="after")
    def _sides_name_classes(self) -> Self:
        for name in self.allowed.sides:
            if name not in self.classes:
                raise ValueError(unknown_name("class in allowed.sides", name, self.classes))
        return self

    @model_validator(mode="after")
    def _golden_cases_name_every_class(self) -> Self:
        for number, one in enumerate(self.golden):
            if set(one.logits) != set(self.classes):
                raise ValueError(
                    f"golden.{number}.logits needs one logit for each class ({', '.join(self.classes)}), found "
                    f"{', '.join(one.logits)}"
                )
        return self

    @model_validator(mode="after")
    def _one_source_of_the_network(self) -> Self:
        if (self.network is None) == (self.factory is None):
            raise ValueError("exactly one of network and factory is needed")
        if self.network is not None and self.weights is None:
            raise ValueError("a network by name needs weights (path and sha256)")
        return self

    @model_validator(mode="after")
    def _input_fits_the_dimensions(self) -> Self:
        size, windows = self.input.size, self.input.windows
        if size is None and windows is None:
            raise ValueError("input.size is needed; only input.windows can do without")
        for name, given in (("size", size), ("windows.size", windows.size if windows else None)):
            if given is not None and len(given) != self.spatial_dims:
                raise ValueError(f"input.{name} needs {self.spatial_dims} entries, found {len(given)}")
        if size and windows and any(whole < part for whole, part in zip(size, windows.size, strict=True)):
            raise ValueError(f"input.size {size} must not be smaller than input.windows.size {windows.size}")
        spacing = self.input.spacing_mm
        if spacing is not None and (len(spacing) != self.spatial_dims or min(spacing) <= 0):
            raise ValueError(f"input.spacing_mm needs {self.spatial_dims} entries above zero, found {spacing}")
        return self

    @model_validator(mode="after")
    def _slices_are_complete(self) -> Self:
        slices = self.input.slices
        if slices is None:
            if self.aggregate is not None:
                raise ValueError(f"aggregate: {self.aggregate} belongs to input.slices, which is not set")
            return self
        if self.spatial_dims != 2 or self.input.windows is not None:
            raise ValueError("input.slices is for a network with spatial_dims: 2 and without input.windows")
        if self.aggregate is None or self.input.orientation is None:
            raise ValueError(
                "input.slices needs aggregate (max, mean or topk) and input.orientation, whose first letter is the "
                "direction across the slices, for example HPL for axial ones"
            )
        if slices == "stack" and (self.channels < 3 or self.channels % 2 == 0):
            raise ValueError(
                f"input.slices: stack needs an odd number of channels from 3 on, the slice and its neighbours, found "
                f"{self.channels}"
            )
        return self

    @property
    def image_dims(self) -> int:
        """Number of spatial axes of the images that the model takes: 3 where a 2D network reads slices."""
        return 3 if self.input.slices else self.spatial_dims

    @property
    def network_size(self) -> list[int]:
        """Voxels per axis of what the network takes in one pass: a window, else the whole prepared image or slice."""
        size = self.input.windows.size if self.input.windows else self.input.size
        assert size is not None
        return list(size)

    @property
    def intended(self) -> IntendedUse:
        """The allow-lists as a record."""
        allowed = self.allowed
        return IntendedUse(
            modality=tuple(allowed.modality),
            body_part=tuple(allowed.body_part),
            view=tuple(allowed.view),
            age=allowed.age,
            spacing_mm=allowed.spacing_mm,
            header={keyword: tuple(texts) for keyword, texts in allowed.header.items()},
            ranges=dict(allowed.ranges),
            target_mm=allowed.target_mm,
            sides=dict(allowed.sides),
        )

    def digest(self) -> str:
        """SHA-256 of the card's content, independent of key order, comments and where its files lie."""
        content = self.model_dump(mode="json")
        for part in (content["weights"], content["reference"], *content["golden"]):
            if part:
                del part["path"]
        for key in ("golden", "reaudit"):
            if not content[key]:
                del content[key]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def read_card(source: Path | Mapping[str, Any]) -> ModelCard:
    """Return the model card in a YAML file (its relative paths start at the file's folder) or mapping."""
    content = read_yaml(source, "model card") if isinstance(source, Path) else dict(source)
    card = validated(ModelCard, content)
    if not isinstance(source, Path):
        return card
    placed = {
        key: part.model_copy(update={"path": source.parent / part.path})
        for key, part in (("weights", card.weights), ("reference", card.reference))
        if part is not None
    }
    golden = [one.model_copy(update={"path": source.parent / one.path}) for one in card.golden]
    return card.model_copy(update={**placed, "golden": golden})
