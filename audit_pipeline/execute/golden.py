"""The golden cases of the model card, run before the first study: does the model say what its maker states?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from audit_pipeline.card import ModelCard
from audit_pipeline.errors import AuditError, ConfigError
from audit_pipeline.evidence import GoldenCase
from audit_pipeline.load import StudySource, find_studies
from audit_pipeline.pipeline import Auditor, prepared_of
from audit_pipeline.predict import forward
from audit_pipeline.promises import GoldenCard
from audit_pipeline.store.files import sha256


def require_golden(card: ModelCard) -> None:
    """Refuse a card whose golden inputs are missing, or are not the files that it pins.

    Raises
    ------
    ConfigError
        One sentence per problem.
    """
    problems = []
    for number, one in enumerate(card.golden):
        found = golden_digest(one.path)
        if found is None:
            problems.append(f"golden.{number}: the input {one.path.name} is not there; put it beside the model card")
        elif found != one.sha256:
            problems.append(f"golden.{number}: the input has SHA-256 {found}, the model card pins {one.sha256}")
    if problems:
        raise ConfigError("\n".join(problems))


def golden_digest(path: Path) -> str | None:
    """Return the SHA-256 of a file; of a folder, of the sorted digests of its files, one a line; None without any."""
    if path.is_file():
        return sha256(path.read_bytes())
    digests = sorted(sha256(file.read_bytes()) for file in path.rglob("*") if file.is_file())
    return sha256("".join(f"{digest}\n" for digest in digests).encode()) if digests else None


def golden_cases(auditor: Auditor) -> tuple[GoldenCase, ...]:
    """Return what the model says to every golden case of its card.

    Raises
    ------
    ConfigError
        A golden input is not exactly one study.
    """
    sources = [_source(number, one) for number, one in enumerate(auditor.card.golden)]
    pairs = zip(auditor.card.golden, sources, strict=True)
    return tuple(_run(f"golden case {number}", *pair, auditor) for number, pair in enumerate(pairs, 1))


def _source(number: int, golden: GoldenCard) -> StudySource:
    studies = [one for one in find_studies([golden.path]) if one.kind != "unknown"]
    if len(studies) != 1:
        raise ConfigError(f"golden.{number}: one study was expected in the input, found {len(studies)}")
    return studies[0]


def _run(name: str, golden: GoldenCard, source: StudySource, auditor: Auditor) -> GoldenCase:
    expected = tuple(golden.logits[one] for one in auditor.card.classes)
    classifier = auditor.classifier
    try:
        prepared = prepared_of(source, auditor)
        logits = forward(classifier.network, classifier.device, prepared.values[None])[0]
    except AuditError as error:
        return GoldenCase(name=name, expected=expected, tolerance=golden.tolerance, reason=str(error))
    is_equal = None if golden.input_sha256 is None else sha256(prepared.values.tobytes()) == golden.input_sha256
    found = tuple(float(one) for one in logits)
    return GoldenCase(
        name=name, expected=expected, tolerance=golden.tolerance, found=found, is_input_equal=is_equal
    )  # fmt: skip


def golden_facts(cases: Sequence[GoldenCase], classes: Sequence[str]) -> list[Mapping[str, Any]]:
    """Return what ``run.json`` keeps of the golden cases."""
    return [
        {
            "name": one.name,
            "expected": dict(zip(classes, one.expected, strict=True)),
            "found": None if one.found is None else dict(zip(classes, one.found, strict=True)),
            "difference": one.difference,
            "tolerance": one.tolerance,
            "is_input_equal": one.is_input_equal,
            "reason": one.reason,
        }
        for one in cases
    ]
