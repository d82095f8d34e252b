"""The labels file."""

from __future__ import annotations

import pytest

from audit_pipeline.errors import ConfigError
from audit_pipeline.load import read_labels


@pytest.fixture
def labels(tmp_path):
    def write(text, encoding="utf-8"):
        path = tmp_path / "labels.csv"
        path.write_text(text, encoding=encoding)
        return path

    return write


def test_rows_are_found_by_study_with_all_their_columns(labels):
    rows = read_labels(labels("\ufeffstudy,label,site\na/b, nodule ,Köln\nc,clear,\n"))
    assert dict(rows["a/b"]) == {"study": "a/b", "label": "nodule", "site": "Köln"}
    assert rows["c"]["site"] == ""
    assert list(rows) == ["a/b", "c"]


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("study,site\na,b\n", "missing: label"),
        ("", "missing: study, label"),
        ("study,label\na,x\na,y\n", "line 3 .* second time"),
        ("study,label\n,x\n", "line 2 .* names no study"),
        ("study,label\na,x,y\n", "line 2 .* 2 columns"),
        ("study,label\na\n", "line 2 .* 2 columns"),
        ('study,label\n"a,x\n', "UTF-8 CSV"),
    ],
)
def test_a_labels_file_that_leaves_a_question_is_refused(text, match, labels):
    with pytest.raises(ConfigError, match=match):
        read_labels(labels(text))


def test_a_missing_or_foreign_file_is_refused(labels, tmp_path):
    with pytest.raises(ConfigError, match="UTF-8"):
        read_labels(tmp_path / "absent.csv")
    with pytest.raises(ConfigError, match="UTF-8"):
        read_labels(labels("study,label\nä,x\n", "latin-1"))
