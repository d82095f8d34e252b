"""What makes a report last: PDF/A-3b, page labels, and the records it was drawn from as associated files.

ISO 19005-3 asks for an output intent, XMP metadata that name the standard, and a relationship for every attached file.
No date is written: a report is the same bytes whenever it is drawn, and its signature is what dates it.
"""

from __future__ import annotations

import io
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass

import pikepdf
from pikepdf import Dictionary, Name, String, pdfa

FLAVOUR = "3b"
LONGEST = 2000
"""Characters of one entry of the metadata."""

NO_DATE = ""
"""Leaves the date of an attached file away; the time at which a report is drawn says nothing about the record."""


@dataclass(frozen=True, slots=True)
class _Kind:
    relationship: str
    description: str


KINDS = {
    "record.json": _Kind("/Source", "The record of this study as it is stored, without its timings"),
    "cohort.json": _Kind("/Source", "The summary of the cohort, the stored bytes"),
    "run.json": _Kind("/Data", "How the run was configured, without the times of its start and end"),
}
"""Name of an attached file -> what it is to the report (ISO 19005-3, 6.8) and the words a viewer shows."""


def finish(document: pikepdf.Pdf, attached: Mapping[str, bytes], keys: Mapping[str, str]) -> None:
    """Make an open document PDF/A-3b, in memory.

    Parameters
    ----------
    attached : a name in `KINDS` -> content, in the order in which a viewer lists them
    keys : further entries of the document information, without the leading slash
    """
    for name, content in attached.items():
        _attach(document, name, content)
    document.Root.PageLabels = Dictionary(Nums=[0, Dictionary(S=Name.D)])
    for name, value in keys.items():
        document.docinfo[f"/{name}"] = String(value)
    pdfa.prepare(document, FLAVOUR)
    with document.open_metadata(set_pikepdf_as_editor=False, update_docinfo=False) as metadata:
        del metadata["xmp:MetadataDate"]


def _attach(document: pikepdf.Pdf, name: str, content: bytes) -> None:
    kind = KINDS[name]
    document.attachments[name] = pikepdf.AttachedFileSpec(
        document,
        content,
        filename=name,
        description=kind.description,
        mime_type="application/json",
        relationship=Name(kind.relationship),
        creation_date=NO_DATE,
        mod_date=NO_DATE,
    )


def plain(words: str) -> str:
    r"""Return `words` for metadata: in reading order, with control and format characters as their code points.

    >>> plain("a\x00b")
    'a\\u0000b'
    """
    return "".join(
        f"\\u{ord(one):04X}" if unicodedata.category(one)[0] == "C" else one for one in words[:LONGEST].strip()
    )


def attached_files(content: bytes) -> Mapping[str, bytes]:
    """Return name -> content of every file attached to a PDF; empty when it is no readable PDF."""
    try:
        with pikepdf.open(io.BytesIO(content)) as document:
            return {name: one.get_file().read_bytes() for name, one in document.attachments.items()}
    except pikepdf.PdfError:
        return {}
