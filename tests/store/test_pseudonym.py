"""Pseudonyms: stable under one site key, unlinkable without it."""

from __future__ import annotations

import stat

import pytest

from audit_pipeline.errors import StoreError
from audit_pipeline.store.pseudonym import ENVIRONMENT, site_key, study_key


def test_the_key_is_twelve_hex_digits_and_depends_on_both_parts():
    key = study_key("dicom|A|P1|1.2.3", b"secret")
    assert len(key) == 12
    assert int(key, 16) >= 0
    assert key == study_key("dicom|A|P1|1.2.3", b"secret")
    assert key != study_key("dicom|A|P2|1.2.3", b"secret")
    assert key != study_key("dicom|A|P1|1.2.3", b"other")


def test_a_named_file_wins_over_the_environment(tmp_path):
    place = tmp_path / "site.key"
    place.write_text("from the file\n")
    assert site_key(place) == b"from the file"
    assert site_key(None) == b"a site key for tests"


def test_the_users_own_key_is_made_once_and_private(tmp_path, monkeypatch):
    monkeypatch.delenv(ENVIRONMENT)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    first = site_key(None)
    assert len(first) == 64
    assert site_key(None) == first
    assert stat.S_IMODE((tmp_path / "audit_pipeline/site.key").stat().st_mode) == 0o600


def test_an_empty_or_missing_named_key_is_an_error(tmp_path):
    place = tmp_path / "site.key"
    with pytest.raises(StoreError, match="cannot be read"):
        site_key(place)
    place.write_text("  \n")
    with pytest.raises(StoreError, match="is empty"):
        site_key(place)
