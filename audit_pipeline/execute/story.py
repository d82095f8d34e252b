"""What the audit report tells beside the statistics: plan, gates, flow, characteristics, reviews."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from audit_pipeline.cohort.characteristics import characteristics_of
from audit_pipeline.cohort.flow import flow_of, is_wrong
from audit_pipeline.cohort.gates import gates_of
from audit_pipeline.cohort.summary import CohortSummary
from audit_pipeline.config import AuditConfig
from audit_pipeline.findings import FailureMode
from audit_pipeline.records import Panel
from audit_pipeline.report import Aside, AuditFacts, PanelsAside, cases, reduced, with_first_map
from audit_pipeline.reviews import Review, ReviewVerdict, agreement, gating_codes
from audit_pipeline.store.files import json_bytes, sha256
from audit_pipeline.store.record_file import timeless_bytes
from audit_pipeline.store.reviews import read_reviews, write_reviews
from audit_pipeline.store.run_folder import RunFolder
from audit_pipeline.study_record import StudyRecord

PLANNED = ("audit", "cohort")
"""Sections of the configuration that are the plan."""


def told(
    records: Sequence[StudyRecord], summary: CohortSummary, run: Mapping[str, Any], excluded: Mapping[str, int]
) -> dict[str, Any]:
    """Return the keys that the story adds to ``cohort.json``.

    ``flow``, ``plan``, ``gates``, ``characteristics``, and ``conclusions``: the studies concluded against their label
    and those that were not.

    The plan is the one that ``run.json`` kept when the run began, whatever the configuration says by now.

    Parameters
    ----------
    records : every study; run : the content of ``run.json``; excluded : reason -> studies without a record
    """
    config = AuditConfig.model_validate(run["configuration"])
    flow = flow_of(records, excluded)
    counts = {"found": flow["received"], "excluded": sum(flow["excluded"].values())}
    counts |= {"refused": sum(flow["refused"].values()), "failed": sum(flow["failed"].values())}
    conclusions = {one.study: is_wrong(one) for one in records}
    return {
        "flow": flow,
        "plan": plan_facts(run),
        "gates": [asdict(gate) for gate in gates_of(summary, config.cohort, counts)],
        "characteristics": characteristics_of(records),
        "conclusions": {
            "wrong": [study for study, wrong in conclusions.items() if wrong],
            "right": [study for study, wrong in conclusions.items() if wrong is False],
        },
    }


def plan_facts(run: Mapping[str, Any]) -> dict[str, Any]:
    """Return what was planned, its digest, and whether the configuration was changed after the run began."""
    planned = {name: run["configuration"][name] for name in PLANNED}
    model = {name: run["model"].get(name, "") for name in ("name", "version", "card_sha256", "weights_sha256")}
    return {
        "claims": planned["cohort"].get("claims", {}),
        "groups": planned["cohort"].get("groups", []),
        "gates": planned["cohort"].get("gates", {}),
        "level": planned["audit"]["level"],
        "sha256": sha256(json_bytes({**planned, "model": model})),
        "is_changed": bool(run.get("plan_changed", False)),
    }


def is_changed(run: Mapping[str, Any], config: AuditConfig) -> bool:
    """Return whether claims, groups or gates differ from those that ``run.json`` kept when the run began."""
    first = AuditConfig.model_validate(run["configuration"]).cohort
    now = config.cohort
    return (first.claims, first.groups, first.gates) != (now.claims, now.groups, now.gates)


def reviewed(folder: RunFolder, records: Sequence[StudyRecord], modes: Mapping[str, FailureMode]) -> dict[str, Any]:
    """Write the lines of ``reviews.csv`` that are missing; return what the reviewers said, for ``cohort.json``.

    needed : studies that ask for a verdict, worst first; open : those of them without one; verdicts : word -> lines
    pairs, equal : studies read by two reviewers, and how many of them agree; kappa : with its interval

    Parameters
    ----------
    records : worst first

    Raises
    ------
    StoreError
        ``reviews.csv`` cannot be understood, or speaks about a study that is not in the run.
    """
    needed = {one.study: codes for one in records if (codes := gating_codes(one, modes))}
    write_reviews(folder.path, needed)
    reviews = read_reviews(folder.path, {one.study for one in records})
    spoken = {one.study for one in reviews}
    pairs = _pairs(reviews)
    kappa = agreement(pairs)
    return {
        "needed": {study: list(codes) for study, codes in needed.items()},
        "open": [study for study in needed if study not in spoken],
        "verdicts": {str(word): sum(one.verdict is word for one in reviews) for word in ReviewVerdict},
        "studies": len(spoken),
        "pairs": len(pairs),
        "equal": sum(first is second for first, second in pairs),
        "kappa": None if kappa is None else asdict(kappa),
        "lines": [asdict(one) for one in reviews],
    }


def _pairs(reviews: Sequence[Review]) -> list[tuple[ReviewVerdict, ReviewVerdict]]:
    """Return the first two words about every study that was read twice."""
    several = [study for study, count in Counter(one.study for one in reviews).items() if count > 1]
    words = [[one.verdict for one in reviews if one.study == study] for study in several]
    return [(one[0], one[1]) for one in words]


def pictures(
    folder: RunFolder, records: Sequence[StudyRecord], summary: Mapping[str, Any], read: Any, aside: Aside
) -> tuple[Mapping[str, Panel], dict[str, Panel]]:
    """Return a thumbnail of every study that has a slice, and the key slice of every case card at its own size.

    One study is held in memory at its own size at a time, so that thousands fit.

    Parameters
    ----------
    read : from folder and record to at most one panel
    aside : keeps the thumbnails
    """
    shown = {one.study for one in cases(records, summary)}
    small = PanelsAside(aside.put)
    large: dict[str, Panel] = {}
    for record in records:
        for panel in read(folder, record):
            seen = with_first_map(record, panel)
            small.add(record.study, reduced(seen))
            if record.study in shown:
                large[record.study] = seen
    return small, large


def facts(
    run: Mapping[str, Any],
    records: Sequence[StudyRecord],
    large: Mapping[str, Panel],
    attached: Mapping[str, bytes],
) -> AuditFacts:
    """Return what the report needs beside records, summary and thumbnails."""
    digests = {one.study: sha256(timeless_bytes(one)) for one in records}
    lines = "".join(f"{study} {digest}\n" for study, digest in sorted(digests.items()))
    files = {name: sha256(content) for name, content in attached.items()}
    return AuditFacts(
        card=run.get("card") or {},
        cases=large,
        digests=digests,
        files={**files, "records": sha256(lines.encode())},
        code=(run.get("code") or {}).get("sha256", ""),
    )
