"""The report of an audit: the answer on page one, then the chapters that prove it, from one list for PDF and page."""

from __future__ import annotations

import gc
from collections.abc import Mapping, Sequence
from dataclasses import replace

from reportlab.lib.units import mm
from reportlab.platypus import CondPageBreak, Flowable, Spacer

from audit_pipeline.records import Panel
from audit_pipeline.report import (
    audit_cases,
    audit_flow,
    audit_front,
    audit_index,
    audit_limitations,
    audit_plan,
    audit_statistics,
    audit_studies,
    chai,
    chapters,
    conformity_pages,
    contact_sheet,
    fonts,
    frontage,
)
from audit_pipeline.report.audit_facts import AuditFacts, Summary
from audit_pipeline.report.conformity import Material
from audit_pipeline.report.context import ReportContext
from audit_pipeline.report.document import Heading, drawn, finished
from audit_pipeline.study_record import StudyRecord

BEFORE_CASES = (
    "reference_standard", "discrimination", "conclusions", "calibration", "decision_curve", "subgroups", "robustness",
    "drift", "shortcuts", "strata", "explanations",
)  # fmt: skip
AFTER_CASES = ("detectors", "independence", "cohort_checks", "fmea")
"""Chapters of statistics before and after the error review."""


def render_audit(
    records: Sequence[StudyRecord],
    summary: Summary,
    thumbnails: Mapping[str, Panel],
    context: ReportContext,
    attached: Mapping[str, bytes] | None = None,
    facts: AuditFacts | None = None,
) -> bytes:
    """Return the PDF of a whole audit, drawn from stored records and the cohort summary alone.

    Parameters
    ----------
    records : every study, worst first
    summary : the content of ``cohort.json``; a missing part is printed as not evaluable
    thumbnails : study key -> the slice shown beside the study, see `contact_sheet.reduced`
    context : facts of the run
    attached : name -> content of the files the report carries, see `archive.KINDS`
    facts : what else is known of the run

    Raises
    ------
    ReportError
        Anatomy and map of a thumbnail do not lie on the same pixels.
    """
    fonts.register()
    front = frontage.of_audit(records, context)
    known = facts or AuditFacts()
    carried = replace(front, attached=attached or {}, keys=chai.keys(records, summary, context, known))
    pages = drawn(story(records, summary, thumbnails, context, known), carried)
    gc.collect()  # what drew the pages refers to itself in circles, and would stay beside the finished file
    return finished(pages, carried)


def story(
    records: Sequence[StudyRecord],
    summary: Summary,
    thumbnails: Mapping[str, Panel],
    context: ReportContext,
    facts: AuditFacts,
) -> list[Flowable]:
    """Return the flowables of the report; parameters as in `render_audit`."""
    material = Material(records=records, summary=summary, context=context, facts=facts)
    return [
        *audit_front.first_page(records, summary, context),
        *audit_plan.chapter(records, summary, context, facts),
        *audit_flow.chapter(summary),
        *audit_studies.characteristics(summary),
        *_statistics(BEFORE_CASES, summary, context),
        *audit_index.layers(records),
        *audit_cases.chapter(records, summary, thumbnails, context, facts),
        *audit_index.checks(summary, context),
        *_statistics(AFTER_CASES, summary, context),
        *audit_limitations.chapter(records, summary, context, facts),
        *conformity_pages.chapter(material),
        *contact_sheet.chapter(records, summary, thumbnails, context),
        *audit_index.index(records, context, facts),
        *audit_index.provenance(records, context, facts),
    ]


def _statistics(names: Sequence[str], summary: Summary, context: ReportContext) -> list[Flowable]:
    """Return chapters of statistics, each with the look and the anchor of the other chapters."""
    return [part for name in names for part in _placed(name, audit_statistics.CHAPTERS[name](summary, context))]


def _placed(name: str, parts: Sequence[Flowable]) -> list[Flowable]:
    first, *others = parts
    heading = Heading(first.words, "title", anchor=chapters.anchor(name))
    return [CondPageBreak(chapters.LEAST_ROOM), Spacer(1, 4 * mm), heading, *others]
