"""Labels are read by the rule of the task."""

import pytest

from audit_pipeline.conclusion import true_classes
from audit_pipeline.records import Task


@pytest.mark.parametrize(
    ("label", "task", "names", "present"),
    [
        ("A", Task.MULTICLASS, ("a", "b"), {"a"}),
        ("c", Task.MULTICLASS, ("a", "b"), None),
        ("nodule", Task.BINARY, ("nodule",), {"nodule"}),
        ("1", Task.BINARY, ("nodule",), {"nodule"}),
        ("0", Task.BINARY, ("nodule",), set()),
        ("normal", Task.BINARY, ("nodule",), set()),
        ("a|b", Task.MULTILABEL, ("a", "b"), {"a", "b"}),
        ("b; other", Task.MULTILABEL, ("a", "b"), {"b"}),
        ("normal", Task.MULTILABEL, ("a", "b"), set()),
    ],
)
def test_labels_are_understood_by_task(label, task, names, present):
    assert true_classes(label, names, task) == (None if present is None else frozenset(present))
