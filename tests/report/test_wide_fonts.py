"""A font for the scripts that the fonts of the reports lack."""

from __future__ import annotations

import io
import logging

import pdf_reading
import pytest
from fontTools.pens.boundsPen import BoundsPen
from fontTools.ttLib import TTFont
from reportlab.pdfgen.canvas import Canvas

from audit_pipeline.report import fonts, wide_fonts

TEXT = "\u80ba\u7d50\u7bc0 \u80ba\u7ed3\u8282 \u304b\u306a \ud55c\uad6d"
"""Nodule of the lung in Japanese and in Chinese letters, kana, hangul."""

needs_font = pytest.mark.skipif(not wide_fonts.candidates(), reason="neither the extra cjk nor a system font is here")


def page(text):
    stream = io.BytesIO()
    canvas = Canvas(stream, invariant=1)
    fonts.draw(canvas, (50, 700), fonts.clean(text), 12)
    canvas.save()
    return stream.getvalue()


@pytest.fixture
def no_font(monkeypatch):
    monkeypatch.setattr(wide_fonts, "candidates", list)
    wide_fonts.register.cache_clear()
    yield
    wide_fonts.register.cache_clear()


@needs_font
def test_letters_of_east_asia_are_printed_as_they_are_and_read_back():
    assert fonts.clean(TEXT) == TEXT
    assert {name for name, piece in fonts.runs(TEXT) if piece.strip()} == {wide_fonts.NAME}
    assert pdf_reading.words(page(TEXT)).strip() == TEXT


@needs_font
def test_the_same_text_gives_the_same_bytes_whatever_was_printed_before():
    first = page(TEXT)
    page("\u8a3a\u65ad")
    assert page(TEXT) == first


@needs_font
def test_only_the_glyphs_of_the_text_are_embedded():
    assert len(page(TEXT)) < 40_000


@needs_font
def test_a_converted_glyph_keeps_its_width_and_its_box():
    (path, number), *_ = wide_fonts.candidates()
    source = TTFont(io.BytesIO(path.read_bytes()), fontNumber=number, lazy=True)
    if "glyf" in source:
        pytest.skip("the font here has quadratic outlines already")
    code = 0x80BA
    made = TTFont(io.BytesIO(wide_fonts.converted(source, [code])))
    name = source.getBestCmap()[code]
    assert made["hmtx"].metrics[made.getBestCmap()[code]][0] == source["hmtx"].metrics[name][0]
    box = made["glyf"][made.getBestCmap()[code]]
    drawn = source.getGlyphSet()[name]
    pen = BoundsPen(None)
    drawn.draw(pen)
    assert (box.xMin, box.yMin, box.xMax, box.yMax) == pytest.approx(pen.bounds, abs=2)


def test_without_a_font_code_points_are_printed_and_it_is_said_once(no_font, caplog):
    with caplog.at_level(logging.WARNING):
        assert fonts.clean("\u80ba a") == "\\u80BA a"
        assert fonts.clean("\u7bc0") == "\\u7BC0"
    said = [record.getMessage() for record in caplog.records if record.name == wide_fonts.__name__]
    assert len(said) == 1
    assert "audit_pipeline[cjk]" in said[0]


def test_a_record_without_a_font_for_its_letters_is_told_from_one_with(no_font):
    assert fonts.lacking(["abc", "\u80ba"])
    assert not fonts.lacking(["abc", "\u00e9 \u0627\u0644", "\u0394\u2264", "\u200b \n"])


def test_a_font_that_cannot_be_read_is_named_and_passed_over(monkeypatch, tmp_path, caplog):
    broken = tmp_path / "broken.ttf"
    broken.write_bytes(b"\0\1\0\0 not a font")
    monkeypatch.setattr(wide_fonts, "candidates", lambda: [(broken, 0)])
    wide_fonts.register.cache_clear()
    with caplog.at_level(logging.WARNING):
        assert wide_fonts.register() == frozenset()
    wide_fonts.register.cache_clear()
    assert "cannot be read" in caplog.text
