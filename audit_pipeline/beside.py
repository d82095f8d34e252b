"""What speaks about a study beside its own image: a reader's mask, its other images, the golden cases of the model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from audit_pipeline.checks import catalogue, planned, resampled
from audit_pipeline.config import AuditConfig
from audit_pipeline.errors import AuditError
from audit_pipeline.evidence import Evidence, GoldenCase, Sibling
from audit_pipeline.load import StudySource, read_reference_mask, sibling_images
from audit_pipeline.load.chosen import settings_from
from audit_pipeline.models.classifier import Classifier
from audit_pipeline.predict import forward, probabilities
from audit_pipeline.prepare import prepare
from audit_pipeline.records import FileDisposition, Image, Mask, Prepared, sealed

ASKING = "series_disagree"
"""The check that the other images of a study are loaded for."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Company:
    """Where to look beside a study: its files, the mask that a reader drew, and what the golden cases said."""

    source: StudySource
    mask: Path | None = None
    golden: tuple[GoldenCase, ...] = ()


def with_company(
    evidence: Evidence,
    company: Company,
    files: Sequence[FileDisposition],
    classifier: Classifier,
    config: AuditConfig,
) -> Evidence:
    """Return the evidence with everything that is known beside the image.

    The other images are loaded and asked only where a check of the level wants them, one at a time.

    Parameters
    ----------
    files : what became of the files of the study when its image was delivered
    """
    mask, reason = marked_on(company.mask, evidence.image, evidence.prepared)
    chosen = planned(config.checks, config.audit.level).checks
    others: tuple[Sibling, ...] | None = None
    if any(one.mode.name == ASKING for one in chosen):
        settings = settings_from(config.input, config.run.workers)
        found = sibling_images(company.source, files, evidence.image, settings)
        others = tuple(asked_about(found, classifier, catalogue()[ASKING].mode.cost))
    return replace(evidence, reference_mask=mask, mask_reason=reason, golden=company.golden, siblings=others)


def marked_on(path: Path | None, image: Image, prepared: Prepared) -> tuple[Mask | None, str]:
    """Return the mask of a reader on the model input, (*S), or None and why it cannot be used, "" without a mask."""
    if path is None:
        return None, ""
    try:
        drawn = read_reference_mask(path)
        drawn.require_overlap(image)
        marked = resampled(drawn.mask, prepared, drawn.to_image(image))
    except AuditError as error:
        return None, f"The reference mask cannot be used: {error}."
    if not marked.any():
        return None, "The reference mask lies where the model does not look: outside the model input."
    return sealed(marked), ""


def asked_about(found: Iterator[tuple[str, Image]], classifier: Classifier, most: int) -> Iterator[Sibling]:
    """Yield what the model says to the first `most` of other images; one that it cannot take says why."""
    for difference, image in islice(found, most):
        try:
            prepared = prepare(image, classifier.card)
            logits = forward(classifier.network, classifier.device, prepared.values[None])[0]
        except AuditError as error:
            yield Sibling(difference=difference, reason=str(error))
        else:
            chances = probabilities(logits.tolist(), classifier.card.task)
            yield Sibling(difference=difference, probabilities=chances)
