"""The rules by which one image of a study is chosen, as a configuration states them."""

from __future__ import annotations

import re
import warnings
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, field_validator, model_validator

from audit_pipeline.strict import Settings

Plane = Literal["axial", "coronal", "sagittal", "oblique"]


def _listed(given: Any) -> Any:
    return [given] if isinstance(given, str) else given


Words = Annotated[list[str], BeforeValidator(_listed, json_schema_input_type=str | list[str])]


class Limits(Settings):
    """A closed range of numbers, open at an end that is not given."""

    min: float | None = Field(None, allow_inf_nan=False, description="Smallest value that fits")
    max: float | None = Field(None, allow_inf_nan=False, description="Largest value that fits")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min ({self.min:g}) must not be above max ({self.max:g})")
        return self


class Interval(Limits):
    """A range with at least one end; ``[min, max]`` says the same."""

    @model_validator(mode="before")
    @classmethod
    def _from_pair(cls, given: Any) -> Any:
        pair = given if isinstance(given, list | tuple) else None
        if given == {} or (pair is not None and (len(pair) != 2 or not any(end is not None for end in pair))):
            raise ValueError("an interval needs min, max or both, or is the pair [min, max]")
        return given if pair is None else {"min": pair[0], "max": pair[1]}


class TagCondition(Limits):
    """What one header field must be: exactly one of equals, one_of, matches, min and max, present.

    ``equals``, ``one_of`` and ``matches`` hold when one value of a multi-valued field fits, or all of them joined by a
    backslash; ``min`` and ``max`` when every value is a number within. Texts are compared without regard to case,
    numbers as numbers. ``matches`` is found anywhere in the text, so ``^`` and ``$`` tie it to the ends.
    """

    tag: str = Field(description="Keyword of DICOM PS3.6, for example ConvolutionKernel; or Stack")
    equals: str | float | None = Field(None, description="The text or number that the field must hold")
    one_of: list[str | float] | None = Field(None, min_length=1, description="Texts or numbers, one of which it holds")
    matches: str | None = Field(None, max_length=256, description="Regular expression, found anywhere in the text")
    present: bool | None = Field(None, description="Whether the field holds anything")

    @field_validator("equals", "one_of", mode="before")
    @classmethod
    def _texts_or_numbers(cls, given: Any, info: Any) -> Any:
        entries = given if isinstance(given, list) and info.field_name == "one_of" else [given]
        if any(isinstance(one, bool) or not isinstance(one, str | int | float | None) for one in entries):
            raise ValueError("text or a number is needed; yes, no, on and off need quotes, and lists belong to one_of")
        return given

    @field_validator("matches")
    @classmethod
    def _is_a_pattern(cls, given: str | None) -> str | None:
        try:
            with warnings.catch_warnings(action="error"):  # what Python only warns of will change its meaning
                re.compile(given or "")
        except (re.error, Warning, OverflowError, RecursionError) as error:
            place = f" at character {error.pos + 1}" if isinstance(error, re.error) and error.pos is not None else ""
            raise ValueError(f"{given!r} is no regular expression{place}: {getattr(error, 'msg', error)}") from error
        return given

    @model_validator(mode="after")
    def _asks_one_thing(self) -> Self:
        given = [name for name in ("equals", "one_of", "matches", "present") if getattr(self, name) is not None]
        given += ["min and max"] if self.min is not None or self.max is not None else []
        if len(given) != 1:
            found = ", ".join(given) or "none"
            raise ValueError(f"exactly one of equals, one_of, matches, min and max, present is needed; found {found}")
        return self


class SelectRules(Settings):
    """Which image of a study goes to the model; the rules at one level are combined with AND.

    ``all``, ``any`` and ``none`` hold further levels of the same rules. Lengths fit to within a thousandth.
    """

    modality: Words = Field([], description="Allowed DICOM Modality values; empty allows all")
    body_part: Words = Field([], description="Allowed BodyPartExamined values; empty allows all")
    orientation: Annotated[list[Plane], BeforeValidator(_listed, json_schema_input_type=Plane | list[Plane])] = Field(
        [], description="Allowed planes of the slices; oblique is more than 15 degrees off the other three"
    )
    dimensions: Literal[2, 3] | None = Field(None, description="2 for single images, 3 for volumes")
    min_slices: int = Field(0, ge=0, description="Smallest number of slices of a volume")
    max_slices: int | None = Field(None, ge=1, description="Largest number of slices of a volume")
    slice_spacing_mm: Interval | None = Field(None, description="Distance between the slices of a volume")
    pixel_spacing_mm: Interval | None = Field(None, description="Distance between pixels, along rows and columns")
    image_type: Words = Field([], description="Words that ImageType must all hold, for example ORIGINAL")
    tags: list[TagCondition] = Field([], description="Conditions on header fields by keyword")
    all: list[SelectRules] = Field([], description="Rules that must all hold")
    any: list[SelectRules] = Field([], description="Rules of which at least one must hold; empty asks nothing")
    none: list[SelectRules] = Field([], description="Rules of which none may hold")

    @model_validator(mode="after")
    def _can_hold(self) -> Self:
        if self.max_slices is not None and self.min_slices > self.max_slices:
            raise ValueError(f"min_slices ({self.min_slices}) must not be above max_slices ({self.max_slices})")
        if not all(inner.model_fields_set for inner in (*self.all, *self.any, *self.none)):
            raise ValueError("an entry of all, any or none asks nothing; name a rule in it or remove it")
        return self
