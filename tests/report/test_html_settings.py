"""What ``report.html`` asks for, and what becomes of it when a run is closed or rendered again."""

from __future__ import annotations

from dataclasses import replace

import pytest
from report_cases import context, refused_record

from audit_pipeline.config import AuditConfig, ReportSection, read_config
from audit_pipeline.errors import ConfigError
from audit_pipeline.findings import Outcome
from audit_pipeline.rendering import render
from audit_pipeline.report import render_study_html
from audit_pipeline.store.files import sha256
from audit_pipeline.store.record_file import timeless_bytes


def quiet(record):
    return replace(record, findings=tuple(one for one in record.findings if one.outcome is Outcome.PASS))


@pytest.mark.parametrize(
    ("html", "of_raised", "of_quiet"), [("all", True, True), ("flagged", True, False), ("none", False, False)]
)
def test_pages_are_made_as_asked_beside_or_without_a_pdf(volume, html, of_raised, of_quiet):
    asked = context(settings=ReportSection(pdf="none", html=html))
    for record, wanted in ((volume[0], of_raised), (quiet(volume[0]), of_quiet)):
        files = render(record, volume[1], asked, frozenset())
        assert set(files) == ({"report.html"} if wanted else set())


def test_a_study_without_a_verdict_counts_as_raised():
    asked = context(settings=ReportSection(pdf="none", html="flagged"))
    assert set(render(refused_record(), (), asked, frozenset())) == {"report.html"}


def test_the_page_of_a_run_is_the_one_of_its_record(volume):
    asked = context(settings=ReportSection(pdf="none"))
    digest = sha256(timeless_bytes(volume[0]))
    assert render(*volume, asked, frozenset())["report.html"] == render_study_html(*volume, asked, digest=digest)


def test_pages_are_made_for_every_study_unless_something_else_is_asked_for():
    assert AuditConfig(model={"card": {}}).report.html == "all"
    with pytest.raises(ConfigError, match=r"report\.html"):
        read_config({"model": {"card": {}}, "report": {"html": "some"}})
