"""``traits.npz``: what one study looked like to the model and to the checks, kept for the cohort and for references."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import numpy as np

from audit_pipeline.errors import StoreError
from audit_pipeline.evidence import Traits

ARRAYS = ("features", "moments", "quantiles", "thumbnail", "logits")


def traits_bytes(traits: Traits) -> bytes:
    """Return the archive; the same bytes for the same traits."""
    words = {"header": dict(traits.header), "values": dict(traits.values), "label": traits.label}
    text = np.frombuffer(json.dumps(words, sort_keys=True, allow_nan=False).encode(), dtype=np.uint8)
    stream = io.BytesIO()
    np.savez_compressed(stream, words=text, **{name: getattr(traits, name) for name in ARRAYS})
    return stream.getvalue()


def read_traits(path: Path) -> Traits:
    """Return the traits in a file.

    Raises
    ------
    StoreError
        The file is missing or damaged.
    """
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
            words = json.loads(archive["words"].tobytes())
            arrays = {name: np.asarray(archive[name], dtype=np.float32) for name in ARRAYS}
            return Traits(**arrays, header=words["header"], values=words["values"], label=words["label"])
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        where = f"{path.parent.name}/{path.name}"
        raise StoreError(f"{where} is missing or damaged; run the audit of this study again") from error
