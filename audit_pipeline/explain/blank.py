r"""Why a map is blank. A map without evidence is a finding with a cause, never a picture stretched out of nothing.

Seven causes are told apart by numbers: the target is disconnected from the layer; the gradient is zero; the output is
saturated, so the gradient vanishes although the layer decides it; the layer is silent; values are not finite; values
lie below the noise floor; the map is constant, so that no place stands out. An eighth is not blank but shows nothing
where only evidence for a class is coloured: all evidence speaks against the class.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from audit_pipeline.records import Floats

Kind = Literal[
    "not finite", "disconnected", "saturated", "zero gradient", "no activation", "below floor", "constant",
    "all negative",
]  # fmt: skip

SATURATED_SHARE = 1e-2
"""The output is saturated when gradient times activation accounts for less than this share of the layer's effect.

The effect is the change of the output from activations 0 to those of the image. A linear head accounts for all of it,
a sigmoid of 8 for a share of 0.0054, one of 7.3 for the limit itself."""

CONSTANT_SHARE = 1e-4
"""A map is constant when its range is below this share of its largest absolute value: float32 leaves about 1e-6."""


@dataclass(frozen=True, kw_only=True, slots=True)
class GradientFacts:
    """What is known about the gradient of one target at the layer.

    Attributes
    ----------
    is_connected : whether any path leads from the layer to the target
    is_finite : of gradient, activation and output
    largest : largest absolute gradient; activation : largest absolute activation
    energy : sum of absolute gradient times activation: the most the layer can account for to first order
    output : of the target; output_at_zero : when the layer gives 0 everywhere, None where that was not replayed
    """

    is_connected: bool
    is_finite: bool
    largest: float
    activation: float
    energy: float
    output: float
    output_at_zero: float | None = None

    @property
    def effect(self) -> float | None:
        """How much the layer changes the output, from activations 0 to those of the image."""
        return None if self.output_at_zero is None else abs(self.output - self.output_at_zero)


@dataclass(frozen=True, kw_only=True, slots=True)
class Blankness:
    """Why a map shows nothing: a word, a sentence for the report, and the numbers that decided."""

    kind: Kind
    sentence: str
    numbers: Mapping[str, float]


def gradient_facts(
    activations: Tensor, gradient: Tensor | None, output: float, output_at_zero: float | None = None
) -> GradientFacts:
    r"""Return the facts about one image and target.

    Parameters
    ----------
    activations : (C, \*S) at the layer
    gradient : (C, \*S) of the target's output; None when autograd found no path
    output, output_at_zero : as in `GradientFacts`
    """
    values = activations.detach().double()
    given = torch.zeros_like(values) if gradient is None else gradient.detach().double()
    numbers = [output] if output_at_zero is None else [output, output_at_zero]
    is_finite = bool(torch.isfinite(values).all()) and bool(torch.isfinite(given).all())
    return GradientFacts(
        is_connected=gradient is not None,
        is_finite=is_finite and bool(np.isfinite(numbers).all()),
        largest=float(given.abs().max()),
        activation=float(values.abs().max()),
        energy=float((given * values).abs().sum()),
        output=output,
        output_at_zero=output_at_zero,
    )


def classify(values: Floats, facts: GradientFacts, signal_floor: float) -> Blankness | None:
    """Return why the map shows nothing, or None where it shows something.

    Parameters
    ----------
    values : (*grid) the raw signed map
    facts : of the same image, target and layer
    signal_floor : absolute value below which a map of this layer is numerically zero
    """
    if not facts.is_finite or not bool(np.isfinite(values).all()):
        return _not_finite(values, facts)
    return _of_gradient(facts) or _of_values(values, facts, signal_floor)


def _not_finite(values: Floats, facts: GradientFacts) -> Blankness:
    share = float((~np.isfinite(values)).mean())
    where = f"{share:.1%} of the map" if share else "the activation, the gradient or the output behind the map"
    return Blankness(
        kind="not finite",
        sentence=f"Not finite: {where} is infinite or not a number; run the model in fp32 and check its weights.",
        numbers={"share": share, "output": facts.output},
    )


def _of_gradient(facts: GradientFacts) -> Blankness | None:
    if not facts.is_connected:
        return Blankness(
            kind="disconnected",
            sentence="Disconnected: no path leads from this layer to the class, so the layer says nothing about it.",
            numbers={},
        )
    effect = facts.effect
    if effect is not None and effect > _resolution(facts) and facts.energy < SATURATED_SHARE * effect:
        return Blankness(
            kind="saturated",
            sentence=(
                f"Saturated: the layer changes the output by {effect:.3g}, but the gradient at {facts.output:.3g} "
                f"accounts for {facts.energy / effect:.2g} of it; explain the value before the saturation instead."
            ),
            numbers={"effect": effect, "energy": facts.energy, "output": facts.output},
        )
    if facts.largest == 0:
        return Blankness(
            kind="zero gradient",
            sentence="Zero gradient: at this image no small change of the layer changes the class.",
            numbers={"activation": facts.activation, "output": facts.output},
        )
    if facts.activation == 0:
        return Blankness(
            kind="no activation",
            sentence="No activation: the layer gives 0 everywhere for this image, so no place can carry evidence.",
            numbers={"gradient": facts.largest},
        )
    return None


def _resolution(facts: GradientFacts) -> float:
    """Return the difference of outputs that float32 cannot be trusted to resolve."""
    return 64 * float(np.finfo(np.float32).eps) * max(abs(facts.output), abs(facts.output_at_zero or 0.0))


def _of_values(values: Floats, facts: GradientFacts, signal_floor: float) -> Blankness | None:
    lowest, highest = float(values.min()), float(values.max())
    strongest = max(abs(lowest), abs(highest))
    numbers = {"lowest": lowest, "highest": highest, "floor": signal_floor, "energy": facts.energy}
    if strongest <= signal_floor:
        return Blankness(
            kind="below floor",
            sentence=(
                f"Below the noise floor: the strongest value is {strongest:.3g}, the floor {signal_floor:.3g}; "
                "contributions cancel, and what is left is rounding."
            ),
            numbers=numbers,
        )
    if values.size > 1 and highest - lowest <= max(CONSTANT_SHARE * strongest, signal_floor):
        return Blankness(
            kind="constant",
            sentence=f"Constant: every place has the value {highest:.3g}, so no place stands out.",
            numbers=numbers,
        )
    if highest <= signal_floor:
        return Blankness(
            kind="all negative",
            sentence=(
                f"All negative: every place speaks against the class (from {lowest:.3g} to {highest:.3g}); a map of "
                "evidence for the class is empty, a signed map is not."
            ),
            numbers=numbers,
        )
    return None
