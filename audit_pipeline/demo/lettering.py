"""A marker burned into an image: saturated letters of a small bitmap font, as lead markers and scanners leave them."""

from __future__ import annotations

import numpy as np

from audit_pipeline.records import Floats, sealed

FONT = {
    "A": ("01110", "10001", "10001", "11111", "10001", "10001", "10001"),
    "B": ("11110", "10001", "10001", "11110", "10001", "10001", "11110"),
    "E": ("11111", "10000", "10000", "11110", "10000", "10000", "11111"),
    "L": ("10000", "10000", "10000", "10000", "10000", "10000", "11111"),
    "O": ("01110", "10001", "10001", "10001", "10001", "10001", "01110"),
    "P": ("11110", "10001", "10001", "11110", "10000", "10000", "10000"),
    "R": ("11110", "10001", "10001", "11110", "10100", "10010", "10001"),
    "T": ("11111", "00100", "00100", "00100", "00100", "00100", "00100"),
    " ": ("00000",) * 7,
}
"""Letters of five by seven dots."""

MARGIN_PIXELS = 6


def write_marker(values: Floats, text: str, scale: int = 2) -> Floats:
    """Return the image with `text` in its upper left corner, at the highest stored value.

    Parameters
    ----------
    values : (H, W) float32
    text : letters of the small font
    scale : pixels per dot
    """
    dots = np.array([[row + "0" for row in FONT[letter]] for letter in text])
    bitmap = np.array([[dot == "1" for dot in "".join(row)] for row in dots.T])
    mask = np.kron(bitmap, np.ones((scale, scale), dtype=bool)).astype(bool)
    marked = values.copy()
    height, width = mask.shape
    corner = marked[MARGIN_PIXELS : MARGIN_PIXELS + height, MARGIN_PIXELS : MARGIN_PIXELS + width]
    corner[mask] = 4095.0
    return sealed(marked)
