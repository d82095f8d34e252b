"""Third-party readers kept at arm's length: their warnings stay local, their exceptions become typed refusals."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from audit_pipeline.errors import LimitError, LoadError


@contextmanager
def quiet() -> Iterator[None]:
    """Keep the warnings and log lines of pydicom and nibabel inside: they may quote header text, which may be identity.

    Nothing of it is lost: what matters is measured by this package itself and reported as a finding.
    """
    loggers = [logging.getLogger(name) for name in ("pydicom", "nibabel", "nibabel.global")]
    before = [(logger.propagate, logger.disabled) for logger in loggers]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for logger in loggers:
            logger.propagate, logger.disabled = False, True
        try:
            yield
        finally:
            for logger, (propagate, disabled) in zip(loggers, before, strict=True):
                logger.propagate, logger.disabled = propagate, disabled


@contextmanager
def translated(kind: type[LoadError], message: str, files: Sequence[Path] = ()) -> Iterator[None]:
    """Turn whatever a third-party reader raises inside into `kind` with `message`; typed refusals pass.

    The text of the original exception is not repeated, because it may quote the file; its type is.

    Raises
    ------
    LoadError
        `kind`, or ``LimitError`` when the reader ran out of memory or recursion depth.
    """
    try:
        with quiet():
            yield
    except LoadError:
        raise
    except (MemoryError, RecursionError) as error:
        raise LimitError(
            "the file asks for more memory or nests deeper than this machine allows; check where it comes from", files
        ) from error
    except Exception as error:
        raise kind(f"{message} ({type(error).__name__})", files) from error
