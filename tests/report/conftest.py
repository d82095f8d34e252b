"""Cases shared by the report tests; rendered once because records and panels are frozen."""

from __future__ import annotations

import pytest
import report_cases

from audit_pipeline.report import render_study


@pytest.fixture(scope="session")
def volume():
    return report_cases.volume_case()


@pytest.fixture(scope="session")
def volume_pdf(volume):
    return render_study(*volume, report_cases.context())


@pytest.fixture(scope="session")
def radiograph():
    return report_cases.radiograph_case()


@pytest.fixture(scope="session")
def radiograph_pdf(radiograph):
    return render_study(*radiograph, report_cases.context())
