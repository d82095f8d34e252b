"""Which studies a run will do: pseudonyms, labels, shards, limits, and what is left out and why."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from audit_pipeline.errors import ConfigError
from audit_pipeline.load import StudyFacts, StudySource, facts_of
from audit_pipeline.store.pseudonym import study_key

LOG = logging.getLogger("audit_pipeline")


@dataclass(frozen=True, slots=True)
class Work:
    """One study to do: where it lies, its pseudonym, its label, its facts without identity, its reference mask."""

    source: StudySource
    key: str
    label: str | None
    facts: Mapping[str, str] = field(default_factory=dict)
    mask: Path | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run will do, and what it leaves out with the reason; clutter is no study and is not counted as one."""

    work: tuple[Work, ...]
    excluded: tuple[tuple[Work, str], ...]
    clutter: tuple[tuple[Work, str], ...]


def plan(
    sources: Sequence[StudySource],
    secret: bytes,
    labels: Mapping[str, Mapping[str, str]],
    shard: tuple[int, int],
    limit: int | None,
    *,
    folder: Path | None = None,
) -> Plan:
    """Return the studies to audit and those left out with the reason, both in the order they were found.

    folder : where the paths of the masks in the labels file start; None leaves the masks out. A mask that lies among
        the studies is none of them
    """
    index, parts = shard
    if not 1 <= index <= parts:
        raise ConfigError(f"--shard needs I/N with 1 <= I <= N, found {index}/{parts}")
    work: list[Work] = []
    excluded: list[tuple[Work, str]] = []
    clutter: list[tuple[Work, str]] = []
    seen: set[str] = set()
    known = facts_of(labels, lambda text: study_key(text, secret), folder)
    masks = {told.mask.resolve() for told in known.values() if told.mask is not None}
    for source in sources:
        key = study_key(source.identity, secret)
        told = known.get(source.name, StudyFacts())
        one = Work(source, key, told.label, told.facts, told.mask)
        reason = _no_study(source, masks)
        if reason:
            clutter.append((one, reason))
        elif key in seen:
            excluded.append((one, "the same study was found before"))
        elif int(key, 16) % parts != index - 1:
            excluded.append((one, "belongs to another shard"))
        elif limit is not None and len(work) >= limit:
            excluded.append((one, "beyond the limit"))
        else:
            work.append(one)
        seen.add(key)
    unknown = sorted(set(labels) - {source.name for source in sources})
    if unknown:
        row = list(labels).index(unknown[0]) + 1
        LOG.warning("%d labels name no study that was found, for example row %d of the labels file", len(unknown), row)
    return Plan(tuple(work), tuple(excluded), tuple(clutter))


def _no_study(source: StudySource, masks: Collection[Path]) -> str:
    """Return why a source is no study, "" for one."""
    if source.is_clutter:
        return "no study: text or empty files"
    is_mask = bool(masks) and all(path.resolve() in masks for path in source.files)
    return "no study: a reference mask" if is_mask else ""


def linkage(planned: Plan) -> list[dict[str, str]]:
    """Return the rows of ``linkage.csv``."""
    return [
        {
            "study": one.key,
            "name": one.source.name,
            "kind": one.source.kind,
            "files": str(len(one.source.files)),
            "identity": one.source.identity,
            "note": note,
        }
        for one, note in [*((one, "") for one in planned.work), *planned.excluded, *planned.clutter]
    ]
