"""Reading a PDF back: its words, its fonts, its pixels."""

from __future__ import annotations

import io

import numpy as np
import pikepdf
import pypdf
import pypdfium2


def words(content, page=None):
    """The text of a PDF with line ends as blanks; of one page when `page` is given."""
    pages = pypdf.PdfReader(io.BytesIO(content)).pages
    chosen = pages if page is None else [pages[page]]
    return " ".join(" ".join(one.extract_text().split()) for one in chosen)


def page_count(content):
    return len(pypdf.PdfReader(io.BytesIO(content)).pages)


def pixels(content, page=0, dpi=144):
    """A page as (H, W, 3) uint8."""
    document = pypdfium2.PdfDocument(content)
    try:
        return np.asarray(document[page].render(scale=dpi / 72).to_pil().convert("RGB")).copy()
    finally:
        document.close()


def placed_words(content, page=0):
    """(left, bottom, right, top, text) in points of every text rectangle of a page."""
    document = pypdfium2.PdfDocument(content)
    try:
        text = document[page].get_textpage()
        boxes = [text.get_rect(place) for place in range(text.count_rects())]
        found = [(*box, text.get_text_bounded(*box).strip()) for box in boxes]
        text.close()
        return found
    finally:
        document.close()


def fonts(content):
    """Every font dictionary of a PDF."""
    with pikepdf.open(io.BytesIO(content)) as document:
        found = [one for one in document.objects if isinstance(one, pikepdf.Dictionary) and one.get("/Type") == "/Font"]
        return [
            (str(one["/BaseFont"]), str(one["/Subtype"]), "/FontFile2" in one.get("/FontDescriptor", {}))
            for one in found
        ]
