"""Where a study lies among clean reference studies: a gauge for each measure that has a reference."""

from __future__ import annotations

from collections.abc import Sequence

from reportlab.lib.units import mm
from reportlab.platypus import Flowable

from audit_pipeline.findings import STANDING_QUANTILES, Finding, Standing
from audit_pipeline.report import drawing, links, numbers, tables, text
from audit_pipeline.report.drawing import chart, line
from audit_pipeline.report.plots import Plot, Shape
from audit_pipeline.wording import counted

HEAD = ("Code", "Measure", "Study", "5 %", "Median", "95 %", "Place", "p", "Studies")
WIDTHS_MM = (8.0, 58.0, 14.0, 14.0, 14.0, 14.0, 33.0, 12.0, 11.0)
MOST = 12
LEAST_STUDIES = 20
"""Below this many reference studies their 5 % and 95 % quantiles say nothing; the range is drawn alone."""

HEIGHT = 3.2 * mm
NOTE = (
    "Triangle: the study. Bar: the middle half of the reference studies, tick: their median, line: 5 % to 95 %, "
    "faint line: all. p: share of studies at least as extreme, the study itself counted. Each gauge has its own scale."
)
FEW = f"Quantiles of fewer than {LEAST_STUDIES} studies are not printed."
NONE = (
    "Gauges: not drawn. There are no clean reference studies with these measures; \u201caudit-pipeline calibrate\u201d "
    "makes a reference."
)


def gauged(findings: Sequence[Finding]) -> list[Finding]:
    """Return the findings with a place among reference studies: family B, then the most unusual, `MOST` in all."""
    placed = [one for one in findings if one.standing is not None and one.value is not None]
    ranked = sorted(
        placed, key=lambda one: (one.family != "B", one.standing.p_value if one.standing else 1.0, one.code)
    )
    return sorted(ranked[:MOST], key=lambda one: one.code)


def story(findings: Sequence[Finding], type_style: str = "dense") -> list[Flowable]:
    """Return the table of gauges, or one line that says why there is none."""
    shown = gauged(findings)
    if not shown:
        return [tables.words(NONE, "caption")]
    rows = [_row(one, one.standing) for one in shown if one.standing is not None]
    placed = sum(one.standing is not None for one in findings)
    rest = placed - len(shown)
    notes = [NOTE] + ([FEW] if any(one.standing and one.standing.studies < LEAST_STUDIES for one in shown) else [])
    notes += [f"{counted(rest, 'more measure')} that lie closer to the reference: see the record."] if rest else []
    table = tables.table(HEAD, rows, WIDTHS_MM, numeric=(2, 3, 4, 5, 7, 8), type_style=type_style)
    return [table, tables.words(" ".join(notes), "caption")]


def _row(finding: Finding, standing: Standing) -> list[tables.Cell]:
    _, low, _, middle, _, high, _ = standing.quantiles
    is_many = standing.studies >= LEAST_STUDIES
    title = text.finding_title(finding) + (f", {finding.unit}" if finding.unit else "")
    return [
        links.LinkedWord(finding.code, links.check(finding.code)),
        title,
        numbers.number(finding.value),
        numbers.number(low) if is_many else "",
        numbers.number(middle),
        numbers.number(high) if is_many else "",
        gauge(finding.value or 0.0, standing, (WIDTHS_MM[6] - 4) * mm),
        numbers.number(standing.p_value, 2),
        str(standing.studies),
    ]


def gauge(value: float, standing: Standing, width: float) -> Plot:
    """Return the gauge of a value: its place and the quantiles of the reference on one scale."""
    first, low, quarter, middle, three, high, last = standing.quantiles
    least, most = min(value, first), max(value, last)
    span = (most - least) or 1.0

    def across(one: float) -> float:
        return 2 + (one - least) / span * (width - 4)

    base = HEIGHT * 0.62
    marks: list[Shape] = [line((across(first), base), (across(last), base), colour="rule", width=0.4)]
    if standing.studies >= LEAST_STUDIES:
        marks.append(line((across(low), base), (across(high), base), colour="ink", width=0.9))
        marks.append(drawing.box(across(quarter), base - 1.7, across(three) - across(quarter), 3.4, "pale"))
    marks.append(line((across(middle), base - 2.4), (across(middle), base + 2.4), colour="ink", width=0.9))
    marks.append(drawing.triangle((across(value), base - 0.6), 4.2))
    where = ", ".join(numbers.number(one) for one in standing.quantiles)
    shares = ", ".join(f"{numbers.short(100 * share)} %" for share in STANDING_QUANTILES)
    said = f"Study at {numbers.number(value)}; reference at {shares}: {where}."
    return chart((width, HEIGHT), marks, said)
