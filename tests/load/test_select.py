"""Exactly one image goes to the model."""

from __future__ import annotations

import numpy as np
import pytest

from audit_pipeline.config import SelectRules
from audit_pipeline.errors import SeriesChoiceError
from audit_pipeline.load import choose_image
from audit_pipeline.records import Image, Study


def image(modality="CT", slices=10, **metadata):
    shape = (slices, 4, 4) if slices else (4, 4)
    return Image(
        values=np.zeros(shape, np.float32),
        affine=None,
        spacing_mm=(None,) * len(shape),
        modality=modality,
        unit="HU",
        format="dicom",
        metadata=metadata,
    )


def study(*images):
    return Study(images=images, files=())


def test_the_only_image_that_fits_is_chosen():
    wanted = image("CT", 30)
    rules = SelectRules(modality=["CT"], min_slices=20, max_slices=40)
    assert choose_image(study(image("MR", 30), wanted, image("CT", 5), image("CT", 50)), rules) is wanted


def test_without_rules_a_single_image_is_chosen():
    only = image(slices=0)
    assert choose_image(study(only), SelectRules()) is only


def test_every_candidate_is_told_why_it_fails():
    rules = SelectRules(modality=["CT", "PT"], min_slices=20, max_slices=40)
    with pytest.raises(SeriesChoiceError) as caught:
        choose_image(study(image("MR", 30), image("CT", 0), image("CT", 50), image("", 30)), rules)
    message = str(caught.value)
    assert "MR 30 x 4 x 4: modality MR is not CT or PT" in message
    assert "CT 4 x 4: 1 slices are fewer than 20" in message
    assert "CT 50 x 4 x 4: 50 slices are more than 40" in message
    assert "modality unknown is not" in message


@pytest.mark.parametrize(
    ("images", "hint"),
    [
        ((image("CT"), image("MR")), "select.modality would separate them: CT, MR"),
        ((image(slices=10), image(slices=30), image(slices=10)), "select.min_slices 11 would leave one"),
        ((image(slices=5), image(slices=30), image(slices=30)), "select.max_slices 29 would leave one"),
        ((image(Stack="EchoTime 1 of 2"), image(Stack="EchoTime 2 of 2")), "no rule separates them"),
    ],
)
def test_several_that_fit_are_told_the_separating_rule(images, hint):
    with pytest.raises(SeriesChoiceError, match=hint) as caught:
        choose_image(study(*images), SelectRules())
    assert f"{len(images)} images fit" in str(caught.value)
