"""The prediction in detail: every class, what changed inputs do to it, and where the study lies among clean ones."""

from __future__ import annotations

from reportlab.lib.units import mm
from reportlab.platypus import CondPageBreak, Flowable, KeepTogether, Spacer

from audit_pipeline.records import Task
from audit_pipeline.report import (
    answer_charts,
    answers,
    class_table,
    figure_numbers,
    gauges,
    layout,
    numbers,
    part_scores,
    tables,
    text,
)
from audit_pipeline.report.document import Heading
from audit_pipeline.report.evidence import Shown
from audit_pipeline.study_record import AnswerFacts, PredictionFacts

TITLE = "Prediction in detail"
LEAST_ROOM = 40 * mm
LADDER_COLUMNS, TIGHT_COLUMNS, LADDER_GAP = 4, 7, 3 * mm

TIGHT_LADDER = 26 * mm

STRIP_NOTE = "Dot: one harmless change; ring: one that turns the decision; heavy tick: the unchanged image{dashed}."
STRIP_OF_ALL = "The decision is that on all classes together: a ring stands in every row, whichever class turned."
DASHED = "; dashed: threshold"
LADDER_NOTE = (
    "Probability p of {name}, 0 to 1, against the amount x of each change; heavy tick: the unchanged image; ring: the "
    "decision turns{dashed}. A line joins the answers where each amount was asked once."
)
PANEL_HEAD = ("What was changed", "0 to 1", "Probability", "Change", "Decision")
PANEL_MM = (92.0, 30.0, 17.0, 14.0, 25.0)
PANEL_NOTE = (
    "Probability of {name}. A model that needs the patient answers otherwise without the body; one that answers the "
    "same reads something else."
)
UNCHANGED = "The image as it is."


def story(shown: Shown) -> list[Flowable]:
    """Return the flowables of the section; one line where no prediction was recorded."""
    record = shown.record
    title = Heading(TITLE, "title")
    prediction = record.prediction
    if prediction is None or not prediction.probabilities:
        return [CondPageBreak(LEAST_ROOM), title, tables.words("No prediction was recorded.", "body")]
    width = layout.content_size(shown.context.settings.paper)[0]
    heading = figure_numbers.title(shown, "classes", "Every class")
    if class_table.is_long(prediction):  # a table that is kept with its heading cannot go on over the page
        title.keepWithNext = heading.keepWithNext = 0
    return [
        CondPageBreak(LEAST_ROOM),
        Spacer(1, 4 * mm),
        title,
        heading,
        *class_table.story(prediction),
        *part_scores.story(record, shown.context, lambda words: figure_numbers.title(shown, "parts", words)),
        *_strip(shown, width),
        *_ladder(shown, prediction, width),
        *_panel(shown, prediction),
        figure_numbers.title(shown, "gauges", "The study among clean reference studies"),
        *gauges.story(record.findings, "tight" if shown.is_tight else "dense"),
    ]


def _strip(shown: Shown, width: float) -> list[Flowable]:
    record = shown.record
    heading = figure_numbers.title(shown, "strip", "The same image under harmless changes")
    chart = answer_charts.strip(record, width)
    if chart is None:
        return [heading, tables.words(answers.reason(record, "harmless", "Harmless changes"), "caption")]
    of_all = f" {STRIP_OF_ALL}" if record.prediction and record.prediction.task == Task.MULTILABEL else ""
    dashed = DASHED if record.prediction and record.prediction.thresholds else ""
    words = f"{answers.strip_sentence(record)} {STRIP_NOTE.format(dashed=dashed)}{of_all}"
    return [KeepTogether([heading, chart, tables.words(words, "caption")])]


def _ladder(shown: Shown, prediction: PredictionFacts, width: float) -> list[Flowable]:
    record = shown.record
    heading = figure_numbers.title(shown, "ladder", "Probability against the amount of change")
    columns = TIGHT_COLUMNS if shown.is_tight else LADDER_COLUMNS
    each = (width - (columns - 1) * LADDER_GAP) / columns
    charts = answer_charts.ladder(record, each, TIGHT_LADDER if shown.is_tight else answer_charts.LADDER_HEIGHT)
    if not charts:
        return [heading, tables.words(answers.reason(record, "corruption", "Mild corruption"), "caption")]
    parts = [charts[start : start + columns] for start in range(0, len(charts), columns)]
    lines: list[Flowable] = [layout.Columns([[one] for one in part], [each] * len(part), LADDER_GAP) for part in parts]
    name = answers.ladder_class(record, prediction)
    dashed = DASHED if name in prediction.thresholds else ""
    notes = [LADDER_NOTE.format(name=text.cut(name, text.LONGEST_NAME), dashed=dashed)]
    for group, what in (("harmless", "Harmless changes"), ("corruption", "Mild corruption")):
        notes += [] if answers.answered(record, group) else [answers.reason(record, group, what)]
    return [KeepTogether([heading, lines[0]]), *lines[1:], tables.words(" ".join(notes), "caption")]


def _panel(shown: Shown, prediction: PredictionFacts) -> list[Flowable]:
    record = shown.record
    heading = figure_numbers.title(shown, "panel", "What happens without what the model should need, or should not")
    rows = answers.asked(record, "falsification")
    if not answers.answered(record, "falsification"):
        return [heading, tables.words(answers.reason(record, "falsification", "Falsification panel"), "caption")]
    name = answers.moved_most(prediction, answers.answered(record, "falsification"))
    own = prediction.probabilities[name]
    cells: list[list[tables.Cell]] = [[UNCHANGED, _bar(prediction, name, own), numbers.probability(own), "", ""]]
    cells += [_panel_row(prediction, name, row) for row in rows]
    missing = {place: (1, 4) for place, row in enumerate(rows, start=1) if not row.probabilities}
    table = tables.table(PANEL_HEAD, cells, PANEL_MM, numeric=(2, 3), type_style="dense", joined=missing)
    note = PANEL_NOTE.format(name=text.cut(name, text.LONGEST_NAME))
    return [KeepTogether([heading, table, tables.words(note, "caption")])]


def _panel_row(prediction: PredictionFacts, name: str, row: AnswerFacts) -> list[tables.Cell]:
    if not row.probabilities:
        return [row.sentence, tables.words(f"Not asked: {row.reason}", "dense"), "", "", ""]
    value = row.probabilities[name]
    change = numbers.fixed(value - prediction.probabilities[name], 3)
    return [
        row.sentence,
        _bar(prediction, name, value),
        numbers.probability(value),
        change,
        answers.decision(prediction, row),
    ]


def _bar(prediction: PredictionFacts, name: str, value: float) -> Flowable:
    is_over = value >= prediction.thresholds.get(name, 0.5)
    return class_table.bar(value, prediction.thresholds.get(name), (PANEL_MM[1] - 4) * mm, is_concluded=is_over)
