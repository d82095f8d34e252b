"""Measure the report of one study: ``python -m tests.bench.report_cost``, one core, a volume with every section.

Prints seconds of one core, megabytes and pages of the PDF, and seconds and megabytes of its HTML twin. With the path
of a run folder it measures the stored studies of that run instead of a phantom.
"""

from __future__ import annotations

import io
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pypdf

sys.path.insert(0, str(Path(__file__).parents[1] / "report"))

import answer_cases

from audit_pipeline.checks import catalogue
from audit_pipeline.findings import Outcome
from audit_pipeline.report import render_study, render_study_html
from audit_pipeline.report.context import ReportContext
from audit_pipeline.store.figures import read_figures
from audit_pipeline.store.record_file import read_record, timeless_bytes

ROUNDS = 5
LIMIT_S, LIMIT_MB = 1.0, 3.0


def full_case():
    """The phantom volume with as many checks as the catalogue holds, each with a message of usual length."""
    record, panels = answer_cases.answered_case()
    known = {one.code for one in record.findings}
    template = record.findings[0]
    more = tuple(
        answer_cases.replace(
            template, code=entry.mode.code, name=name, title=entry.mode.title, family=entry.mode.family,
            outcome=Outcome.PASS, message=f"{entry.mode.sentence} It measures 0.123 (limit 0.456).", value=0.123,
            limit=0.456, unit="share of evidence",
        )
        for name, entry in catalogue().items()
        if entry.mode.code not in known
    )  # fmt: skip
    return answer_cases.replace(record, findings=(*record.findings, *more)), panels


def stored_cases(run: Path):
    """Every study of a run folder that has pictures."""
    for place in sorted(run.glob("studies/*/figures.npz")):
        yield read_record(place.parent / "record.json"), read_figures(place)


def seconds(render: Callable[[], bytes]) -> tuple[float, bytes]:
    """Return the median seconds of one core over `ROUNDS`, after one that fills caches, and what was rendered."""
    content, taken = render(), []
    for _ in range(ROUNDS):
        start = time.process_time()
        content = render()
        taken.append(time.process_time() - start)
    return statistics.median(taken), content


def main(arguments: list[str]) -> None:
    """Print one line per study."""
    modes = {entry.mode.code: entry.mode for entry in catalogue().values()}
    given = ReportContext(run="0123456789ab", audit_name="Cost of a report", failure_modes=modes)
    cases = stored_cases(Path(arguments[0])) if arguments else [full_case()]
    for record, panels in cases:
        attached = {"record.json": timeless_bytes(record)}
        pdf_s, pdf = seconds(lambda: render_study(record, panels, given, attached))  # noqa: B023 - called at once
        html_s, html = seconds(lambda: render_study_html(record, panels, given))  # noqa: B023 - called at once
        pages = len(pypdf.PdfReader(io.BytesIO(pdf)).pages)
        print(  # noqa: T201 - it is its purpose
            f"{record.study}: PDF {pdf_s:.2f} s (limit {LIMIT_S}), {len(pdf) / 1e6:.2f} MB (limit {LIMIT_MB}), "
            f"{pages} pages; HTML {html_s:.2f} s, {len(html) / 1e6:.2f} MB"
        )


if __name__ == "__main__":
    main(sys.argv[1:])
