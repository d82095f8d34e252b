"""Reading text in a picture with RapidOCR, where the extra ``ocr`` is installed; elsewhere strokes alone are found.

The models of RapidOCR (PaddleOCR, Apache-2.0) are files of its package, so nothing is downloaded.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np

from audit_pipeline.records import Floats, Mask

LEAST_CONFIDENCE = 0.80
LEAST_LETTERS = 2
TALLEST = 0.15
"""Of the frame: a line of text is lower than this along its shorter side."""

CONTRAST = 0.5
"""Strokes differ from the middle grey of their line by at least this share of the largest difference."""

Engine = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class Line:
    """A line of text that was read: where its strokes lie, (H, W) bool, and its words, which may name the patient."""

    strokes: Mask
    text: str


@cache
def text_reader() -> str:
    """Return what looks for text in pixels on this machine, in words."""
    found = _versions()
    return f"strokes and RapidOCR {found}" if found else "strokes alone, as the extra ocr is not installed"


def _versions() -> str:
    try:
        version("onnxruntime")
        return version("rapidocr")
    except PackageNotFoundError:
        return ""


@cache
def _engine() -> Engine | None:
    if not _versions():
        return None
    import logging

    from rapidocr import RapidOCR

    engine: Engine = RapidOCR()
    logging.getLogger("RapidOCR").setLevel(logging.ERROR)
    return engine


def read_lines(plane: Floats, low: float, high: float) -> tuple[Line, ...]:
    """Return the lines of text in a picture; none where no reader is installed.

    Parameters
    ----------
    plane : (H, W); low, high : ends of the grey range of the whole image
    """
    engine = _engine()
    if engine is None or not high > low:
        return ()
    scaled = np.nan_to_num(np.clip((plane - low) / (high - low), 0, 1))
    grey = np.rint(255 * scaled).astype(np.uint8)
    found = engine(np.repeat(grey[..., None], 3, axis=-1))
    if found is None or found.boxes is None:
        return ()
    lines = []
    for box, text, confidence in zip(found.boxes, found.txts, found.scores, strict=True):
        letters = sum(one.isalnum() for one in text)
        place = _place(np.asarray(box, dtype=np.float64), plane.shape)
        sides = [part.stop - part.start for part in place]
        if confidence < LEAST_CONFIDENCE or letters < LEAST_LETTERS or min(sides) < 2:
            continue
        if min(sides) <= TALLEST * max(plane.shape):
            lines.append(Line(_strokes(scaled, place), text))
    return tuple(lines)


def _place(box: np.ndarray[Any, np.dtype[np.float64]], shape: tuple[int, ...]) -> tuple[slice, slice]:
    """Return the rows and columns that hold the four corners (x, y) of a box."""
    low = np.clip(np.floor(box.min(axis=0)).astype(int), 0, None)
    high = np.minimum(np.ceil(box.max(axis=0)).astype(int) + 1, (shape[1], shape[0]))
    return slice(int(low[1]), int(high[1])), slice(int(low[0]), int(high[0]))


def _strokes(scaled: Floats, place: tuple[slice, slice]) -> Mask:
    found = np.zeros(scaled.shape, dtype=np.bool_)
    apart = np.abs(scaled[place] - np.median(scaled[place]))
    if apart.max() > 0:
        found[place] = apart >= CONTRAST * apart.max()
    return found
