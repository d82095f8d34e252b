"""The labels file: what is known about each study beside its images."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

from audit_pipeline.errors import ConfigError

REQUIRED = ("study", "label")


def read_labels(path: Path) -> Mapping[str, Mapping[str, str]]:
    """Return the row of each study in a CSV file with the columns study and label and any others.

    Parameters
    ----------
    path : Path
        UTF-8, comma separated; the column study holds the path relative to the input folder without suffixes.

    Raises
    ------
    ConfigError
        The file cannot be read, a column is missing, a row is longer than the header, or a study is named twice.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream, strict=True)
            columns = list(reader.fieldnames or ())
            rows = [(reader.line_num, row) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"the labels file cannot be read as UTF-8 CSV ({type(error).__name__})") from error
    missing = [name for name in REQUIRED if name not in columns]
    if missing:
        raise ConfigError(f"the labels file needs the columns study and label; missing: {', '.join(missing)}")
    found: dict[str, Mapping[str, str]] = {}
    for line, row in rows:
        study = (row["study"] or "").strip()
        if not study:
            raise ConfigError(f"line {line} of the labels file names no study")
        if None in row or None in row.values():
            raise ConfigError(f"line {line} of the labels file has not the {len(columns)} columns of its header")
        if study in found:
            raise ConfigError(f"line {line} of the labels file names a study for the second time")
        found[study] = {column: (value or "").strip() for column, value in row.items()}
    return found
