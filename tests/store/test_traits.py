"""What is kept of a study for the cohort comes back as it was, byte for byte the same twice."""

import numpy as np
import pytest

from audit_pipeline.errors import StoreError
from audit_pipeline.store.traits import read_traits, traits_bytes
from tests.store.traits_factory import TRAITS


def test_traits_come_back_as_they_were(tmp_path):
    place = tmp_path / "key" / "traits.npz"
    place.parent.mkdir()
    place.write_bytes(traits_bytes(TRAITS))
    found = read_traits(place)
    for name in ("features", "moments", "quantiles", "thumbnail", "logits"):
        assert np.array_equal(getattr(found, name), getattr(TRAITS, name))
    assert (found.header, found.values, found.label) == (TRAITS.header, TRAITS.values, "nodule")


def test_the_same_traits_make_the_same_bytes():
    assert traits_bytes(TRAITS) == traits_bytes(TRAITS)


@pytest.mark.parametrize("content", [b"", b"PK\3\4", traits_bytes(TRAITS)[:-30]])
def test_a_damaged_file_is_named_without_its_folder(tmp_path, content):
    place = tmp_path / "0123456789ab" / "traits.npz"
    place.parent.mkdir()
    place.write_bytes(content)
    with pytest.raises(StoreError, match=r"^0123456789ab/traits\.npz is missing or damaged"):
        read_traits(place)


def test_a_missing_file_is_an_error(tmp_path):
    with pytest.raises(StoreError):
        read_traits(tmp_path / "gone.npz")
