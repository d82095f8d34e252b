"""What ``run.json`` says at the start of a run: what decides it, the model, and the code that will do the work."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import audit_pipeline
from audit_pipeline.card import ModelCard
from audit_pipeline.checks import planned, text_reader
from audit_pipeline.config import AuditConfig
from audit_pipeline.evidence import Reference
from audit_pipeline.execute.cohort import site_pseudonyms
from audit_pipeline.execute.record_checks import settings_digest
from audit_pipeline.store.files import sha256
from audit_pipeline.study_record import ModelFacts

if TYPE_CHECKING:
    from audit_pipeline.models.classifier import Classifier

PACKAGE = Path(audit_pipeline.__file__).parent
SOFTWARE = ("audit-pipeline", "torch", "monai", "numpy", "scipy", "pydicom", "nibabel", "reportlab")


def identity_of(
    config: AuditConfig, card: ModelCard, classifier: Classifier, reference: Reference | None
) -> dict[str, str]:
    """Return what two runs must share to share a folder; new studies and other reports are welcome in it."""
    return {
        "settings": settings_digest(config.model_dump(mode="json")),
        "model_card": card.digest(),
        "weights": classifier.weights_sha256,
        "device": classifier.device_name,
        "reference": "" if reference is None else reference.digest,
        "text_reader": text_reader(),
    }


def first_facts(config: AuditConfig, card: ModelCard, classifier: Classifier, secret: bytes) -> dict[str, Any]:
    """Return the content of ``run.json`` at the start; paths of the machine are left out.

    secret : keys the pseudonyms of the sites that the card names
    """
    configuration = config.model_dump(mode="json")
    configuration["input"]["paths"] = []
    configuration["input"]["labels"] = None
    configuration["run"]["site_key"] = None
    configuration["run"]["output"] = "."
    configuration["model"]["card"] = {"name": card.name, "version": card.version, "sha256": card.digest()}
    configuration["checks"]["reference"] = None
    configuration["cohort"]["baseline"] = None
    configuration["cohort"]["development_sites"] = []
    facts = {
        "configuration": configuration,
        "model": asdict(model_facts(card, classifier)),
        "card": card.model_dump(mode="json", include={"thresholds_from", "allowed", "development"}),
        "device": classifier.device_name,
        "checks": sorted({one.mode.code for one in planned(config.checks, config.audit.level).checks}),
        "code": dict(code_facts()),
        "versions": {name: version(name) for name in SOFTWARE},
        "start": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    if card.reaudit is not None:
        known = card.reaudit.model_dump(mode="json")
        facts["reaudit"] = {**known, "sites": site_pseudonyms(card.reaudit.sites, secret)}
    return facts


def model_facts(card: ModelCard, classifier: Classifier) -> ModelFacts:
    """Return what is kept of the model that speaks."""
    return ModelFacts(
        name=card.name,
        version=card.version,
        task=str(card.task),
        classes=tuple(card.classes),
        card_sha256=card.digest(),
        weights_sha256=classifier.weights_sha256,
        network=card.network.name if card.network else str(card.factory),
        intended_use=card.intended_use,
    )


@cache
def code_facts() -> Mapping[str, Any]:
    """Return which code does the work.

    ``sha256`` : over the Python files of this package, by path; ``installed`` : ``wheel`` or ``working copy``;
    ``altered`` : files that are not as the wheel brought them, 0 for a working copy, which brings no list
    """
    files = sorted(PACKAGE.rglob("*.py"))
    whole = hashlib.sha256()
    for file in files:
        whole.update(f"{file.relative_to(PACKAGE).as_posix()} {sha256(file.read_bytes())}\n".encode())
    listed = _listed(PACKAGE)
    altered = sum(sha256_of_wheel(path.read_bytes()) != digest for path, digest in listed.items() if path.is_file())
    missing = sum(not path.is_file() for path in listed)
    return {
        "sha256": whole.hexdigest(),
        "installed": "wheel" if listed else "working copy",
        "altered": altered + missing,
    }


def _listed(package: Path) -> dict[Path, str]:
    """Return the Python files that a wheel installed here, with the digests of its list (PEP 376, RECORD)."""
    try:
        files = distribution("audit-pipeline").files or []
    except PackageNotFoundError:
        return {}
    found = {Path(str(file.locate())).resolve(): file.hash for file in files if file.suffix == ".py"}
    inside = package.resolve()
    return {path: one.value for path, one in found.items() if one is not None and inside in path.parents}


def sha256_of_wheel(content: bytes) -> str:
    """Return a digest as the list of a wheel writes it: URL-safe base 64 without padding.

    >>> sha256_of_wheel(b"")
    '47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU'
    """
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
