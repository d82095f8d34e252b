"""Third-party readers kept at arm's length: their warnings stay local, their exceptions become typed refusals."""

from __future__ import annotations

import logging
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from audit_pipeline.errors import LimitError, LoadError


class _Quiet:
    """Counts who asked for quiet, because warning filters belong to the process and not to a thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._depth = 0
        self._stack = ExitStack()

    def __enter__(self) -> None:
        with self._lock:
            self._depth += 1
            if self._depth > 1:
                return
            self._stack.enter_context(warnings.catch_warnings())
            warnings.simplefilter("ignore")
            for name in ("pydicom", "nibabel", "nibabel.global"):
                logger = logging.getLogger(name)
                self._stack.callback(_restored, logger, logger.propagate, logger.disabled)
                logger.propagate, logger.disabled = False, True

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._depth -= 1
            if self._depth == 0:
                self._stack.close()


def _restored(logger: logging.Logger, propagate: bool, disabled: bool) -> None:  # noqa: FBT001 - as `logging` has them
    logger.propagate, logger.disabled = propagate, disabled


_QUIET = _Quiet()


def quiet() -> _Quiet:
    """Keep the warnings and log lines of pydicom and nibabel inside: they may quote header text, which may be identity.

    Nothing of it is lost: what matters is measured by this package itself and reported as a finding. It may be asked
    for again inside, and in several threads at once.
    """
    return _QUIET


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
