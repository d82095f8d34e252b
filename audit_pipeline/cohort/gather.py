"""From records to a cohort: what stands in the records of a run, in arrays of one row a study."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from audit_pipeline.cohort.record import Cohort, Ints, LeftOut, Plan
from audit_pipeline.cohort.summary import SERIOUSNESS
from audit_pipeline.conclusion import true_classes
from audit_pipeline.evidence import Traits
from audit_pipeline.findings import Outcome
from audit_pipeline.records import Floats, Mask, Matrix, Scalar, Status, Task, sealed
from audit_pipeline.study_record import PredictionFacts, StudyRecord

OWN_FACTS = frozenset({"split", "patient", "site", "period", "cause"})
READER = "reader"
"""Columns whose title starts so hold the label that one reader gave."""

PANEL_SEPARATOR = "|"
"""Between the name of a variant and a class in `Traits.values`: ``body_removed|nodule``."""

Maps = Mapping[str, tuple[int, Floats]]
"""Study -> the class that the first map explains, and that map on the layer's grid."""


def cohort_of(
    records: Sequence[StudyRecord],
    traits: Mapping[str, Traits] | None = None,
    *,
    plan: Plan | None = None,
    maps: Maps | None = None,
    baseline: Cohort | None = None,
    seed: int = 0,
) -> Cohort | None:
    """Return the cohort of the audited studies, None when there is none.

    Parameters
    ----------
    records : in any order; traits : study -> what it looked like; what is missing leaves its checks not evaluable
    plan : what was declared beforehand; maps : see `Maps`; baseline : the cohort this one is compared with
    """
    audited = sorted((one for one in records if one.status is Status.AUDITED and one.prediction), key=_key)
    if not audited:
        return None
    predictions = [one.prediction for one in audited if one.prediction is not None]
    classes = tuple(predictions[0].probabilities)
    truth, is_labelled = _truth(audited, predictions, classes)
    seen: list[Traits | None] = [(traits or {}).get(one.study) for one in audited]
    grids, targets = _maps(audited, maps or {})
    return Cohort(
        keys=tuple(one.study for one in audited),
        classes=classes,
        task=predictions[0].task,
        thresholds=dict(predictions[0].thresholds),
        truth=truth,
        is_labelled=is_labelled,
        called=sealed(np.asarray([[name in one.predicted for name in classes] for one in predictions], dtype=np.bool_)),
        logits=_numbers([[one.logits[name] for name in classes] for one in predictions]),
        probabilities=_numbers([[one.probabilities[name] for name in classes] for one in predictions]),
        **_beside_the_images(audited),
        features=_stacked([one.features if one else None for one in seen]),
        thumbnails=_stacked([one.thumbnail if one else None for one in seen]),
        panel=_panel(seen, classes),
        measures=_measures(audited),
        outcomes=_outcomes(audited),
        maps=grids,
        targets=targets,
        pixels=tuple(one.image.input_digest if one.image else "" for one in audited),
        left_out=tuple(
            _left_out(one, predictions[0])
            for one in sorted(records, key=_key)
            if one.status is not Status.AUDITED or one.prediction is None
        ),
        plan=plan or Plan(),
        baseline=baseline,
        seed=seed,
    )


def _beside_the_images(audited: Sequence[StudyRecord]) -> dict[str, Any]:
    """Return the fields of the cohort that come from the labels file and the headers."""
    columns = _columns(audited)
    return {
        "patients": _facts(audited, "patient"),
        "splits": _facts(audited, "split"),
        "sites": _facts(audited, "site"),
        "periods": _facts(audited, "period"),
        "causes": _facts(audited, "cause"),
        "subgroups": {name: _facts(audited, name) for name in columns if not name.startswith(READER)},
        "readers": {name: _facts(audited, name) for name in columns if name.startswith(READER)},
        "header": _header(audited),
    }


def _key(record: StudyRecord) -> str:
    return record.study


def _numbers(rows: Sequence[Sequence[float]]) -> Matrix:
    return sealed(np.asarray(rows, dtype=np.float64))


def _truth(
    audited: Sequence[StudyRecord], predictions: Sequence[PredictionFacts], classes: tuple[str, ...]
) -> tuple[Mask, Mask]:
    truth = np.zeros((len(audited), len(classes)), dtype=np.bool_)
    is_labelled = np.zeros(len(audited), dtype=np.bool_)
    for place, (record, prediction) in enumerate(zip(audited, predictions, strict=True)):
        label = (record.label or "").strip()
        found = true_classes(label, classes, Task(prediction.task)) if label else None
        if found is not None:
            is_labelled[place] = True
            truth[place] = [name in found for name in classes]
    return sealed(truth), sealed(is_labelled)


def _facts(records: Sequence[StudyRecord], name: str) -> tuple[str, ...]:
    return tuple(record.facts.get(name, "") for record in records)


def _columns(records: Sequence[StudyRecord]) -> list[str]:
    return sorted({name for record in records for name in record.facts} - OWN_FACTS)


def _header(records: Sequence[StudyRecord]) -> dict[str, tuple[Scalar, ...]]:
    keywords = sorted({name for record in records if record.image for name in record.image.metadata})
    return {
        name: tuple(record.image.metadata.get(name) if record.image else None for record in records)
        for name in keywords
    }


def _stacked(rows: Sequence[Floats | None]) -> Floats | None:
    """Return the rows as one array; None when one is missing or of another length."""
    present = [row for row in rows if row is not None]
    if len(present) < len(rows) or len({row.size for row in present}) != 1 or not present[0].size:
        return None
    return sealed(np.stack(present).astype(np.float32))


def _panel(seen: Sequence[Traits | None], classes: tuple[str, ...]) -> dict[str, Matrix]:
    names = sorted(
        {
            key.split(PANEL_SEPARATOR, 1)[0]
            for one in seen
            if one
            for key in one.values
            if PANEL_SEPARATOR in key and key.split(PANEL_SEPARATOR, 1)[1] in classes
        }
    )
    return {
        name: _numbers(
            [
                [one.values.get(f"{name}{PANEL_SEPARATOR}{each}", np.nan) if one else np.nan for each in classes]
                for one in seen
            ]
        )
        for name in names
    }


def _measures(records: Sequence[StudyRecord]) -> dict[str, Matrix]:
    codes = sorted({one.code for record in records for one in record.findings if one.value is not None})
    found = {code: np.full(len(records), np.nan) for code in codes}
    for place, record in enumerate(records):
        for one in record.findings:
            if one.value is not None:
                found[one.code][place] = one.value
    return {code: sealed(values) for code, values in found.items()}


def _outcomes(records: Sequence[StudyRecord]) -> dict[str, tuple[str, ...]]:
    """Return the most serious outcome of every code in every study."""
    worst: list[dict[str, Outcome]] = []
    for record in records:
        own: dict[str, Outcome] = {}
        for one in record.findings:
            own[one.code] = min(own.get(one.code, one.outcome), one.outcome, key=SERIOUSNESS.index)
        worst.append(own)
    codes = sorted({code for own in worst for code in own})
    return {code: tuple(str(own.get(code, "")) for own in worst) for code in codes}


def _maps(records: Sequence[StudyRecord], maps: Maps) -> tuple[Matrix | None, Ints | None]:
    """Return the maps as rows and what they explain; None when not all present ones lie on the same grid."""
    present = [maps[record.study] for record in records if record.study in maps]
    if not present or len({values.shape for _, values in present}) != 1:
        return None, None
    cells = present[0][1].size
    rows = np.zeros((len(records), cells))
    targets = np.full(len(records), -1, dtype=np.int64)
    for place, record in enumerate(records):
        if record.study in maps:
            targets[place], values = maps[record.study]
            rows[place] = values.reshape(-1)
    return sealed(rows), sealed(targets)


def _left_out(record: StudyRecord, like: PredictionFacts) -> LeftOut:
    label = (record.label or "").strip()
    return LeftOut(
        key=record.study,
        reason=record.error.code if record.error else "no prediction",
        truth=true_classes(label, like.probabilities, Task(like.task)) if label else None,
        facts=record.facts,
    )
