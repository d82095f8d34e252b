"""Which items of the reporting standards this report answers, and where: data of the package, resolved for one run.

The items stand in ``conformity.json`` in our own words. Each names topics; a topic is answered when the run knows
something about it. An item whose topics are all answered is answered, or in part where the standard asks for more than
an audit can know; one with none of them is open.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from importlib.resources import files

from audit_pipeline.findings import Outcome
from audit_pipeline.records import Status
from audit_pipeline.report import chapters, links, story_text
from audit_pipeline.report.audit_facts import AuditFacts, Summary
from audit_pipeline.report.audit_plan import limits
from audit_pipeline.report.context import ReportContext
from audit_pipeline.study_record import StudyRecord

COHORT, RUN, RECORDS, CARD = "cohort.json", "run.json", "records", "chaiMcXml"
"""What an answer is drawn from; the records of all studies together are `RECORDS`."""

STEADY_CODES = ("C03", "C04", "C05", "C07")
"""Checks of robustness and repeatability."""


class Answer(StrEnum):
    """How far an item is answered."""

    ANSWERED = "answered"
    PARTLY = "in part"
    OPEN = "open"


@dataclass(frozen=True, kw_only=True, slots=True)
class Item:
    """One item of a standard.

    item : its number there; words : what it asks, in our words
    supply : what is left where a topic is not answered; part : whether something is left even where all are
    rest : what is left then, "" for the same
    """

    item: str
    words: str
    topics: tuple[str, ...]
    supply: str
    part: bool = False
    rest: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Standard:
    """One list of items; `source` names the publication."""

    key: str
    title: str
    source: str
    items: tuple[Item, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Material:
    """What topics are judged by."""

    records: Sequence[StudyRecord]
    summary: Summary
    context: ReportContext
    facts: AuditFacts

    @property
    def is_audited(self) -> bool:
        """Whether there is an audited study."""
        return any(one.status is Status.AUDITED for one in self.records)

    def says(self, *codes: str) -> bool:
        """Whether one of these checks of the cohort came to an answer."""
        return chapters.is_evaluable(self.summary, *codes)

    def spoke(self, *codes: str) -> bool:
        """Whether one of these checks of single studies came to an answer in at least one study."""
        silent = {str(Outcome.NOT_EVALUABLE), str(Outcome.ERROR)}
        outcomes = self.summary.get("outcomes") or {}
        return any(set(outcomes.get(code) or ()) - silent for code in codes)

    def describes(self, name: str) -> bool:
        """Whether the table of characteristics has this row."""
        rows = (self.summary.get("characteristics") or {}).get("rows") or ()
        return any(row["name"] == name for row in rows)


@dataclass(frozen=True, slots=True)
class Topic:
    """Where a topic is told, what it is drawn from, and when the run knows something about it."""

    place: str
    source: str
    is_known: Callable[[Material], bool]


def _labelled(material: Material) -> bool:
    return bool(material.summary.get("performance"))


def _performance(material: Material) -> bool:
    """Whether a class has an area under the ROC curve with an interval."""
    return any(one.get("auroc_low") is not None for one in material.summary.get("performance") or ())


def _rates(material: Material) -> bool:
    """Whether a class has a sensitivity or specificity with an interval."""
    found = material.summary.get("performance") or ()
    return any((one.get(rate) or {}).get("low") is not None for one in found for rate in ("sensitivity", "specificity"))


TOPICS: Mapping[str, Topic] = {
    "verdict": Topic("verdict", COHORT, lambda one: bool(one.records)),
    "intended_use": Topic("plan", RUN, lambda one: bool(one.context.intended_use.strip())),
    "limits": Topic("plan", RUN, lambda one: bool(limits(one.facts))),
    "plan": Topic("plan", COHORT, lambda one: bool(one.summary.get("gates"))),
    "promises": Topic("verdict", COHORT, lambda one: bool(one.summary.get("gates"))),
    "blind": Topic("plan", RUN, lambda one: one.is_audited),
    "thresholds": Topic("plan", RUN, lambda one: bool(str(one.facts.card.get("thresholds_from") or "").strip())),
    "prevalence": Topic("conclusions", COHORT, lambda one: one.says("E19")),
    "development": Topic("plan", RUN, lambda one: bool(one.facts.card.get("development"))),
    "flow": Topic("flow", COHORT, lambda one: one.summary.get("flow") is not None),
    "bounds": Topic("independence", COHORT, lambda one: one.says("E16")),
    "characteristics": Topic("characteristics", COHORT, lambda one: one.is_audited),
    "acquisition": Topic("characteristics", COHORT, lambda one: one.describes("Manufacturer")),
    "period": Topic("characteristics", COHORT, lambda one: one.describes("Period")),
    "readers": Topic("reference_standard", COHORT, lambda one: one.says("E12")),
    "performance": Topic("discrimination", COHORT, _performance),
    "rates": Topic("conclusions", COHORT, _rates),
    "counts": Topic("conclusions", COHORT, _labelled),
    "subgroups": Topic("subgroups", COHORT, lambda one: one.says("E01")),
    "robustness": Topic("robustness", COHORT, lambda one: one.spoke(*STEADY_CODES)),
    "drift": Topic("drift", COHORT, lambda one: one.says("E13")),
    "shortcuts": Topic("shortcuts", COHORT, lambda one: one.says("E04", "E05", "E06")),
    "leakage": Topic("independence", COHORT, lambda one: one.says("E14")),
    "partitions": Topic("characteristics", COHORT, lambda one: one.describes("Partition")),
    "sites": Topic("independence", COHORT, lambda one: one.says("E17")),
    "sample_size": Topic("discrimination", COHORT, lambda one: one.says("E15")),
    "explanations": Topic("explanations", COHORT, lambda one: any(record.explanations for record in one.records)),
    "inputs": Topic("plan", RECORDS, lambda one: one.is_audited),
    "failure_modes": Topic("checks", COHORT, lambda one: bool(one.summary.get("outcomes"))),
    "cases": Topic("cases", COHORT, _labelled),
    "reviews": Topic("cases", COHORT, lambda one: bool((one.summary.get("reviews") or {}).get("studies"))),
    "fmea": Topic("fmea", COHORT, lambda one: bool(one.summary.get("fmea"))),
    "limitations": Topic("limitations", COHORT, lambda one: bool(one.records)),
    "model": Topic("provenance", RUN, lambda one: bool(one.records)),
    "software": Topic("provenance", RUN, lambda one: bool(one.context.versions)),
    "device": Topic("provenance", RECORDS, lambda one: one.is_audited),
    "digests": Topic("provenance", RECORDS, lambda one: bool(one.records)),
    "identity": Topic("provenance", RUN, lambda one: one.context.profile in story_text.IDENTITY),
    "card": Topic("provenance", CARD, lambda one: bool(one.records)),
}
"""Every topic an item can name; `place` is the name of a chapter."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Answered:
    """An item with its answer: the places that tell it, what these are drawn from, what is left to supply."""

    item: Item
    answer: Answer
    places: tuple[str, ...]
    sources: tuple[str, ...]
    supply: str


@lru_cache(maxsize=1)
def standards() -> tuple[Standard, ...]:
    """Return the lists of the package, in the order in which they are printed."""
    content = json.loads((files("audit_pipeline.report") / "conformity.json").read_text(encoding="utf-8"))
    return tuple(
        Standard(
            key=one["key"], title=one["title"], source=one["source"],
            items=tuple(Item(**{**item, "topics": tuple(item["topics"])}) for item in one["items"]),
        )
        for one in content
    )  # fmt: skip


def answered(standard: Standard, material: Material) -> tuple[Answered, ...]:
    """Return every item of a standard with its answer in this run."""
    return tuple(_answered(item, material) for item in standard.items)


def _answered(item: Item, material: Material) -> Answered:
    known = [TOPICS[name] for name in item.topics if TOPICS[name].is_known(material)]
    are_all = bool(known) and len(known) == len(item.topics)
    is_whole = are_all and not item.part
    answer = Answer.ANSWERED if is_whole else Answer.PARTLY if known else Answer.OPEN
    return Answered(
        item=item,
        answer=answer,
        places=tuple(dict.fromkeys(place_of(one.place) for one in known)),
        sources=tuple(dict.fromkeys(one.source for one in known)),
        supply="" if is_whole else (item.rest or item.supply) if are_all else item.supply,
    )


def place_of(name: str) -> str:
    """Return where a chapter stands in the document.

    >>> place_of("plan"), place_of("checks")
    ('#chapter-plan', '#checks')
    """
    return links.CHECKS if name == "checks" else chapters.anchor(name)
