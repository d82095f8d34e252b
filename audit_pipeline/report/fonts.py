"""Fonts and hostile text: everything printed is cleaned, split by the font that has its glyphs, and escaped.

Source Sans speaks first, DejaVu Sans for what it lacks, then the font of `wide_fonts` where there is one; a character
that none has is printed as its code point. All fonts are embedded as TrueType subsets.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from xml.sax.saxutils import escape

import matplotlib as mpl
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont

from audit_pipeline.report import bidi, numbers, wide_fonts

REGULAR, BOLD = "SourceSans", "SourceSans-Bold"
_FALLBACK = {REGULAR: "DejaVuSans", BOLD: "DejaVuSans-Bold"}
_BLANKS = {"\t", "\n", "\r", "\u00a0", "\u2028", "\u2029"}

_IS_SCREEN: ContextVar[bool] = ContextVar("is_screen", default=False)

LONGEST = 20_000
"""Characters of one text that are looked at; what lies beyond is counted, not printed."""


@contextmanager
def for_screen() -> Iterator[None]:
    """Leave order, joining and fonts of every script to the browser; what would be invisible is still shown."""
    before = _IS_SCREEN.set(True)
    try:
        yield
    finally:
        _IS_SCREEN.reset(before)


@lru_cache(maxsize=1)
def register() -> None:
    """Make the four fonts known to the PDF library; calling it again does nothing."""
    source_sans = files("font_source_sans_pro") / "files"
    dejavu = Path(mpl.get_data_path()) / "fonts" / "ttf"
    for name, path in (
        (REGULAR, source_sans / "SourceSansPro-Regular.ttf"),
        (BOLD, source_sans / "SourceSansPro-Semibold.ttf"),
        (_FALLBACK[REGULAR], dejavu / "DejaVuSans.ttf"),
        (_FALLBACK[BOLD], dejavu / "DejaVuSans-Bold.ttf"),
    ):
        pdfmetrics.registerFont(TTFont(name, str(path)))


@lru_cache(maxsize=4)
def _glyphs(font: str) -> frozenset[int]:
    register()
    return frozenset(code for code, glyph in pdfmetrics.getFont(font).face.charToGlyph.items() if glyph)


def _code_point(character: str) -> str:
    code = ord(character)
    return f"\\u{code:04X}" if code <= 0xFFFF else f"\\U{code:08X}"


def clean(text: str) -> str:
    r"""Return `text` with only characters that can be drawn, in drawing order.

    Line ends and tabs become blanks. Control and format characters, lone surrogates and characters without a glyph
    become their code point, so that nothing is hidden from the reader.

    Examples
    --------
    >>> clean("a\tb\x00")
    'a b\\u0000'
    """
    if text.isascii() and text.isprintable() and len(text) <= LONGEST:
        return text
    kept = unicodedata.normalize("NFC", text[:LONGEST])
    drawn = "".join(_drawable(character) for character in kept)
    if len(text) > LONGEST:
        drawn += f"\u2026 ({len(text) - LONGEST} more characters)"
    return drawn if _IS_SCREEN.get() else bidi.visual(drawn)


def _drawable(character: str) -> str:
    if character in _BLANKS:
        return " "
    if unicodedata.category(character)[0] == "C":
        return _code_point(character)
    return character if _IS_SCREEN.get() or _font_of(character, REGULAR) else _code_point(character)


def _font_of(character: str, font: str) -> str:
    """Return the first of `font`, its fallback and the wide font that has a glyph for a character, "" for none."""
    code = ord(character)
    for name in (font, _FALLBACK[font]):
        if code in _glyphs(name):
            return name
    return wide_fonts.NAME if code in wide_fonts.register() else ""


def lacking(texts: Iterable[str]) -> bool:
    """Return whether a letter, figure or sign of the texts has no glyph in any font, so that its code point stands."""
    characters = {one for text in texts if not text.isascii() for one in unicodedata.normalize("NFC", text)}
    return any(unicodedata.category(one)[0] not in "CZ" and not _font_of(one, REGULAR) for one in sorted(characters))


def runs(text: str, font: str = REGULAR) -> list[tuple[str, str]]:
    """Split clean text into (font, piece) where every piece has all its glyphs in that font.

    Examples
    --------
    >>> runs("a\u2602b")
    [('SourceSans', 'a'), ('DejaVuSans', '\u2602'), ('SourceSans', 'b')]
    """
    if _IS_SCREEN.get():
        return [(font, text)] if text else []
    pieces: list[tuple[str, str]] = []
    for character in text:
        name = _font_of(character, font) or _FALLBACK[font]
        if pieces and pieces[-1][0] == name:
            pieces[-1] = (name, pieces[-1][1] + character)
        else:
            pieces.append((name, character))
    return pieces


def markup(text: str, font: str = REGULAR) -> str:
    """Return `text` cleaned and escaped for a paragraph, with font changes where the first font lacks a glyph."""
    return "".join(
        escape(piece) if name == font else f'<font name="{name}">{escape(piece)}</font>'
        for name, piece in runs(clean(numbers.typeset(text)), font)
    )


def bold(text: str) -> str:
    """Return `text` as bold paragraph markup."""
    return f'<font name="{BOLD}">{markup(text, BOLD)}</font>'


def width_of(text: str, size: float, font: str = REGULAR) -> float:
    """Return the width in points of clean text at `size` points."""
    return sum(float(pdfmetrics.stringWidth(piece, name, size)) for name, piece in runs(text, font))


def fitted(text: str, width: float, size: float, font: str = REGULAR) -> str:
    """Return cleaned `text`, shortened with an ellipsis so that it is at most `width` points wide."""
    drawn = clean(text)
    if width_of(drawn, size, font) <= width:
        return drawn
    low, high = 0, len(drawn)
    while low < high:
        middle = (low + high + 1) // 2
        if width_of(drawn[:middle].rstrip() + "\u2026", size, font) <= width:
            low = middle
        else:
            high = middle - 1
    return drawn[:low].rstrip() + "\u2026"


def draw(canvas: object, place: tuple[float, float], text: str, size: float, **look: object) -> None:
    """Draw clean text with its baseline at `place`.

    Parameters
    ----------
    look : font (a registered name), align ("left", "centre" or "right"), colour (a reportlab colour)
    """
    page: object = canvas
    font = str(look.get("font", REGULAR))
    shift = {"left": 0.0, "centre": 0.5, "right": 1.0}[str(look.get("align", "left"))]
    x, y = place
    x -= shift * width_of(text, size, font)
    _draw_runs(page, (x, y), runs(text, font), size, look.get("colour"))


def _draw_runs(
    page: object, place: tuple[float, float], pieces: list[tuple[str, str]], size: float, colour: object
) -> None:
    x, y = place
    line = page.beginText(x, y)  # type: ignore[attr-defined]
    if colour is not None:
        line.setFillColor(colour)
    for name, piece in pieces:
        line.setFont(name, size)
        line.textOut(piece)
    page.drawText(line)  # type: ignore[attr-defined]
