"""Page one of a study: the answer."""

from __future__ import annotations

import re
from collections.abc import Mapping

from reportlab.lib.units import mm
from reportlab.platypus import Flowable, KeepInFrame, Paragraph, Spacer

from audit_pipeline.conclusion import BETWEEN_LABELS, true_classes
from audit_pipeline.findings import Finding, Outcome
from audit_pipeline.records import Task
from audit_pipeline.report import (
    answers,
    captions,
    charts,
    fonts,
    glance,
    input_facts,
    layout,
    links,
    map_words,
    marks,
    numbers,
    review,
    style,
    tables,
    text,
    vocabulary,
)
from audit_pipeline.report.context import ReportContext
from audit_pipeline.report.document import Heading
from audit_pipeline.report.evidence import Shown
from audit_pipeline.report.figures import EDGE, ColourBar, Picture, furniture, scale_for
from audit_pipeline.study_record import PredictionFacts, StudyRecord
from audit_pipeline.wording import counted

MOST_FINDINGS = 5
NOTHING_RAISED = "No check ended in flag, critical or error."
MAP_FAMILY = "D"
KEY_HEIGHT, LEAST_KEY_HEIGHT, KEY_CAPTION = 88 * mm, 50 * mm, 48 * mm
LONGEST_MESSAGE, LONGEST_ADVICE = 260, 180
CLAUSE_END = re.compile(r"[.;,] ")


def story(shown: Shown) -> list[Flowable]:
    """Return the flowables of page one."""
    width, height = layout.content_size(shown.context.settings.paper)
    title = titles(shown.record, shown.context)
    room = height - review.RESERVED - layout.stack_height(title, width) - 4 * mm
    return [*title, KeepInFrame(width, room, [columns(shown, room)], mode="shrink")]


def columns(shown: Shown, room: float = layout.UNLIMITED) -> layout.Columns:
    """Return picture and bars beside verdicts and findings, as many of them as `room` in points holds."""
    width = layout.content_size(shown.context.settings.paper)[0]
    left_width = width * 2 / 3 - 2 * mm
    right_width = width - left_width - 6 * mm
    stacks = [_left(shown, left_width, room), _right(shown, right_width, room)]
    return layout.Columns(stacks, [left_width, right_width], 6 * mm)


def titles(record: StudyRecord, context: ReportContext) -> list[Flowable]:
    """Return the title of a study's first page and the lines below it; in the clinical profile, who was examined."""
    use = f" Intended use: {context.intended_use}" if context.intended_use else ""
    told = f"Audit: {context.audit_name}.{use}"
    return [
        Heading(f"Study {record.study}", "title"),
        Paragraph(fonts.markup(text.cut(told, 320)), style.paragraph_style("caption")),
        *_patient(context.identities.get(record.study, {})),
        Spacer(1, 3 * mm),
    ]


def _patient(identity: Mapping[str, str]) -> list[Flowable]:
    told = [f"{vocabulary.IDENTITY_WORDS[name]}: {text.cut(value, 120)}" for name, value in identity.items() if value]
    return [Paragraph(fonts.markup("; ".join(told)), style.paragraph_style("body"))] if told else []


def _right(shown: Shown, width: float, room: float) -> list[Flowable]:
    record = shown.record
    items = [*_conclusion(record), *_lamps(record), *_counts(record)]
    items.append(Heading("What matters most", level=1))
    groups = [_finding(finding) for finding in most_important(record.findings)]
    raised = sum(finding.outcome in vocabulary.MATTERING for finding in record.findings)
    remarks = sum(finding.outcome is Outcome.NOTE for finding in record.findings)
    if not raised:
        items.append(tables.words(NOTHING_RAISED + (" Remarks:" if groups else ""), "body"))
    left = room - layout.stack_height(items, width) - 8 * mm
    kept = layout.fitting(groups, width, left)
    rest = text.more_findings(max(0, raised - kept), remarks - max(0, kept - raised))
    tail = [tables.words(rest, "caption")] if rest else []
    return [*items, *(item for group in groups[:kept] for item in group), *tail]


def most_important(findings: tuple[Finding, ...]) -> list[Finding]:
    """Return up to five findings: critical, then error, then flag, then note, each in the order of the record."""
    told = (*vocabulary.MATTERING, Outcome.NOTE)
    ranked = [finding for outcome in told for finding in findings if finding.outcome is outcome]
    return ranked[:MOST_FINDINGS]


def _conclusion(record: StudyRecord) -> list[Flowable]:
    if record.prediction is None:
        return [tables.words("No prediction was recorded.", "body")]
    headline, sentences = text.conclusion(record.prediction)
    items: list[Flowable] = [
        tables.words("Predicted classes" if len(record.prediction.predicted) > 1 else "Predicted class", "caption"),
        tables.words(text.cut(headline, 120), "verdict"),
        *(tables.words(sentence, "body") for sentence in sentences),
        *(tables.words(words, "caption") for words in [answers.range_sentence(record)] if words),
    ]
    if record.label is not None:
        items.append(tables.words(_label(record.label, record.prediction), "body"))
    return items


def _label(label: str, prediction: PredictionFacts) -> str:
    """Return the label, and whether the conclusion agrees with it."""
    task = Task(prediction.task)
    present = true_classes(label, prediction.probabilities, task)
    words = BETWEEN_LABELS.sub(", ", label) if task is Task.MULTILABEL else label
    told = f"Reference label: {text.cut(words, 120)}."
    if present is None:
        return f"{told} It names no class of the model."
    agrees = present == frozenset(prediction.predicted)
    return f"{told} The conclusion {'agrees with' if agrees else 'differs from'} it."


def _lamps(record: StudyRecord) -> list[Flowable]:
    verdict = record.verdict
    if verdict is None:
        return [tables.words("No verdict was recorded; this is not a pass.", "body")]
    items: list[Flowable] = []
    for subject, outcome, code in (
        ("prediction", verdict.prediction, verdict.prediction_code),
        ("explanation", verdict.explanation, verdict.explanation_code),
    ):
        words = fonts.bold(text.capital(subject)) + fonts.markup(f": {text.verdict(outcome, code)}")
        items += [
            Spacer(1, 1.2 * mm),
            layout.MarkedParagraph(outcome, Paragraph(words, style.paragraph_style("body"))),
            tables.words(text.verdict_meaning(subject, outcome, _open(record, subject)), "caption"),
        ]
    return items


def _open(record: StudyRecord, subject: str) -> int:
    """Return how many checks of a verdict could not be evaluated."""
    is_about_maps = subject == "explanation"
    return sum(
        one.outcome is Outcome.NOT_EVALUABLE and (one.family == MAP_FAMILY) is is_about_maps for one in record.findings
    )


def _counts(record: StudyRecord) -> list[Flowable]:
    cells: list[list[Flowable]] = [[], []]
    for place, (outcome, count) in enumerate(text.outcome_counts(record.findings)):
        cells[place % 2].append(marks.MarkedWord(outcome, str(count)))
    return [Heading(f"{counted(len(record.findings), 'check')}", level=1), layout.columns_mm(cells, (26, 26), 1)]


def _finding(finding: Finding) -> list[Flowable]:
    """Return what a finding says; the title of a note, which asserts nothing, is a question."""
    asked = "?" if finding.outcome is Outcome.NOTE else ""
    words = text.cut(f"{finding.code}  {text.finding_title(finding)}", 90)
    title = Paragraph(fonts.bold(f"{words}{asked}"), style.paragraph_style("table"))
    items: list[Flowable] = [
        layout.MarkedParagraph(finding.outcome, title, links.check(finding.code)),
        tables.words(_short(text.finding_sentence(finding), LONGEST_MESSAGE), "table"),
    ]
    if finding.advice and finding.outcome is not Outcome.NOTE:
        items.append(tables.words(_short(f"Advice: {finding.advice}", LONGEST_ADVICE), "caption"))
    return [*items, Spacer(1, 1.6 * mm)]


def _short(words: str, limit: int) -> str:
    """Return at most `limit` characters, whole clauses or at least whole words; what is missing is said.

    >>> _short("One clause; another clause.", 20), _short("A clause without an end", 10)
    ('One clause; \u2026 (whole in the table of checks)', 'A clause \u2026 (whole in the table of checks)')
    """
    if len(words) <= limit:
        return words
    kept = words[: limit + 1]
    ends = [found.end() for found in CLAUSE_END.finditer(kept) if found.end() >= limit / 2]
    kept = kept[: ends[-1] if ends else kept.rfind(" ")]
    return f"{kept.rstrip()} \u2026 (whole in the table of checks)"


def _left(shown: Shown, width: float, room: float) -> list[Flowable]:
    bars = _bars(shown.record, width)
    tallest = min(KEY_HEIGHT, max(LEAST_KEY_HEIGHT, room - layout.stack_height(bars, width) - KEY_CAPTION))
    items = [*key_pair(shown, width, tallest), *bars]
    for more in (_sentence(shown.record), glance.story(shown.record.findings, width), _brief(shown.record, width)):
        if more and layout.stack_height([*items, *more], width) <= room:
            items += more
    return items


def key_pair(shown: Shown, width: float, tallest: float) -> list[Flowable]:
    """Return the key slice, raw and with the map of the first method, with colour bar and caption."""
    panel = shown.key
    if panel is None:
        return [tables.words("No image of this study was stored, so none is shown.", "body")]
    methods = shown.methods(panel)
    half = (width - 2 * mm) / 2
    scale = scale_for([panel], half - 2 * EDGE, tallest)
    layer = shown.layer(panel, methods[0]) if methods else None
    strip = furniture(layer, scale)
    pictures: list[list[Flowable]] = [[Picture(panel, scale, shown.look, strip=strip)]]
    notes = [captions.place(shown, panel)]
    if layer is not None:
        bar = ColourBar(half, layer, shown.look, captions.colour_bar(shown, panel, layer.method))
        pictures.append([Picture(panel, scale, shown.look, layer, strip), bar])
        notes += [words(shown, panel, layer.method) for words in (captions.peak, captions.faint, captions.cell)]
        notes += [captions.scale(shown, panel, [layer.method])]
        notes += [captions.CONTOURS] if layer.contours else []
    pictures[0].append(tables.words(" ".join(filter(None, [*notes, text.convention([panel])])), "caption"))
    return [layout.Columns(pictures, [half] * len(pictures), 2 * mm)]


def _bars(record: StudyRecord, width: float) -> list[Flowable]:
    if record.prediction is None or not record.prediction.probabilities:
        return []
    bars = charts.ClassBars(record.prediction, width)
    heading = "Probability of every class" if not bars.left_out else "Probability of the leading classes"
    note = "Tick: threshold. Bold: concluded."
    if bars.left_out:
        note += f" {counted(bars.left_out, 'further class', 'further classes')}: see the table of classes."
    return [Heading(heading, level=1), bars, tables.words(note, "caption")]


def _sentence(record: StudyRecord) -> list[Flowable]:
    if not record.explanations:
        return []
    first = record.explanations[0]
    words = [map_words.map_sentence(first, record.image.affine if record.image else None)]
    verdict = record.verdict
    if verdict is not None and verdict.explanation in vocabulary.MATTERING:
        raised = text.verdict(verdict.explanation, verdict.explanation_code)
        words.append(f"The explanation is {raised}: this place is no safe evidence.")
    others = [one.target_name for one in record.explanations if one.method == first.method][1:]
    if others:
        named = text.listed([text.cut(name, text.LONGEST_NAME) for name in others], 3)
        words.append(f"Maps of other classes, judged one by one, follow in the chapter on evidence: {named}.")
    return [Heading("Where the evidence lies", level=1), tables.words(" ".join(words), "body")]


def _brief(record: StudyRecord, width: float) -> list[Flowable]:
    image = record.image
    if image is None:
        return []
    fed = input_facts.fed_shape(image)
    voxels = numbers.sizes(fed, input_facts.elements(fed))
    kind = ", ".join(filter(None, [image.modality or input_facts.file_format(image.format), *input_facts.view(image)]))
    rows = [
        ("Image", f"{kind}, {numbers.sizes(image.shape, input_facts.elements(image.shape))}, in {image.unit}"),
        ("Spacing", numbers.sizes(image.spacing_mm)),
        ("Model input", f"{voxels}, {numbers.sizes(image.input_spacing_mm)}"),
        ("Files", input_facts.dispositions(record.files)),
    ]
    return [Heading("What went in", level=1), tables.pairs(rows, (24, width / mm - 24))]
