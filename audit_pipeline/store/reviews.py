"""``reviews.csv``: one line a study for the words of a reviewer, written by the run and filled in by people.

The run writes a line for every study that needs a verdict. What people wrote is never changed: a later closing only
appends lines for studies that are new.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from audit_pipeline.errors import StoreError
from audit_pipeline.reviews import Review, ReviewVerdict
from audit_pipeline.store.files import write_atomically

REVIEWS = "reviews.csv"
COLUMNS = ("study", "raised", "verdict", "reviewer", "note")
LONGEST = 400
"""Characters of a name or a note that are kept."""


def read_reviews(run: Path, known: Collection[str]) -> tuple[Review, ...]:
    """Return the lines of ``reviews.csv`` with a verdict, in their order; empty where there is no such file.

    Parameters
    ----------
    known : keys of the studies of the run

    Raises
    ------
    StoreError
        The file is not a UTF-8 table with the columns study and verdict, a word is not of the vocabulary, a
        study is not of the run, or one reviewer speaks twice about a study.
    """
    found: list[Review] = []
    for line, row in _rows(run):
        word = (row.get("verdict") or "").strip()
        if not word:
            continue
        review = Review(
            study=(row.get("study") or "").strip(),
            verdict=_verdict(word, line),
            reviewer=(row.get("reviewer") or "").strip()[:LONGEST],
            note=(row.get("note") or "").strip()[:LONGEST],
        )
        if review.study not in known:
            raise StoreError(f"{REVIEWS} line {line} speaks about a study that is not in this run; correct its key")
        if any((one.study, one.reviewer) == (review.study, review.reviewer) for one in found):
            raise StoreError(f"{REVIEWS} line {line}: the same reviewer speaks twice about this study; keep one line")
        found.append(review)
    return tuple(found)


def write_reviews(run: Path, needed: Mapping[str, Sequence[str]]) -> None:
    """Give every study that needs a verdict a line, unless it has one; a file that nobody filled in is written anew.

    Parameters
    ----------
    needed : study -> the codes that ask for a verdict, in the order of the lines

    Raises
    ------
    StoreError
        The file that is there cannot be read.
    """
    rows = [row for _, row in _rows(run)]
    is_untouched = not any((row.get(name) or "").strip() for row in rows for name in ("verdict", "reviewer", "note"))
    kept = [] if is_untouched else rows
    known = {(row.get("study") or "").strip() for row in kept}
    new = [{"study": key, "raised": " ".join(codes)} for key, codes in needed.items() if key not in known]
    if not kept or new:
        write_atomically(run / REVIEWS, _content([*kept, *new]))


def _content(rows: Sequence[Mapping[str, str | None]]) -> bytes:
    stream = io.StringIO()
    others = [name for name in dict.fromkeys(key for row in rows for key in row) if name not in COLUMNS]
    writer = csv.DictWriter(stream, [*COLUMNS, *others], restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue().encode()


def _rows(run: Path) -> list[tuple[int, dict[str, str | None]]]:
    """Return the rows with their line numbers; columns of their own that people added stay."""
    place = run / REVIEWS
    if not place.exists():
        return []
    try:
        text = place.read_text(encoding="utf-8-sig")
        # spreadsheets of many countries separate by semicolons
        separator = ";" if ";" in text.partition("\n")[0] else ","
        reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
        titles = list(reader.fieldnames or ())
        rows = [(reader.line_num, row) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise StoreError(f"{REVIEWS} cannot be read as a table in UTF-8; save it as CSV and try again") from error
    if not {"study", "verdict"} <= set(titles):
        raise StoreError(f"{REVIEWS} needs the columns study and verdict; move it away to get a new one")
    uneven = next((line for line, row in rows if None in row), None)
    if uneven is not None:
        raise StoreError(f"{REVIEWS} line {uneven} has more cells than there are titles; put words in quotation marks")
    return rows


def _verdict(word: str, line: int) -> ReviewVerdict:
    known = {str(one).casefold(): one for one in ReviewVerdict}
    found = known.get(word.casefold())
    if found is None:
        raise StoreError(f"{REVIEWS} line {line}: the verdict has to be one of: {'; '.join(ReviewVerdict)}")
    return found
