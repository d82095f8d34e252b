"""The last pages of a study: every check, what went in, where it comes from."""

from __future__ import annotations

from reportlab.lib.units import mm
from reportlab.platypus import CondPageBreak, Flowable, Spacer

from audit_pipeline.report import (
    check_table,
    fonts,
    input_facts,
    intake_figure,
    layer_table,
    layout,
    tables,
    text,
    vocabulary,
    wide_fonts,
)
from audit_pipeline.report.context import ReportContext
from audit_pipeline.report.document import Heading
from audit_pipeline.report.evidence import Shown
from audit_pipeline.study_record import StudyRecord

FACTS_MM = (38.0, 140.0)
NO_GLYPH = "No font here has some characters of this record; their code points are printed."
LEAST_ROOM = 38 * mm
"""With less left on a page the checks start on the next one."""


def story(shown: Shown) -> list[Flowable]:
    """Return the flowables from the table of checks to the verification steps."""
    record = shown.record
    type_style = "tight" if shown.is_tight else "dense"
    return [
        CondPageBreak(LEAST_ROOM),
        Spacer(1, 4 * mm),
        _alone(Heading("Every check", "title")),
        *check_table.story(shown),
        *_input(shown, type_style),
        *layer_table.layer_story(record.model.layer_choice, type_style),
        *provenance(record, shown.context, shown.digest, type_style),
    ]


def _alone(heading: Heading) -> Heading:
    """Return a heading that may stand at the foot of a page before a long table; room for it is asked for elsewhere."""
    heading.keepWithNext = 0
    return heading


def _input(shown: Shown, type_style: str) -> list[Flowable]:
    image = shown.record.image
    if image is None:
        return []
    width = layout.content_size(shown.context.settings.paper)[0] / mm
    steps = [(str(number), step) for number, step in enumerate(image.steps, start=1)]
    drawn = intake_figure.story(shown)
    titled: list[Flowable] = drawn or ([Heading(intake_figure.TITLE, level=1)] if steps else [])
    return [
        Heading("What went in"),
        tables.pairs_twice(input_facts.facts(image), width, type_style=type_style),
        *titled,
        *([tables.pairs(steps, (8.0, 170.0), type_style=type_style)] if steps else []),
    ]


def provenance(record: StudyRecord, context: ReportContext, digest: str, type_style: str = "dense") -> list[Flowable]:
    """Return who made this report from what, and how to verify it without a network."""
    model, image, prediction = record.model, record.image, record.prediction
    device = f"{prediction.device}, {prediction.precision}" if prediction else "no prediction was made"
    sources = input_facts.source_digests(image.source_digests if image else ())
    facts = [
        ("Model", f"{model.name} {model.version}, {model.network or 'network not stated'}, {model.task}"),
        ("Intended use", model.intended_use or context.intended_use or "not stated"),
        ("Model card SHA-256", model.card_sha256 or "not recorded"),
        ("Weights SHA-256", model.weights_sha256 or "not recorded"),
        ("Device, precision", device),
        ("Input files, SHA-256", f"{input_facts.dispositions(record.files).rstrip('.')}; {sources}"),
        ("Model input SHA-256", (image.input_digest if image else "") or "not recorded"),
        ("Software", text.software(context.versions)),
        ("Run, record, its SHA-256", f"{context.run}, {record.schema}, {digest or 'not recorded'}"),
        ("Dates", vocabulary.DATES),
    ]
    if fonts.lacking(_words_of(record)):
        facts.append(("Fonts", f"{NO_GLYPH} {text.capital(wide_fonts.HOW_TO_GET)}."))
    steps = " ".join(f"{number}. {step}" for number, step in enumerate(vocabulary.VERIFY, start=1))
    facts.append(("How to verify offline", steps))
    return [Heading("Provenance"), tables.pairs(facts, FACTS_MM, type_style=type_style)]


def _words_of(record: StudyRecord) -> list[str]:
    """Return the texts of a record that others wrote."""
    header = record.image.metadata.values() if record.image else ()
    return [record.model.name, *record.model.classes, record.label or "", *record.facts.values(), *map(str, header)]
