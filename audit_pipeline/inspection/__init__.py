"""What ``inspect`` shows: how every file and image would be taken, without running a model."""

from audit_pipeline.inspection.facts import inspect_paths, is_complete
from audit_pipeline.inspection.page import NARROWEST, page
from audit_pipeline.inspection.plain import inspection_text

__all__ = ["NARROWEST", "inspect_paths", "inspection_text", "is_complete", "page"]
