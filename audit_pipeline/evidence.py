"""What a check may see of one study: the records of the stages before it, the intended use, and clean references."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from audit_pipeline.records import Explanation, Floats, Image, Mask, Matrix, Prediction, Prepared


@dataclass(frozen=True, kw_only=True, slots=True)
class IntendedUse:
    """What the model card allows: allow-lists and ranges; an empty list or None allows everything."""

    modality: tuple[str, ...] = ()
    body_part: tuple[str, ...] = ()
    view: tuple[str, ...] = ()
    age: tuple[float, float] | None = None
    spacing_mm: tuple[float, float] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Reference:
    """Clean reference studies a model was characterised on: one row of features per study.

    layer : module whose spatial means the features are; "" when the table does not say
    features : (R, C) float32; intensities : (R, 4) float32, the mean, standard deviation, minimum and maximum of the
    model input.
    """

    features: Floats
    intensities: Floats
    digest: str
    layer: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Evidence:
    """What a check may see of one study. All arrays are read-only.

    `predict` runs the model again on a batch of prepared inputs (N, C, *S) and returns logits (N, K).
    `body` is the mask of the patient on the prepared grid, None when it could not be found.
    `head_is_pooled` tells that the gradient is constant over space, as behind global average pooling, so that
    Grad-CAM and HiResCAM must agree.
    """

    image: Image
    prepared: Prepared
    prediction: Prediction
    explanations: tuple[Explanation, ...]
    intended: IntendedUse
    predict: Callable[[Floats], Matrix]
    body: Mask | None = None
    reference: Reference | None = None
    head_is_pooled: bool = False
