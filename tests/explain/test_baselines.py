"""Baselines: the blur keeps what is constant, is even to all sides and as wide as it says."""

from __future__ import annotations

import pytest
import torch

from audit_pipeline.errors import ExplainError
from audit_pipeline.explain.baselines import BLUR_SHARE, INFILL_SHARE, baseline_of, blurred


@pytest.mark.parametrize("size", [(21, 17), (9, 12, 10)])
def test_the_blur_keeps_constants(size):
    assert torch.allclose(blurred(torch.full((1, 1, *size), 3.0)), torch.tensor(3.0))


@pytest.mark.parametrize("share", [INFILL_SHARE, BLUR_SHARE])
def test_the_blur_is_even_to_all_sides_and_as_wide_as_it_says(share):
    hot = torch.zeros(1, 1, 81, 81)
    hot[0, 0, 40, 40] = 1
    soft = blurred(hot, share=share)
    assert torch.allclose(soft, soft.flip(2).transpose(2, 3), atol=1e-7)
    places = torch.arange(81) - 40.0
    spread = (soft.sum((0, 1, 3)) * places**2).sum() / soft.sum()
    assert float(spread) ** 0.5 == pytest.approx(share * 81, rel=0.02)


def test_an_unknown_baseline_is_refused():
    with pytest.raises(ExplainError, match="baseline must be one of lowest, zero, blurred"):
        baseline_of(torch.zeros(1, 1, 4, 4), "black")
