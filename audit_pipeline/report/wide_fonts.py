"""A font for the scripts that the fonts of the reports lack, Chinese, Japanese and Korean above all.

It comes with the extra ``cjk`` (Noto Sans CJK, SIL Open Font License 1.1) or from the system. Where its outlines are
cubic (CFF), which the PDF library cannot embed, those of the characters that a document uses are made quadratic; what
is embedded is a subset of a few glyphs either way, and the same text gives the same bytes.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Collection
from functools import lru_cache
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

from fontTools.fontBuilder import FontBuilder
from fontTools.pens.cu2quPen import Cu2QuPen
from fontTools.pens.ttGlyphPen import TTGlyphPen
from fontTools.ttLib import TTFont as SourceFont
from fontTools.ttLib import TTLibError
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont, TTFontFace, TTFontFile

NAME = "Wide"
PACKAGE, PACKAGE_FILE = "noto_cjk_sans_otc", "NotoSansCJK-Regular.ttc"
SIMPLIFIED_CHINESE = 2
"""Place in the collections of Noto; Japanese and Korean letters are in it as well, and Han as Chinese readers write."""

SYSTEM = (
    (Path("/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc"), SIMPLIFIED_CHINESE),
    (Path("/usr/share/fonts/truetype/droid/DroidSansFallbackFull.ttf"), 0),
)
"""Where Debian's packages fonts-noto-cjk and fonts-droid-fallback put their font, and its place in the file."""

HOW_TO_GET = (
    "install the extra with \u201cpip install audit_pipeline[cjk]\u201d, or Debian's fonts-noto-cjk or "
    "fonts-droid-fallback"
)
LARGEST_ERROR = 0.001
"""Of the em: how far a quadratic outline may lie from the cubic one."""

FIXED_TIME_S = 2_082_844_800
"""The start of 1970 in the epoch of TrueType, 1904: a font says nothing of when it was converted."""

LOG = logging.getLogger(__name__)


@lru_cache(maxsize=1)
def register() -> frozenset[int]:
    """Make the font known to the PDF library as `NAME` and return its code points; none where there is no such font."""
    for path, number in candidates():
        try:
            font = _opened(path, number)
        except (OSError, TTLibError, KeyError, ValueError) as error:
            LOG.warning("a font for further scripts cannot be read (%s); %s", type(error).__name__, HOW_TO_GET)
            continue
        pdfmetrics.registerFont(font)
        return frozenset(code for code, glyph in font.face.charToGlyph.items() if glyph)
    LOG.warning("no font for further scripts is installed: their characters are printed as code points; %s", HOW_TO_GET)
    return frozenset()


def candidates() -> list[tuple[Path, int]]:
    """Return the font files that are there and the place of the font in each, the package's first."""
    package = [(Path(str(files(PACKAGE) / PACKAGE_FILE)), SIMPLIFIED_CHINESE)] if find_spec(PACKAGE) else []
    return [(path, number) for path, number in (*package, *SYSTEM) if path.is_file()]


def _opened(path: Path, number: int) -> TTFont:
    source = SourceFont(io.BytesIO(path.read_bytes()), fontNumber=number, lazy=True)
    if "glyf" in source:
        return TTFont(NAME, str(path), subfontIndex=number, asciiReadable=False, shapable=False)
    return ConvertedFont(source)


class ConvertedFont(TTFont):  # type: ignore[misc]
    """A font whose glyphs are converted when a document that uses them is written."""

    def __init__(self, source: SourceFont) -> None:
        first = converted(source, [])
        super().__init__(NAME, io.BytesIO(first), asciiReadable=False, shapable=False)
        self.face = ConvertedFace(source, first)


class ConvertedFace(TTFontFace):  # type: ignore[misc]
    """A face with all characters and widths of a font with cubic outlines."""

    def __init__(self, source: SourceFont, first: bytes) -> None:
        super().__init__(io.BytesIO(first))
        self.source = source
        per_em = 1000 / source["head"].unitsPerEm
        metrics, order = source["hmtx"].metrics, source.getReverseGlyphMap()
        named = source.getBestCmap()
        self.charToGlyph = {code: order[name] for code, name in named.items()}
        self.charWidths = {code: per_em * metrics[name][0] for code, name in named.items()}

    def makeSubset(self, subset: Collection[int]) -> bytes:  # noqa: N802 - the name that the PDF library calls
        """Return a TrueType file with the glyphs of `subset`, a code point for every code of the PDF font."""
        made = converted(self.source, [code for code in subset if code in self.charToGlyph])
        content: bytes = TTFontFile(io.BytesIO(made)).makeSubset(subset)
        return content


def converted(source: SourceFont, codes: Collection[int]) -> bytes:
    """Return a TrueType file with the glyphs of some code points of a font with cubic outlines, metrics kept.

    References
    ----------
    Cubic to quadratic curves as fontTools.cu2qu does it; contours turn round, as TrueType fills the other way.
    """
    names = {code: name for code, name in sorted(source.getBestCmap().items()) if code in set(codes)}
    order = [".notdef", *dict.fromkeys(names.values())]
    drawn, em = source.getGlyphSet(), source["head"].unitsPerEm
    glyphs = {}
    for name in order:
        pen = TTGlyphPen(None)
        drawn[name].draw(Cu2QuPen(pen, LARGEST_ERROR * em, reverse_direction=True))
        glyphs[name] = pen.glyph()
    builder = FontBuilder(em, isTTF=True)
    builder.setupGlyphOrder(order)
    builder.setupCharacterMap(names)
    builder.setupGlyf(glyphs)
    builder.setupHorizontalMetrics({name: source["hmtx"].metrics[name] for name in order})
    builder.setupHorizontalHeader(ascent=source["hhea"].ascent, descent=source["hhea"].descent)
    family = source["name"].getDebugName(1)
    builder.setupNameTable({"familyName": family, "styleName": "Regular", "psName": source["name"].getDebugName(6)})
    builder.setupOS2(sTypoAscender=source["hhea"].ascent, sTypoDescender=source["hhea"].descent, usWeightClass=400)
    builder.setupPost()
    builder.font["head"].created = builder.font["head"].modified = FIXED_TIME_S
    builder.font.recalcTimestamp = False
    stream = io.BytesIO()
    builder.font.save(stream)
    return stream.getvalue()
