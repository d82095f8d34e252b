"""What the maker of a model promises in its card beside the model: golden cases, and when to audit it again."""

from __future__ import annotations

from datetime import date
from pathlib import Path

from pydantic import Field

from audit_pipeline.strict import Settings


class GoldenCard(Settings):
    """A golden case: an input for which the maker of the model states the logits; run before the first study.

    path : the file, or the folder with the files of one study
    sha256 : of the file; of a folder, of the sorted digests of its files, one a line, see `golden_digest`
    logits : class -> logit; tolerance : largest difference of a logit that counts as none
    input_sha256 : of the model input, as a record states it (``image.input_digest``); null: not stated
    """

    path: Path
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    logits: dict[str, float] = Field(min_length=1)
    tolerance: float = Field(1e-3, gt=0)
    input_sha256: str | None = Field(None, pattern=r"^[0-9a-f]{64}$")


class ReauditCard(Settings):
    """When the model must be audited again, and what the last audit knew; what is empty is not compared.

    by : date of the next audit; version, weights_sha256 : of the model that was audited last
    sites : those of the last audit, as in the labels file; scanners : their ManufacturerModelName in the headers
    """

    by: date | None = None
    version: str = ""
    weights_sha256: str = Field("", pattern=r"^([0-9a-f]{64})?$")
    sites: list[str] = []
    scanners: list[str] = []
