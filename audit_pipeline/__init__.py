"""Audits of medical imaging classifiers: may this prediction be trusted, and if not, what is wrong?

The public names are loaded on first use, so that importing the package costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from audit_pipeline.execute.closing import AuditResult as AuditResult
    from audit_pipeline.execute.local import run_audit as run_audit
    from audit_pipeline.explain.engine import Maps as Maps
    from audit_pipeline.explain.engine import explain_batch as explain_batch
    from audit_pipeline.findings import Finding as Finding
    from audit_pipeline.load import load_study as load_study
    from audit_pipeline.records import Image as Image
    from audit_pipeline.records import Study as Study

_HOMES = {
    "AuditResult": "audit_pipeline.execute.closing",
    "run_audit": "audit_pipeline.execute.local",
    "Maps": "audit_pipeline.explain.engine",
    "explain_batch": "audit_pipeline.explain.engine",
    "load_study": "audit_pipeline.load",
    "Finding": "audit_pipeline.findings",
    "Image": "audit_pipeline.records",
    "Study": "audit_pipeline.records",
}

__all__ = [*_HOMES, "errors", "records"]  # noqa: PLE0604 - names, spelled once above


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    if name in {"errors", "records"}:
        return importlib.import_module(f"audit_pipeline.{name}")
    raise AttributeError(f"module 'audit_pipeline' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
