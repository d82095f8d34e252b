"""What the audit report needs beside records, summary and thumbnails."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from audit_pipeline.records import Panel

Summary = Mapping[str, Any]
"""The content of ``cohort.json``; a missing part is told as not evaluable."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AuditFacts:
    """Facts of the run that only the report of the whole audit tells.

    Attributes
    ----------
    card : of the model card, what `run.json` keeps: ``thresholds_from``, ``allowed``, ``development``
    cases : study -> its key slice at its own size, for the case cards; else the thumbnail is shown
    digests : study -> SHA-256 of its record as the report of the study carries it
    files : name of an attached file -> SHA-256; "records" stands for the lines of `digests`, sorted
    code : SHA-256 of the code that audited
    """

    card: Mapping[str, Any] = field(default_factory=dict)
    cases: Mapping[str, Panel] = field(default_factory=dict)
    digests: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    code: str = ""


def studies(summary: Summary, kind: str) -> frozenset[str]:
    """Return the analysed studies whose conclusion is ``wrong`` or ``right`` against the label."""
    return frozenset((summary.get("conclusions") or {}).get(kind) or ())
