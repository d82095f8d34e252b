"""Characteristics of the audited studies, over all and by label: counts of levels, quartiles of numbers, gaps."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypedDict

import numpy as np

from audit_pipeline.disclosure import AGE_FIELD, disclosed
from audit_pipeline.records import Status
from audit_pipeline.study_record import StudyRecord

ALL, NO_LABEL, OTHER_LABELS = "All", "No label", "Other labels"
MOST_COLUMNS, MOST_LEVELS = 3, 12
OTHER = "other"
HIDDEN_FACTS = frozenset({"patient", "cause", "age", "sex", "site", "split", "period"})
HEADER = {
    "Manufacturer": "Manufacturer",
    "ManufacturerModelName": "Scanner model",
    "BodyPartExamined": "Body part",
    "ViewPosition": "View",
    "ContrastBolusAgent": "Contrast agent",
}
"""Header field -> its printed name."""


class Characteristic(TypedDict):
    """One property of the studies; a part of ``cohort.json``. Every list has an entry a column.

    levels : level -> number of studies, None for a number; numbers : {n, median, q1, q3, low, high} or None
    missing : studies without the property
    """

    name: str
    levels: dict[str, list[int]] | None
    numbers: list[dict[str, float] | None] | None
    missing: list[int]


class Characteristics(TypedDict):
    """All properties; `columns` are names with numbers of studies, the first one is all audited studies."""

    columns: list[tuple[str, int]]
    patients: int | None
    rows: list[Characteristic]


Text = Callable[[StudyRecord], str]
Number = Callable[[StudyRecord], float | None]


def characteristics_of(records: Sequence[StudyRecord]) -> Characteristics:
    """Return the table of the audited studies; properties that no study has are left out.

    Columns are the most frequent labels; rarer ones share a column. Of texts the most frequent levels are kept.
    """
    audited = sorted((one for one in records if one.status is Status.AUDITED), key=lambda one: one.study)
    groups = _columns(audited)
    texts: dict[str, Text] = {
        "Label": lambda one: one.label or "",
        "Partition": _fact("split"),
        "Sex": _fact("sex"),
        "Age": lambda one: one.facts.get("age", "") or _age_band(one),
        "Site": _fact("site"),
        "Period": _fact("period"),
        **{name: _fact(name) for name in _subgroups(audited)},
        "Modality": lambda one: one.image.modality if one.image else "",
        **{title: _header(keyword) for keyword, title in HEADER.items()},
    }
    numbers: dict[str, Number] = {
        "Slices": lambda one: one.image.shape[0] if one.image and len(one.image.shape) > 2 else None,
        "Slice spacing, mm": lambda one: one.image.spacing_mm[0] if one.image and _is_volume(one) else None,
        "Pixel spacing, mm": lambda one: one.image.spacing_mm[-1] if one.image and one.image.spacing_mm else None,
    }
    rows = [_of_levels(name, read, groups) for name, read in texts.items()]
    rows += [_of_numbers(name, read, groups) for name, read in numbers.items()]
    patients = {one.facts["patient"] for one in audited if one.facts.get("patient")}
    return {
        "columns": [(name, len(group)) for name, group in groups.items()],
        "patients": len(patients) or None,
        "rows": [row for row in rows if row is not None],
    }


def _columns(audited: Sequence[StudyRecord]) -> dict[str, list[StudyRecord]]:
    counts = Counter(one.label or "" for one in audited)
    named = sorted((name for name in counts if name), key=lambda name: (-counts[name], name))
    if not named or len(audited) < 2:
        return {ALL: list(audited)}
    own = named if len(named) <= MOST_COLUMNS else named[: MOST_COLUMNS - 1]
    by_label = {f"Label {name}": [one for one in audited if one.label == name] for name in sorted(own)}
    groups = {ALL: list(audited), **by_label}
    rest = [one for one in audited if one.label and one.label not in own]
    without = [one for one in audited if not one.label]
    return groups | ({OTHER_LABELS: rest} if rest else {}) | ({NO_LABEL: without} if without else {})


def _is_volume(record: StudyRecord) -> bool:
    return record.image is not None and len(record.image.spacing_mm) > 2


def _subgroups(audited: Sequence[StudyRecord]) -> list[str]:
    names = {name for one in audited for name in one.facts}
    return sorted(name for name in names - HIDDEN_FACTS if not name.startswith("reader"))


def _fact(name: str) -> Text:
    return lambda one: one.facts.get(name, "")


def _header(keyword: str) -> Text:
    return lambda one: _word(one, keyword)


def _word(record: StudyRecord, keyword: str) -> str:
    value = record.image.metadata.get(keyword) if record.image else None
    return "" if value is None else str(value)


def _age_band(record: StudyRecord) -> str:
    """Return the age in the header as its band of ten years, 90 and above pooled."""
    return "" if record.image is None else str(disclosed(record.image.metadata).get(AGE_FIELD) or "")


def _of_levels(name: str, read: Text, groups: Mapping[str, Sequence[StudyRecord]]) -> Characteristic | None:
    counts = {column: Counter(read(one) for one in group) for column, group in groups.items()}
    every = Counter({level: count for level, count in counts[ALL].items() if level})
    if not every:
        return None
    kept = sorted(level for level, _ in sorted(every.items(), key=lambda pair: (-pair[1], pair[0]))[:MOST_LEVELS])
    levels = {level: [counts[column][level] for column in groups] for level in sorted(kept, key=_natural)}
    if len(every) > len(kept):
        known = [sum(count for level, count in one.items() if level) for one in counts.values()]
        sums = [sum(column) for column in zip(*levels.values(), strict=True)]
        rest = [total - held for total, held in zip(known, sums, strict=True)]
        levels[OTHER] = [own + more for own, more in zip(levels.get(OTHER, [0] * len(rest)), rest, strict=True)]
    return {"name": name, "levels": levels, "numbers": None, "missing": [one[""] for one in counts.values()]}


def _natural(level: str) -> tuple[float, str]:
    """Return a key that sorts bands of numbers by where they begin.

    >>> sorted(["90+", "100-109", "20-29"], key=_natural)
    ['20-29', '90+', '100-109']
    """
    digits = "".join(one if one.isdigit() else " " for one in level).split()
    return (float(digits[0]) if digits and level[:1].isdigit() else float("inf"), level)


def _of_numbers(name: str, read: Number, groups: Mapping[str, Sequence[StudyRecord]]) -> Characteristic | None:
    values = {
        column: [float(value) for one in group if (value := read(one)) is not None] for column, group in groups.items()
    }
    if not values[ALL]:
        return None
    missing = [len(group) - len(values[column]) for column, group in groups.items()]
    return {"name": name, "levels": None, "numbers": [_spread(one) for one in values.values()], "missing": missing}


def _spread(values: Sequence[float]) -> dict[str, Any] | None:
    if not values:
        return None
    low, first, median, third, high = np.quantile(np.asarray(values), [0, 0.25, 0.5, 0.75, 1]).tolist()
    return {"n": len(values), "median": median, "q1": first, "q3": third, "low": low, "high": high}
