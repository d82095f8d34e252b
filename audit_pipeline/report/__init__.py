"""Stage 6, report: stored facts drawn as PDF and as pages for a browser. Nothing here computes a result."""

from audit_pipeline.report.aside import Aside, PanelsAside
from audit_pipeline.report.audit_cases import cases
from audit_pipeline.report.audit_facts import AuditFacts
from audit_pipeline.report.audit_pdf import render_audit
from audit_pipeline.report.contact_sheet import reduced, with_first_map
from audit_pipeline.report.context import ReportContext
from audit_pipeline.report.html_audit import render_audit_html
from audit_pipeline.report.html_explanation import Explained, Subject, render_explanation_html
from audit_pipeline.report.html_study import render_study_html
from audit_pipeline.report.pictures import overlay_pictures
from audit_pipeline.report.study_pdf import render_study

__all__ = [
    "Aside",
    "AuditFacts",
    "Explained",
    "PanelsAside",
    "ReportContext",
    "Subject",
    "cases",
    "overlay_pictures",
    "reduced",
    "render_audit",
    "render_audit_html",
    "render_explanation_html",
    "render_study",
    "render_study_html",
    "with_first_map",
]
