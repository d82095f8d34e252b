"""The data of DICOM lookup tables: modality tables and palettes share one encoding."""

from __future__ import annotations

from typing import Any

import numpy as np

from audit_pipeline.records import Matrix


def table_entries(data: Any, length: int, *, is_little: bool) -> Matrix:
    r"""Return the first `length` entries of a lookup table, float64.

    Parameters
    ----------
    data : bytes of words, or of single bytes when there are too few for words (PS3.3, C.11.1.1.1); or numbers
    is_little : byte order of the file

    Raises
    ------
    ValueError
        There are fewer entries than announced.

    Examples
    --------
    >>> table_entries(b"\x01\x00\x02\x00", 2, is_little=True), table_entries(b"\x01\x02", 2, is_little=True)
    (array([1., 2.]), array([1., 2.]))
    """
    if isinstance(data, bytes):
        is_wide = len(data) >= 2 * length
        order = "<" if is_little else ">"
        entries = np.frombuffer(data[: 2 * length] if is_wide else data, dtype=f"{order}u2" if is_wide else "u1")
    else:
        entries = np.atleast_1d(np.asarray(data))
    if len(entries) < length:
        raise ValueError(f"the table announces {length} entries and holds {len(entries)}")
    return entries[:length].astype(np.float64)
