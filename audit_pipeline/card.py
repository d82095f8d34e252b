"""The model card: everything a run needs to know about one model, read from YAML or given as a mapping."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from audit_pipeline.config import read_yaml, validated
from audit_pipeline.evidence import IntendedUse
from audit_pipeline.records import Task
from audit_pipeline.registry import unknown_name
from audit_pipeline.strict import Settings


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


class InputCard(Settings):
    """What the network expects as input.

    orientation : three letters, the directions in which the axes (D, H, W) of the input grow, for example "HPL"
    spacing_mm : one entry per axis of the input, or null: the whole image is scaled into `size`, aspect kept
    """

    orientation: str | None = Field(None, pattern=r"^[LRAPHFSI]{3}$")
    spacing_mm: list[float] | None = None
    size: list[int] = Field(min_length=2, max_length=3)
    intensity: Intensity
    fill: float | None = Field(None, description="Value outside the image, in its unit; null: the lowest fed value")
    slices: Literal["each", "stack"] | None = None
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
    """What the model may be applied to."""

    modality: list[str] = []
    body_part: list[str] = []
    view: list[str] = []
    age: tuple[float, float] | None = None
    spacing_mm: tuple[float, float] | None = None


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
    aggregate: Literal["max", "mean", "topk"] | None = None
    weights: WeightsCard | None = None
    network: NetworkCard | None = None
    factory: str | None = Field(None, description="package.module:function; needs --allow-code")
    layer: str | None = None
    intended_use: str = ""
    allowed: AllowedCard = AllowedCard()
    reference: WeightsCard | None = Field(None, description="Parquet of clean reference studies and its SHA-256")
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
    def _one_source_of_the_network(self) -> Self:
        if (self.network is None) == (self.factory is None):
            raise ValueError("exactly one of network and factory is needed")
        if self.network is not None and self.weights is None:
            raise ValueError("a network by name needs weights (path and sha256)")
        return self

    @model_validator(mode="after")
    def _input_fits_the_dimensions(self) -> Self:
        if len(self.input.size) != self.spatial_dims:
            raise ValueError(f"input.size needs {self.spatial_dims} entries, found {len(self.input.size)}")
        spacing = self.input.spacing_mm
        if spacing is not None and (len(spacing) != self.spatial_dims or min(spacing) <= 0):
            raise ValueError(f"input.spacing_mm needs {self.spatial_dims} entries above zero, found {spacing}")
        return self

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
        )

    def digest(self) -> str:
        """SHA-256 of the card's content, independent of key order, comments and where its files lie."""
        content = self.model_dump(mode="json")
        for key in ("weights", "reference"):
            if content[key]:
                del content[key]["path"]
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
    return card.model_copy(update=placed)
