"""The account of one study: every input file ends with exactly one disposition."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from audit_pipeline.errors import LoadError
from audit_pipeline.records import Disposition, FileDisposition, Refusal


class Account:
    """Collects dispositions and refusals while a study is being read.

    The first disposition of a file counts; later ones are ignored, so that a refusal of a whole series does not hide
    why one of its files was already set aside. Only use comes before everything: a file of which one frame is part of
    an image was used. Refusals with the same reason are one refusal of several files.
    """

    def __init__(self, files: Sequence[Path]) -> None:
        self._files = tuple(files)
        self._settled: dict[Path, FileDisposition] = {}
        self._refused: dict[tuple[str, str], tuple[LoadError, list[Path]]] = {}

    def settle(self, paths: Iterable[Path], disposition: Disposition, reason: str = "") -> None:
        """Give `paths` their disposition."""
        for path in paths:
            if disposition is Disposition.USED or path not in self._settled:
                self._settled[path] = FileDisposition(path=path, disposition=disposition, reason=reason)

    def refuse(self, error: LoadError, paths: Sequence[Path], disposition: Disposition = Disposition.REFUSED) -> None:
        """Refuse `paths` because of `error`, which is kept for the caller."""
        _, refused = self._refused.setdefault((error.code, str(error)), (error, []))
        refused.extend(dict.fromkeys(paths))
        self.settle(paths, disposition, f"{error.code}: {error}")

    @property
    def refusals(self) -> tuple[Refusal, ...]:
        """The refusals so far, causes before consequences."""
        return tuple(
            Refusal(code=code, message=message, files=tuple(paths))
            for (code, message), (_, paths) in self._refused.items()
        )

    def decisive_error(self) -> LoadError | None:
        """Return the error that concerns most files, the later one of equals; None when nothing was refused."""
        if not self._refused:
            return None
        error, paths = max(reversed(self._refused.values()), key=lambda refused: len(refused[1]))
        error.files = tuple(paths)
        return error

    def dispositions(self) -> tuple[FileDisposition, ...]:
        """Return one disposition per file of the study, in the order of the files."""
        self.settle(self._files, Disposition.REFUSED, "the study was refused before this file was needed")
        return tuple(self._settled[path] for path in self._files)

    def count(self, disposition: Disposition) -> int:
        """Return how many files have `disposition` so far."""
        return sum(1 for settled in self._settled.values() if settled.disposition is disposition)
