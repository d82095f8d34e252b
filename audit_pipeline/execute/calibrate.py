"""Learning the limits of a site: an audit of clean studies, whose traits become a reference for later audits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from audit_pipeline.checks import LEAST_STUDIES, catalogue
from audit_pipeline.config import AuditConfig
from audit_pipeline.errors import ConfigError
from audit_pipeline.execute.closing import AuditResult, OnProgress
from audit_pipeline.execute.local import run_audit
from audit_pipeline.findings import Outcome
from audit_pipeline.records import Status
from audit_pipeline.store.files import write_atomically
from audit_pipeline.store.reference import reference_bytes
from audit_pipeline.store.traits import read_traits
from audit_pipeline.study_record import StudyRecord

FEWEST_STUDIES = 20
"""Fewer make no reference at all: a neighbour distance of so few says nothing."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Calibration:
    """What was learnt.

    paths : the Parquet and the safetensors file; studies : how many are in it; measures : checks with enough values
    flagged : codes raised at their default limits, and on how many of the studies
    """

    paths: tuple[Path, Path]
    studies: int
    measures: int
    flagged: Mapping[str, int]
    audit: AuditResult

    @property
    def is_enough(self) -> bool:
        """Whether conformal p-values of 1 % can be reached."""
        return self.studies >= LEAST_STUDIES


def calibrate(
    config: AuditConfig | Mapping[str, Any] | Path | str,
    reference: Path | str,
    *,
    inputs: Sequence[Path | str] = (),
    sets: Sequence[str] = (),
    device: str | None = None,
    allow_code: bool = False,
    on_progress: OnProgress | None = None,
) -> Calibration:
    """Audit clean studies without any reference and write what they measured as `reference`.

    The audit is kept beside it, in a folder with the suffix ``.run``: started again, it finishes what is missing.

    Raises
    ------
    ConfigError
        The configuration is impossible, or fewer than 20 studies could be audited.
    """
    place = Path(reference).with_suffix(".parquet")
    without = ["report.pdf=none", "report.html=none", "checks.reference=null", *sets]
    result = run_audit(
        config, inputs=inputs, output=place.with_suffix(".run"), device=device, sets=without, allow_code=allow_code,
        on_progress=on_progress, own_reference=False,
    )  # fmt: skip
    audited = sorted((one for one in result.records if one.status is Status.AUDITED), key=_content)
    if len(audited) < FEWEST_STUDIES:
        raise ConfigError(
            f"{len(audited)} of {len(result.records)} studies could be audited; a reference needs {FEWEST_STUDIES}, "
            f"and p-values of 1 % need {LEAST_STUDIES}"
        )
    traits = [read_traits(result.folder / "studies" / one.study / "traits.npz") for one in audited]
    layer = audited[0].explanations[0].layer if audited[0].explanations else ""
    table, arrays = reference_bytes(traits, layer=layer, model=audited[0].model.weights_sha256)
    paths = place, place.with_suffix(".safetensors")
    write_atomically(paths[1], arrays)
    write_atomically(paths[0], table)
    counts = Counter(name for one in traits for name in one.values if name in catalogue())
    return Calibration(
        paths=paths,
        studies=len(traits),
        measures=sum(count >= LEAST_STUDIES for count in counts.values()),
        flagged=_raised(audited),
        audit=result,
    )


def _content(record: StudyRecord) -> tuple[str, ...]:
    """Return what a study is made of; pseudonyms differ between run folders, and rows must not."""
    return () if record.image is None else record.image.source_digests


def calibration_facts(learnt: Calibration) -> dict[str, Any]:
    """Return what was learnt as plain data."""
    return {
        "reference": [path.name for path in learnt.paths],
        "studies": learnt.studies,
        "calibrated_measures": learnt.measures,
        "flagged_at_default_limits": dict(learnt.flagged),
        "counts": dict(learnt.audit.counts),
    }


def calibration_text(learnt: Calibration) -> str:
    """Return what was learnt as a page of sentences."""
    table, arrays = (path.name for path in learnt.paths)
    lines = [f"{learnt.studies} studies are in {table} and {arrays}; {learnt.measures} measures are calibrated."]
    if not learnt.is_enough:
        lines.append(f"With fewer than {LEAST_STUDIES} studies no p-value of 1 % can be reached: default limits stay.")
    for code, count in learnt.flagged.items():
        lines.append(f"  {code} is raised at its default limit on {count} of {learnt.studies}: is each of them clean?")
    lines.append(f"Use it with checks.reference: {table}")
    return "\n".join(lines)


def _raised(records: Sequence[StudyRecord]) -> dict[str, int]:
    raised = (Outcome.FLAG, Outcome.CRITICAL, Outcome.ERROR)
    found = Counter(code for one in records for code in {f.code for f in one.findings if f.outcome in raised})
    return dict(sorted(found.items()))
