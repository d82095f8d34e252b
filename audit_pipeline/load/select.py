"""Which image of a study goes to the model: exactly one, or a reason for each that does not."""

from __future__ import annotations

from collections.abc import Sequence

from audit_pipeline.config import SelectRules
from audit_pipeline.errors import SeriesChoiceError
from audit_pipeline.records import Image, Study


def choose_image(study: Study, rules: SelectRules) -> Image:
    """Return the one image of `study` that fits `rules`.

    Raises
    ------
    SeriesChoiceError
        No image fits, with the reason for each; or several do, with the rule that would separate them.

    Examples
    --------
    >>> import numpy as np
    >>> from audit_pipeline.records import Image, Study
    >>> image = Image(
    ...     values=np.zeros((4, 8, 8), np.float32), affine=None, spacing_mm=(None,) * 3, modality="CT", unit="HU",
    ...     format="dicom",
    ... )
    >>> choose_image(Study(images=(image,), files=()), SelectRules(modality=["CT"])) is image
    True
    """
    failures = [reason_against(image, rules) for image in study.images]
    fitting = [image for image, reason in zip(study.images, failures, strict=True) if not reason]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        listed = "; ".join(described(image) for image in fitting)
        raise SeriesChoiceError(f"{len(fitting)} images fit the rules ({listed}); {_separating_rule(fitting)}")
    listed = "; ".join(f"{described(image)}: {reason}" for image, reason in zip(study.images, failures, strict=True))
    raise SeriesChoiceError(f"none of {len(study.images)} images fits the rules ({listed}); change input.select")


def slices_of(image: Image) -> int:
    """Return the number of slices: axis 0 of a volume, 1 for a single image."""
    return image.shape[0] if len(image.shape) == 3 else 1


def described(image: Image) -> str:
    """Return modality and size of an image in a few words."""
    size = " x ".join(str(one) for one in image.shape)
    label = image.metadata.get("Stack")
    return f"{image.modality or 'no modality'} {size}" + (f", {label}" if label else "")


def reason_against(image: Image, rules: SelectRules) -> str:
    """Return why `image` does not fit `rules`; "" when it does."""
    count = slices_of(image)
    if rules.modality and image.modality not in rules.modality:
        return f"modality {image.modality or 'unknown'} is not {' or '.join(rules.modality)}"
    if count < rules.min_slices:
        return f"{count} slices are fewer than {rules.min_slices}"
    if rules.max_slices is not None and count > rules.max_slices:
        return f"{count} slices are more than {rules.max_slices}"
    return ""


def _separating_rule(fitting: Sequence[Image]) -> str:
    modalities = sorted({image.modality for image in fitting})
    if len(modalities) == len(fitting):
        return f"select.modality would separate them: {', '.join(modalities)}"
    counts = sorted(slices_of(image) for image in fitting)
    if counts[-1] > counts[-2]:
        return f"select.min_slices {counts[-2] + 1} would leave one"
    if counts[0] < counts[1]:
        return f"select.max_slices {counts[1] - 1} would leave one"
    return "no rule separates them, so give each series a folder of its own"
