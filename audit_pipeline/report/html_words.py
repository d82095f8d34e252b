"""The words of printed paragraphs as text of a page."""

from __future__ import annotations

import re
from html import unescape
from typing import Any

from markupsafe import Markup
from reportlab.platypus import Paragraph

from audit_pipeline.report import fonts
from audit_pipeline.report.html_elements import joined, tag

PIECES = re.compile(r'<br/>|(?:<font name="(?P<font>[^"]*)">)?(?P<text>[^<]+)(?:</font>)?')
"""The markup that `fonts.markup` and `fonts.bold` make: text, text in a font, ends of lines."""


def words(item: Paragraph) -> Markup:
    """Return the text of a paragraph; bold words stay strong, line ends stay.

    Its own markup is read, because laying it out for paper changes everything else that it keeps.
    """
    is_bold = item.style.fontName == fonts.BOLD
    return joined([_piece(piece, is_bold=is_bold) for piece in PIECES.finditer(item.text)])


def _piece(piece: re.Match[str], *, is_bold: bool) -> Markup:
    if piece["text"] is None:
        return tag("br")
    is_strong = piece["font"] == fonts.BOLD and not is_bold
    text = unescape(piece["text"])
    return tag("strong", text) if is_strong else joined((text,))


def plain(item: Any) -> str:
    """Return the words of a paragraph; "" for anything else."""
    if not isinstance(item, Paragraph):
        return ""
    return "".join(unescape(piece["text"] or " ") for piece in PIECES.finditer(item.text))
