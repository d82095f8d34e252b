"""Reading text: with the extra ``ocr`` smooth grey text is found that strokes alone miss; without it that is said."""

from importlib.util import find_spec

import cv2
import numpy as np
import pytest
from evidence_factories import make_evidence, make_image
from scipy.ndimage import gaussian_filter

from audit_pipeline.checks import ocr
from audit_pipeline.checks.glyphs import Lettering, lettering
from audit_pipeline.checks.identity import burned_in_text, identity_left
from audit_pipeline.checks.ocr import Line, read_lines, text_reader
from audit_pipeline.checks.text_mask import letters_of, with_lines
from audit_pipeline.findings import Outcome

HAS_READER = find_spec("rapidocr") is not None and find_spec("onnxruntime") is not None


def anatomy(shape=(300, 400)):
    smooth = gaussian_filter(np.random.default_rng(1).normal(size=shape), 12)
    return 1500 + 600 * smooth / np.abs(smooth).max()


def grey_text(text):
    """Text that is neither saturated nor of one value: blended into the picture and smoothed."""
    ink = cv2.putText(np.zeros((300, 400), dtype=np.uint8), text, (20, 60), cv2.FONT_HERSHEY_SIMPLEX, 0.9, 255, 2)
    ink = gaussian_filter(ink / 255.0, 0.8)
    return (anatomy() + 1400 * ink).astype(np.float32), ink > 0.5


def test_without_a_reader_nothing_is_read_and_it_is_said(monkeypatch):
    monkeypatch.setattr(ocr, "_versions", lambda: "")
    text_reader.cache_clear()
    ocr._engine.cache_clear()
    try:
        assert text_reader() == "strokes alone, as the extra ocr is not installed"
        assert read_lines(anatomy(), 0.0, 3000.0) == ()
    finally:
        text_reader.cache_clear()
        ocr._engine.cache_clear()


def test_lines_join_the_letters_that_strokes_found():
    strokes, line = np.zeros((4, 4), dtype=bool), np.zeros((4, 4), dtype=bool)
    strokes[0], line[3] = True, True
    joined = with_lines(Lettering(strokes, 3), (Line(line, "DOE 1961"),))
    assert joined.mask.sum() == 8
    assert (joined.longest, joined.texts) == (7, ("DOE 1961",))
    assert with_lines(None, (Line(line, "AB"),)).longest == 2
    assert with_lines(None, ()) is None
    assert with_lines(Lettering(strokes, 3), ()).texts == ()


def test_what_was_read_decides_what_is_said_and_is_never_repeated(monkeypatch):
    from audit_pipeline.checks import text_mask

    values = anatomy().astype(np.float32)
    line = np.zeros(values.shape, dtype=bool)
    line[10:20, 10:90] = True
    for text, words in (("BORN 1961-04-01", "holds a date"), ("PORTABLE", "holds no date or long number")):
        monkeypatch.setattr(text_mask, "read_lines", lambda *_, text=text: (Line(line, text),))
        finding = identity_left(make_evidence(image=make_image(values.copy(), modality="DX")))
        assert finding.outcome is Outcome.FLAG
        assert words in finding.message
        assert text not in finding.message


@pytest.mark.skipif(not HAS_READER, reason="the extra ocr (rapidocr, onnxruntime) is not installed")
def test_smooth_grey_text_is_read_that_strokes_miss():
    values, ink = grey_text("DOE 1961-04-01")
    assert lettering(values, float(values.min()), float(values.max()), 0.0005) is None
    image = make_image(values, modality="DX")
    letters = letters_of(image)[0]
    assert "1961" in "".join(letters.texts)
    assert letters.mask[ink].mean() > 0.5
    assert burned_in_text(make_evidence(image=image)).outcome is Outcome.NOTE


@pytest.mark.skipif(not HAS_READER, reason="the extra ocr (rapidocr, onnxruntime) is not installed")
def test_anatomy_without_text_is_not_read_as_text():
    values = anatomy().astype(np.float32)
    assert read_lines(values, float(values.min()), float(values.max())) == ()
