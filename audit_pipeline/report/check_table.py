"""Every check of a study in one dense table: what it found, its number and limit, and the figure that shows it."""

from __future__ import annotations

import re
from collections.abc import Sequence

from reportlab.lib.units import mm
from reportlab.platypus import CondPageBreak, Flowable, Paragraph

from audit_pipeline.findings import Finding, Outcome
from audit_pipeline.report import figure_numbers, fonts, links, marks, numbers, style, tables, text, vocabulary
from audit_pipeline.report.document import Heading
from audit_pipeline.report.evidence import Shown

HEAD = ("Outcome", "Code", "Check and finding [unit of its value]", "Value", "Limit", "From", "Fig.")
WIDTHS_MM = {"dense": (19.5, 8.0, 106.5, 13.5, 13.5, 9.5, 7.5), "tight": (18.0, 7.5, 111.5, 13.0, 12.5, 9.0, 6.5)}
LEAST_ROOM = 17 * mm
REFERENCE_SENTENCE = re.compile(r" Clean reference studies reach this with p = ([^ ]+)\.")
"""As `checks.decide` ends the message of a check with a p-value; on crowded pages it is the end of every other row."""

LIMIT_AGAIN = re.compile(r" \(limit -?[0-9][0-9.e+-]*(?: %)?\)")
LEAD_NOTE = "Explanation: of the map {map}, where no other is named."
REFERENCE_SHORT, REFERENCE_NOTE = r" (p = \1)", "p: share of the clean reference studies at least as extreme."
WORDS, LAST_NUMBER = 2, 5
"""Columns: where the words stand, and the last of those that a check without a number leaves to them."""


def story(shown: Shown) -> list[Flowable]:
    """Return the checks grouped by family, passes and not evaluable ones included."""
    findings, context = shown.record.findings, shown.context
    if not findings:
        return [
            tables.words("No check ran on this study.", "body"),
            tables.words(text.not_run(context.disabled_checks), "caption"),
        ]
    families: dict[str, list[Finding]] = {}
    for finding in sorted(findings, key=lambda one: one.code):
        families.setdefault(finding.family, []).append(finding)
    there = figure_numbers.numbered(shown)
    items: list[Flowable] = [tables.words(_notes(shown), "caption")]
    for name, members in families.items():
        heading = Heading(text.family(name), level=1)
        heading.keepWithNext = 0  # with it the whole table would move to the next page instead of going on there
        items += [CondPageBreak(LEAST_ROOM), heading, _table(members, shown, there)]
    return items


def _table(members: Sequence[Finding], shown: Shown, there: dict[str, int]) -> Flowable:
    rows: list[list[tables.Cell]] = []
    wide: dict[int, tuple[int, int]] = {}
    for group in _groups(members, is_merged=shown.is_tight):
        if not has_number(group[0]):
            wide[len(rows)] = (WORDS, LAST_NUMBER)
        if len(group) > 1:
            wide[len(rows)] = (WORDS - 1, LAST_NUMBER)
        rows.append(_row(group[0], shown, there) if len(group) == 1 else _merged(group, shown))
    return tables.table(HEAD, rows, WIDTHS_MM[_type(shown)], numeric=(3, 4), type_style=_type(shown), joined=wide)


def _groups(members: Sequence[Finding], *, is_merged: bool) -> list[list[Finding]]:
    """Return the findings one by one; where space is short, those not evaluable for the same reason together."""
    groups: dict[str, list[Finding]] = {}
    for one in members:
        is_open = is_merged and one.outcome is Outcome.NOT_EVALUABLE and not has_number(one)
        groups.setdefault(one.message if is_open else one.code, []).append(one)
    return list(groups.values())


def _merged(group: Sequence[Finding], shown: Shown) -> list[tables.Cell]:
    """Return one row for checks that were not evaluable for the same reason."""
    style_of = style.paragraph_style(_type(shown))
    named = fonts.bold("; ".join(f"{one.code} {text.cut(_title(one, shown), 200)}" for one in group))
    message = fonts.markup(text.cut(group[0].message or vocabulary.NO_MESSAGE, tables.LONGEST_CELL))
    mark = marks.MarkedWord(group[0].outcome, anchor=links.check(group[0].code), size=style_of.fontSize)
    others = links.Anchors([links.check(one.code) for one in group[1:]])
    return [mark, Paragraph(f"{named}. {message}", style_of), "", "", "", "", others]


def _title(finding: Finding, shown: Shown) -> str:
    mode = shown.context.failure_modes.get(finding.code)
    return finding.title or (mode.title if mode else "") or text.finding_title(finding)


def _type(shown: Shown) -> str:
    return "tight" if shown.is_tight else "dense"


def has_number(finding: Finding) -> bool:
    """Return whether a check measured something or had a limit."""
    return finding.value is not None or finding.limit is not None


def _message(finding: Finding, shown: Shown) -> str:
    """Return what a check says; where space is short, without what the row or the note below says as well.

    That is its sentence about the reference studies, of which p stays, its limit, and the map of the first method.
    """
    words = finding.message or vocabulary.NO_MESSAGE
    if not shown.is_tight:
        return words
    if finding.p_value is not None:
        words = REFERENCE_SENTENCE.sub(REFERENCE_SHORT, words)
    if finding.limit is not None:
        words = LIMIT_AGAIN.sub("", words)
    return text.capital(words.removeprefix(_lead(shown)))


def _lead(shown: Shown) -> str:
    """Return how the checks name the map of the first method, with which their messages begin."""
    return next((f"{text.method(facts.method)} for {facts.target_name}: " for facts in shown.record.explanations), "")


def _notes(shown: Shown) -> str:
    """Return what the columns mean, and on crowded pages what the rows leave out."""
    findings, short = shown.record.findings, []
    if shown.is_tight:
        lead = _lead(shown)
        short += [REFERENCE_NOTE] if any(one.p_value is not None for one in findings) else []
        short += [LEAD_NOTE.format(map=lead.removesuffix(": "))] if _is_led(findings, lead) else []
    return " ".join([vocabulary.LIMITS, *short, text.not_run(shown.context.disabled_checks)])


def _is_led(findings: Sequence[Finding], lead: str) -> bool:
    return bool(lead) and any(one.message.startswith(lead) for one in findings)


def _row(finding: Finding, shown: Shown, there: dict[str, int]) -> list[tables.Cell]:
    title = _title(finding, shown)
    message = fonts.markup(text.cut(_message(finding, shown), tables.LONGEST_CELL))
    is_named = not finding.unit or finding.unit in finding.message
    tail = [text.slices(finding.slices), "" if is_named else f"[{text.cut(finding.unit, 120)}]"]
    rest = " ".join(filter(None, tail))
    content = f"{fonts.bold(f'{text.cut(title, 200)}.')} {message}{fonts.markup(f' {rest}') if rest else ''}"
    figure = figure_numbers.figure_of(finding, shown, list(there))
    measured = [
        numbers.measured(finding.value),
        text.limit_words(finding),
        vocabulary.PROVENANCE_LETTERS.get(finding.provenance, finding.provenance) or numbers.MISSING,
    ]
    return [
        marks.MarkedWord(
            finding.outcome, anchor=links.check(finding.code), size=style.paragraph_style(_type(shown)).fontSize
        ),
        finding.code,
        Paragraph(content, style.paragraph_style(_type(shown))),
        *(measured if has_number(finding) else [numbers.MISSING] * len(measured)),
        links.LinkedWord(str(there[figure]), figure_numbers.anchor(figure)) if figure else numbers.MISSING,
    ]
