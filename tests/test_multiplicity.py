"""Adjusted p-values are those of statsmodels, also with ties, one value and none."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests

from audit_pipeline.multiplicity import benjamini_hochberg, holm


@pytest.mark.parametrize(("adjust", "method"), [(holm, "holm"), (benjamini_hochberg, "fdr_bh")])
@pytest.mark.parametrize("count", [1, 2, 7, 60])
def test_adjusted_values_are_those_of_statsmodels(adjust, method, count):
    values = np.random.default_rng(count).beta(0.4, 1, count).round(2)
    assert adjust(values) == pytest.approx(multipletests(values, method=method)[1])


@pytest.mark.parametrize("adjust", [holm, benjamini_hochberg])
def test_nothing_to_adjust_stays_nothing(adjust):
    assert adjust([]).size == 0


@given(st.lists(st.floats(1e-6, 1), min_size=1, max_size=30))
def test_holm_rejects_no_more_than_benjamini_and_hochberg_and_no_less_than_bonferroni(p_values):
    cautious, bold = holm(p_values), benjamini_hochberg(p_values)
    assert (cautious >= bold).all()
    assert (cautious <= np.minimum(1, np.asarray(p_values) * len(p_values))).all()
