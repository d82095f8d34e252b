"""What must hold for whatever comes back of a folder, however hostile its files are."""

from __future__ import annotations

import json
import logging
import math
import os
import re
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from audit_pipeline.errors import LoadError
from audit_pipeline.findings import Finding
from audit_pipeline.load import Delivery, LoadSettings, StudySource, deliver, find_studies
from audit_pipeline.records import Image

CANARY = "QZXQZX"
"""Stands in the identifying fields of all seeds; the mutators put it into others. It may appear in no message."""
SECONDS = 4.0
"""Of processor time for one folder: two, and as much again for the coverage that counts every line."""
LONGEST_MESSAGE = 400


class Violation(AssertionError):  # noqa: N818 - it is what a law suffers
    """An invariant that does not hold."""


def check_folder(folder: Path, settings: LoadSettings | None = None, *, seconds: float = SECONDS) -> str:
    """Load everything below `folder` and check all invariants; return how it ended, as a short word.

    Raises
    ------
    Violation
        One of them does not hold.
    """
    with _silence():
        started = time.process_time()
        try:
            sources = find_studies([folder])
        except LoadError as error:
            _check_message(str(error), folder)
            return error.code
        deliveries = [(source, deliver(source, settings)) for source in sources]
        elapsed = time.process_time() - started
    _require(elapsed <= seconds, f"took {elapsed:.1f} s of processor time")
    # files that are there, each in exactly one source; members of archives come on top
    loose = {path for path in folder.resolve().rglob("*") if path.is_file()}
    listed = [file for source in sources for file in source.files]
    _require(len(listed) == len(set(listed)), "a file belongs to two sources")
    _require(loose <= {*listed, *(folder for one in listed for folder in one.parents)}, "a file belongs to no source")
    for source, delivery in deliveries:
        _check_delivery(source, delivery, folder)
    return " ".join(sorted({_end(delivery) for _, delivery in deliveries}))


def _end(delivery: Delivery) -> str:
    return "delivered" if delivery.error is None else delivery.error.code


def _require(holds: bool, what: str) -> None:
    if not holds:
        raise Violation(what)


def _check_delivery(source: StudySource, delivery: Delivery, folder: Path) -> None:
    _require((delivery.study is None) != (delivery.error is None), "not exactly one of study and error")
    _require([one.path for one in delivery.files] == list(source.files), "the dispositions are not the files")
    for refusal in delivery.refusals:
        _check_message(refusal.message, folder)
    for file in delivery.files:
        _check_message(file.reason, folder)
    if delivery.error is not None:
        _require(isinstance(delivery.error, LoadError), "the error has no type of this package")
        _check_message(str(delivery.error), folder)
    if delivery.study is not None:
        _require(bool(delivery.study.images), "a study without images")
        _check_findings(delivery.study.findings, folder)
        for image in delivery.study.images:
            check_image(image, folder)


def _check_message(message: str, folder: Path) -> None:
    _require(CANARY not in message, f"a message quotes the header: {message[:200]}")
    _require(folder.name not in message, f"a message names a path: {message[:200]}")
    _require(len(message) <= LONGEST_MESSAGE, f"a message of {len(message)} characters: {message[:100]}")
    _require(re.search(r"\d{30}", message) is None, f"a message with a number that nobody reads: {message[:200]}")
    _require(message.isprintable(), f"a message does not print: {message[:200]!r}")


def _check_findings(findings: Sequence[Finding], folder: Path) -> None:
    for finding in findings:
        _check_message(finding.message, folder)
        for number in (finding.value, finding.limit):
            _require(number is None or math.isfinite(number), f"finding {finding.code} holds {number}")


def check_image(image: Image, folder: Path) -> None:
    """Check one delivered image."""
    values = image.values
    _require(values.dtype == np.float32, f"values are {values.dtype}")
    _require(not values.flags.writeable, "values are not sealed")
    _require(values.size > 0, "an image without pixels")
    _require(bool(np.isfinite(values).all()), "values are not finite")
    _require(len(image.spacing_mm) in {2, 3}, "neither slice nor volume")
    _require(values.ndim == len(image.spacing_mm) or values.shape[-1] == 3, "axes and spacing disagree")
    if image.invalid is not None:
        _require(image.invalid.shape == image.shape and not image.invalid.flags.writeable, "the mask does not fit")
    _require(all(one is None or 0 < one < math.inf for one in image.spacing_mm), f"spacing {image.spacing_mm}")
    if image.affine is not None:
        _check_affine(image)
    _check_findings(image.findings, folder)
    json.dumps(dict(image.metadata), allow_nan=False)
    _require(all(len(one) == 64 for one in image.sources) and bool(image.sources), "sources are no digests")


def _check_affine(image: Image) -> None:
    affine = image.affine
    assert affine is not None
    _require(affine.shape == (4, 4) and affine.dtype == np.float64 and not affine.flags.writeable, "no sealed affine")
    _require(bool(np.isfinite(affine).all()), "the affine is not finite")
    with np.errstate(all="ignore"):
        try:
            inverse = np.linalg.inv(affine)
        except np.linalg.LinAlgError as error:
            raise Violation("the affine has no inverse") from error
        there_and_back = inverse @ affine
    _require(bool(np.isfinite(inverse).all()), "the inverse of the affine is not finite")
    _require(bool(np.allclose(there_and_back[:3, :3], np.eye(3), atol=1e-6)), "the affine has no useful inverse")


@contextmanager
def _silence() -> Iterator[None]:
    """Let nothing be said inside: no warning, no log line, nothing on standard output and error."""
    lines: list[str] = []

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(record.getMessage())

    listener = Listener()
    root = logging.getLogger()
    root.addHandler(listener)
    try:
        with _captured() as said, warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            yield
    finally:
        root.removeHandler(listener)
    _require(not lines, f"log lines: {lines[:2]}")
    _require(not warned, f"warnings: {[str(one.message)[:100] for one in warned[:2]]}")
    _require(not said[0], f"standard output or error: {said[0][:200]!r}")


@contextmanager
def _captured() -> Iterator[list[bytes]]:
    """Catch what is written to the descriptors 1 and 2, also by libraries in C."""
    said = [b""]
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    with tempfile.TemporaryFile() as sink:
        kept = [os.dup(1), os.dup(2)]
        try:
            os.dup2(sink.fileno(), 1)
            os.dup2(sink.fileno(), 2)
            yield said
        finally:
            for number, copy in enumerate(kept, start=1):
                os.dup2(copy, number)
                os.close(copy)
            sink.seek(0)
            said[0] = sink.read()
